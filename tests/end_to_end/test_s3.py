"""From bucket to bucket on a real S3 server: index, read, write, ledger, lease and resume."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from operators.ledger import index, ledger
from operators.ledger.lease import Lease
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage
from operators.storage.listing import list_source

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.cli import Command, CommandResult
    from tests.fixtures.pictures import Pictures
    from tests.fixtures.s3 import S3

NAMES = ("sign.png", "deep/er/photo.jpg", "deep/plain.png", "odd # 100 % names/été + a&b=c.png", "what?/[1] *.png")
COMMAND = ("erase", "s3://source-images", "s3://results/run", "--preset", "fast", "--accept", "best", "--workers", 1)


@dataclass(frozen=True)
class Moved:
    """A run from one bucket to another, and the same command again."""

    files: Any
    sources: dict[str, bytes]
    first: CommandResult
    objects: dict[str, tuple[str, str]]
    """ETag and time of modification of every object under the destination after the first run."""
    second: CommandResult
    objects_after: dict[str, tuple[str, str]]


def listing(files: Any) -> dict[str, tuple[str, str]]:
    """ETag and time of modification of every object under the destination."""
    objects = files.find("results/run", detail=True)
    return {key.removeprefix("results/run/"): (info["ETag"], str(info["LastModified"])) for key, info in objects.items()}


@pytest.fixture(scope="module")
def moved(s3: S3, cleanplate: Command, pictures: Pictures, encode: Callable[..., bytes]) -> Moved:
    files: Any = s3.files()
    files.mkdir("source-images")
    files.mkdir("results")
    sources = {
        name: encode(pictures.strip(number), "JPEG" if name.endswith("jpg") else "PNG") for number, name in enumerate(NAMES)
    }
    sources["sign.png"] = encode(pictures.written(pictures.photo("moon"), "MOON"), "PNG")
    sources["broken.jpg"] = b"words"
    for name, data in sources.items():
        files.pipe_file(f"source-images/{name}", data)
    files.pipe_file("source-images/readme.txt", b"not listed")
    first = cleanplate(*COMMAND)
    objects = listing(files)
    second = cleanplate(*COMMAND)
    return Moved(files, sources, first, objects, second, listing(files))


def test_a_run_from_bucket_to_bucket_ends_well(moved: Moved) -> None:
    assert moved.first.code == 0 and "error" not in moved.first.err
    assert moved.first.out.startswith("6 images, ")
    assert moved.first.out.endswith(" | s3://results/run/report.html\n")


def test_the_ledger_in_the_bucket_has_one_row_per_key(moved: Moved) -> None:
    rows = ledger.read("s3://results/run").to_pylist()
    assert sorted(row["uri"] for row in rows) == sorted(f"s3://source-images/{name}" for name in moved.sources)
    verdicts = {row["path"]: row["verdict"] for row in rows}
    assert verdicts.pop("sign.png") in {"edited", "rolled_back"}
    assert verdicts.pop("broken.jpg") == "failed"
    assert set(verdicts.values()) == {"untouched"}


def test_every_output_in_the_bucket_is_what_the_ledger_says(moved: Moved) -> None:
    rows = {row["path"]: row for row in ledger.read("s3://results/run").to_pylist()}
    outputs = {key.removeprefix("images/") for key in moved.objects if key.startswith("images/")}
    assert outputs == set(NAMES)
    for name in NAMES:
        data = moved.files.cat_file(f"results/run/images/{name}")
        assert rows[name]["output_uri"] == f"s3://results/run/images/{name}"
        assert hashlib.sha256(data).hexdigest() == rows[name]["output_sha256"]
        if rows[name]["verdict"] == "untouched":
            assert data == moved.sources[name]


def test_a_bucket_contains_the_same_files_as_a_folder_would(moved: Moved) -> None:
    other_keys = {key for key in moved.objects if not key.startswith("images/")}
    assert other_keys == {"run.json", "report.html", "index/shard=000000.parquet", "ledger/shard=000000/complete.parquet"}
    assert json.loads(moved.files.cat_file("results/run/run.json"))["source"] == "s3://source-images"
    assert "data:image/jpeg;base64," in moved.files.cat_file("results/run/report.html").decode() or "No image was edited." in (
        moved.files.cat_file("results/run/report.html").decode()
    )


def test_the_index_knows_keys_by_their_etag(moved: Moved) -> None:
    shard = pq.read_table(io.BytesIO(moved.files.cat_file("results/run/index/shard=000000.parquet"))).to_pylist()
    assert {row["uri"]: (row["size"], row["etag"]) for row in shard} == {
        f"s3://source-images/{name}": (len(data), hashlib.md5(data).hexdigest()) for name, data in moved.sources.items()
    }


def test_a_second_run_does_nothing(moved: Moved) -> None:
    assert (moved.second.code, moved.second.err) == (0, "")
    verdicts, texts, *_ = moved.first.out.removeprefix("6 images, ").split(" | ")
    assert moved.second.out == (
        f"6 images, 6 done before, {verdicts} | {texts} | not_an_image 1 | left out: not pictures 1 (.txt 1) | "
        "s3://results/run/report.html\n"
    )
    assert not moved.second.used_ray
    rewritten = {key for key, state in moved.objects_after.items() if moved.objects.get(key) != state}
    assert rewritten <= {"report.html"}
    assert set(moved.objects_after) == set(moved.objects)


def test_a_lost_ledger_part_costs_its_images_only(moved: Moved, cleanplate: Command) -> None:
    """The ledger is as a driver leaves it that dies before its last commits.

    There are parts for some images, and no complete shard.
    """
    complete = ledger.read("s3://results/run")
    ledger.commit("s3://results/run", complete.filter([path != "sign.png" for path in complete["path"].to_pylist()]))
    moved.files.rm("results/run/ledger/shard=000000/complete.parquet")
    ended = cleanplate(*COMMAND)
    assert ended.code == 0, ended.err
    verdicts, texts, *_ = moved.first.out.removeprefix("6 images, ").split(" | ")
    assert ended.out.startswith(f"6 images, 5 done before, {verdicts} | {texts} | not_an_image 1 | ")
    after = listing(moved.files)
    images = {key for key in after if key.startswith("images/")}
    assert {key for key in images if after[key] != moved.objects[key]} == {"images/sign.png"}
    assert {key: after[key][0] for key in images} == {key: moved.objects[key][0] for key in images}
    assert [key for key in after if key.startswith("ledger/")] == ["ledger/shard=000000/complete.parquet"]


@pytest.fixture
def bucket(s3: S3, request: pytest.FixtureRequest) -> str:
    name = "b" + hashlib.md5(request.node.name.encode()).hexdigest()[:12]
    files: Any = s3.files()
    files.mkdir(name)
    return f"s3://{name}"


def test_an_object_is_created_once(bucket: str) -> None:
    assert storage.create(f"{bucket}/lease.json", b"first") is True
    assert storage.create(f"{bucket}/lease.json", b"second") is False
    assert storage.read(f"{bucket}/lease.json") == b"first"


def test_one_driver_at_a_time_into_a_bucket(bucket: str) -> None:
    with Lease(bucket).hold():
        with pytest.raises(RunError) as refused, Lease(bucket).hold():
            pass
        assert (refused.value.code, refused.value.exit_code) == ("destination_in_use", 3)
    with Lease(bucket).hold():
        pass
    assert not storage.exists(f"{bucket}/lease.json")


def test_the_lease_of_a_dead_driver_is_taken_over(bucket: str) -> None:
    with Lease(bucket).hold():
        content = json.loads(storage.read(f"{bucket}/lease.json"))
    storage.write(f"{bucket}/lease.json", json.dumps(content | {"owner": "gone", "pid": 2**22 - 1, "started": 1.0}).encode())
    with Lease(bucket).hold() as lease:
        assert not lease.lost.is_set()


@pytest.mark.parametrize(
    "name", ["plain", "with space", "#", "100%", "%41", "a+b", "a&b=c", "what?", "[1]*", "été 写真", "a::b"]
)
def test_any_key_is_taken_literally(bucket: str, name: str) -> None:
    uri = f"{bucket}/{name}/{name}.png"
    assert not storage.exists(uri)
    storage.write(uri, b"content")
    assert storage.read(uri) == b"content"
    assert storage.exists(uri)
    assert storage.list_paths(bucket) == [uri.removeprefix("s3://")]
    storage.copy(uri, f"{bucket}/copy")
    assert storage.read(f"{bucket}/copy") == b"content"
    storage.remove(f"{bucket}/copy")
    storage.remove(uri)
    assert storage.list_paths(bucket) == []


def test_a_bucket_that_is_missing_is_a_missing_source(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(RunError) as refused:
        list(list_source("s3://no-such-bucket", str(tmp_path)))
    assert (refused.value.code, refused.value.exit_code) == ("source_missing", 2)


def test_a_missing_key_is_not_a_missing_server(bucket: str) -> None:
    with pytest.raises(Failure) as missing:
        storage.read(f"{bucket}/b")
    assert missing.value.code == "key_missing"


def test_a_listing_leaves_out_the_destination_and_files_that_are_no_images(bucket: str) -> None:
    for key in ("a.png", "b/c.JPG", "b/notes.txt", "out/images/a.png", "outer/d.png"):
        storage.write(f"{bucket}/{key}", key.encode())
    listed = {item.path: item for item in list_source(bucket, f"{bucket}/out")}
    assert sorted(listed) == ["a.png", "b/c.JPG", "outer/d.png"]
    assert (listed["b/c.JPG"].uri, listed["b/c.JPG"].size) == (f"{bucket}/b/c.JPG", 7)
    assert [item.path for item in list_source(f"{bucket}/b/*", f"{bucket}/out")] == ["c.JPG", "notes.txt"]


def test_a_listing_continues_after_its_first_page(bucket: str, s3: S3) -> None:
    files: Any = s3.files()
    files.pipe({f"{bucket.removeprefix('s3://')}/{number:04d}.png": b"x" for number in range(1005)})
    assert [item.path for item in list_source(bucket, "/elsewhere")] == [f"{number:04d}.png" for number in range(1005)]


def test_a_changed_object_is_a_new_image(bucket: str) -> None:
    storage.write(f"{bucket}/a.png", b"1")
    (before,) = list_source(bucket, "/elsewhere")
    assert index.build(bucket, f"{bucket}/out") == {0: 1}
    assert index.build(bucket, f"{bucket}/out") == {0: 1}
    storage.write(f"{bucket}/a.png", b"2")
    (after,) = list_source(bucket, f"{bucket}/out")
    assert after.image_id != before.image_id
    assert index.build(bucket, f"{bucket}/out") == {1: 1}
