"""The outputs of earlier runs are no sources, in a folder and in a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from operators.rows.failure import RunError
from operators.storage.left_out import LeftOut
from operators.storage.listing import list_source, manifest_files
from tests.fixtures.flaky_s3 import FlakyS3

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3

Put = Callable[[str, Iterable[str]], str]

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
RUN = (
    "calls/answers/0a.png",
    "images/a.png",
    "index/shard=000000.parquet",
    "ledger/shard=000000/complete.parquet",
    "masks/a.png",
    "report.html",
    "review/thumbnails/a.png",
    "run.json",
)


def run_in(folder: str) -> list[str]:
    """The files of a run whose DEST is `folder`."""
    return [f"{folder}/{name}" for name in RUN]


def listed(source: str, excluded: str = "") -> tuple[list[str], list[str]]:
    """The paths of the images of a SOURCE, and the folders of earlier runs that were left out."""
    left_out = LeftOut()
    paths = sorted(image.path for image in list_source(source, excluded, left_out))
    record = left_out.record().get("earlier_runs", {"count": 0, "examples": []})
    assert record["count"] == len(record["examples"])
    return paths, sorted(record["examples"])


@pytest.fixture(params=["folder", "bucket", "another storage"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Put:
    """Write pictures under names and return the place that holds them."""

    def into_folder(name: str, keys: Iterable[str]) -> str:
        for key in keys:
            (tmp_path / name / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / key).write_bytes(PNG if key.endswith(".png") else b"words")
        return str(tmp_path / name)

    def into_storage(files: Any, protocol: str) -> Put:
        def write(name: str, keys: Iterable[str]) -> str:
            if not files.exists(name):
                files.mkdir(name)
            files.pipe({f"{name}/{key}": PNG if key.endswith(".png") else b"words" for key in keys})
            return f"{protocol}://{name}"

        return write

    if request.param == "folder":
        return into_folder
    if request.param == "bucket":
        return into_storage(request.getfixturevalue("s3").files(), "s3")
    memory = fsspec.filesystem("memory")
    request.addfinalizer(memory.store.clear)
    return into_storage(memory, "memory")


def test_a_run_below_the_source_is_left_out_and_counted_once(put: Put) -> None:
    source = put("below", ["a.png", *run_in("out"), *run_in("deep/er/out"), "deep/b.png", "out.png", "outer/c.png"])
    assert listed(source) == (["a.png", "deep/b.png", "out.png", "outer/c.png"], ["deep/er/out", "out"])


def test_the_destination_of_this_run_is_not_counted(put: Put) -> None:
    source = put("mine", ["a.png", *run_in("first"), *run_in("second")])
    assert listed(source, f"{source}/second") == (["a.png"], ["first"])


def test_a_source_that_a_run_has_delivered_is_listed_without_the_records_of_that_run(put: Put) -> None:
    source = put("delivered", [*run_in("out"), *run_in("out/again"), "out/images/deep/b.png", "out/own.png"])
    records = ["again", "calls", "index", "ledger", "review"]
    assert listed(f"{source}/out") == (["images/a.png", "images/deep/b.png", "masks/a.png", "own.png"], records)
    assert listed(f"{source}/out/images") == (["a.png", "deep/b.png"], [])


def test_a_folder_that_only_resembles_a_run_is_listed(put: Put) -> None:
    no_record = [name for name in run_in("no record") if not name.endswith("run.json")]
    no_index = [*(name for name in run_in("no index") if "shard=000000.parquet" not in name), "no index/index/page.png"]
    source = put("resembling", [*no_record, *no_index])
    paths, left_out = listed(source)
    assert {"no record/images/a.png", "no index/images/a.png", "no index/index/page.png"} <= set(paths)
    assert left_out == []


def test_a_run_in_a_hidden_folder_is_counted_as_hidden_files(put: Put) -> None:
    left_out = LeftOut()
    source = put("hiding", ["a.png", *run_in(".trash/out")])
    assert [image.path for image in list_source(source, left_out=left_out)] == ["a.png"]
    assert {reason: entry["count"] for reason, entry in left_out.record().items()} == {"hidden": len(RUN)}


@pytest.mark.parametrize("put", ["folder", "bucket"], indirect=True)
def test_a_glob_does_not_match_the_outputs_of_earlier_runs(put: Put) -> None:
    source = put("matching", ["a.png", *run_in("out")])
    assert listed(f"{source}/**/*.png") == (["a.png"], ["out"])
    with pytest.raises(RunError, match=r"^source_missing: nothing matches .* outside of the outputs of earlier runs$"):
        listed(f"{source}/*/images/*.png")


@pytest.mark.parametrize("put", ["folder", "bucket"], indirect=True)
def test_a_glob_of_manifests_finds_those_that_earlier_runs_wrote(put: Put) -> None:
    source = put("listing", [f"{run}/findings/part-00000.parquet" for run in ("one", "two")] + run_in("one") + run_in("two"))
    assert sorted(file.path for file in manifest_files(f"{source}/*/findings/*.parquet")) == [
        "one/findings/part-00000.parquet",
        "two/findings/part-00000.parquet",
    ]


def test_a_link_to_a_run_is_left_out(tmp_path: Path) -> None:
    for key in ["in/a.png", *run_in("in/out")]:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(PNG)
    (tmp_path / "in" / "link").symlink_to("out")
    assert listed(str(tmp_path / "in")) == (["a.png"], ["link", "out"])


# --- more keys than a page of a listing holds

FOLDERS = [f"{folder:02d}/{number:02d}.png" for folder in range(20) for number in range(10)]
MANY = [f"images/{number:04d}.png" for number in range(1100)]


@pytest.fixture(scope="module")
def large(s3: S3) -> str:
    """Two runs of more outputs than a page holds, one beside few folders and one beside many."""
    files: Any = s3.files()
    files.mkdir("large")
    for place in ("out", "many/09/out"):
        files.pipe({f"large/{place}/{name}": b"x" for name in (*MANY, *RUN)})
    files.pipe({f"large/many/{name}": b"x" for name in FOLDERS})
    return "s3://large"


def test_a_run_of_many_pages_is_left_out_for_two_requests(front: FlakyS3, large: str) -> None:
    assert listed(f"{large}/many") == (FOLDERS, ["09/out"])
    asked = [path for path in front.seen("GET") if "shard%3D" in path or "run.json" in path]
    assert len(asked) == 2


def test_a_run_that_is_seen_by_its_folders_is_not_listed(front: FlakyS3, large: str) -> None:
    assert listed(large) == ([f"many/{name}" for name in FOLDERS], ["many/09/out", "out"])
    assert not [path for path in front.seen("GET") if "prefix=out%2Fimages" in path]


def test_a_delivered_source_of_many_pages_is_listed_without_records(front: FlakyS3, large: str) -> None:
    assert listed(f"{large}/out") == (sorted([*MANY, "images/a.png", "masks/a.png"]), ["calls", "index", "ledger", "review"])


def test_folders_that_are_no_runs_cost_no_request(front: FlakyS3, large: str) -> None:
    assert listed(f"{large}/many/08") == ([f"{number:02d}.png" for number in range(10)], [])
    assert len(front.requests) == 1
