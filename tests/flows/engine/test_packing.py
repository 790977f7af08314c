"""A run over shards ends with the shards of its collection, and renews only what has changed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from PIL import Image

from cluster.profile import laptop
from flows.engine.merge import merge
from flows.engine.run import run
from flows.engine.settings import Options
from flows.enlarge import enlarge_pictures
from operators.ledger import ledger
from operators.ledger.part import Part
from operators.rows.failure import RunError
from operators.storage import files as storage
from operators.upscalers.enlargement import Routing

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3

FLOW = enlarge_pictures(2.0, None, Routing("lanczos"))
SIZES = {"a": (12, 8), "b": (10, 6), "c": (8, 8)}


def png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 50).save(buffer, "PNG")
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def write_shard(path: Path, broken: bool = False) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, size in SIZES.items():
            add(archive, f"{name}.png", png(size))
            add(archive, f"{name}.json", json.dumps({"name": name}).encode())
        if broken:
            add(archive, "d.png", b"no picture")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(2):
        write_shard(tmp_path / "in" / f"train-{number}.tar", broken=number == 1)
    return tmp_path / "in"


def work(source: str, dest: Path | str, to: str | None = "webdataset", part: str = "1/1") -> str:
    run(FLOW, source, str(dest), laptop(), Options(part=Part.parse(part), to=to))
    return str(dest)


def read_tar(uri: str) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(storage.read(uri))) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def sizes(members: dict[str, bytes]) -> dict[str, tuple[int, int]]:
    pictures = {name: data for name, data in members.items() if name.endswith(".png") and data.startswith(b"\x89PNG")}
    return {name: Image.open(io.BytesIO(data)).size for name, data in pictures.items()}


DOUBLED = {f"{name}.png": (2 * width, 2 * height) for name, (width, height) in SIZES.items()}


def assert_collected(dest: str, source: Path, paths: list[str]) -> None:
    run_id = json.loads(storage.read(storage.join(dest, "run.json")))["run"]
    for path in paths:
        members = read_tar(storage.join(dest, "collection", path))
        assert sizes(members) == DOUBLED
        before = read_tar(str(source / path))
        assert {name: members[name] for name in before if name not in DOUBLED} == {
            name: data for name, data in before.items() if name not in DOUBLED
        }
        lineage = json.loads(members["a.cleanplate.json"])["a.png"]
        assert (lineage["run"], lineage["verdict"], len(lineage["settings_sha256"])) == (run_id, "edited", 64)


def test_tar_shards_come_out_as_they_went_in(source: Path, tmp_path: Path) -> None:
    dest = work(f"{source}/*.tar", tmp_path / "out")
    assert_collected(dest, source, ["train-0.tar", "train-1.tar"])
    broken = read_tar(f"{dest}/collection/train-1.tar")
    assert broken["d.png"] == b"no picture"
    assert json.loads(broken["d.cleanplate.json"])["d.png"]["verdict"] == "failed"
    rows = {row["path"]: row for row in ledger.read(dest).to_pylist()}
    assert (rows["train-0.tar/b.png"]["sample"], rows["train-0.tar/b.png"]["json"]) == ("b", '{"name": "b"}')


def test_a_finished_run_writes_no_shard_again_and_a_changed_one_alone(source: Path, tmp_path: Path) -> None:
    dest = work(f"{source}/*.tar", tmp_path / "out")
    shards = [tmp_path / "out" / "collection" / f"train-{number}.tar" for number in range(2)]
    times = [shard.stat().st_mtime_ns for shard in shards]
    work(f"{source}/*.tar", dest)
    assert [shard.stat().st_mtime_ns for shard in shards] == times
    shards[0].unlink()
    merge(dest)
    assert shards[0].exists()
    assert shards[1].stat().st_mtime_ns == times[1]


def test_a_run_in_parts_gets_its_collection_with_the_last_report(source: Path, tmp_path: Path) -> None:
    for part in ("2/2", "1/2"):
        dest = work(f"{source}/*.tar", tmp_path / "out", part=part)
    assert not (tmp_path / "out" / "collection").exists()
    merge(dest)
    assert_collected(dest, source, ["train-0.tar", "train-1.tar"])


def test_a_shard_that_ends_early_is_named_and_the_others_are_written(source: Path, tmp_path: Path) -> None:
    shard = source / "train-1.tar"
    shard.write_bytes(shard.read_bytes()[:1500])
    with pytest.raises(RunError) as ended:
        work(f"{source}/*.tar", tmp_path / "out")
    assert (ended.value.code, ended.value.exit_code) == ("shards_damaged", 1)
    assert ended.value.message == "1 shard could not be written again: train-1.tar"
    assert_collected(str(tmp_path / "out"), source, ["train-0.tar"])


def test_parquet_keeps_its_rows(tmp_path: Path) -> None:
    cells: list[dict[str, Any] | None] = [{"bytes": png(size), "path": f"{name}.png"} for name, size in SIZES.items()]
    table = pa.table({"image": [*cells, None], "label": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=2)
    dest = work(str(tmp_path / "in.parquet"), tmp_path / "out", "parquet")
    result = pq.read_table(f"{dest}/collection/in.parquet")
    assert result["label"].to_pylist() == [1, 2, 3, 4]
    images = result["image"].to_pylist()
    assert {image["path"]: Image.open(io.BytesIO(image["bytes"])).size for image in images[:3]} == DOUBLED
    assert images[3] == {"bytes": None, "path": None} or images[3] is None
    assert result["cleanplate_verdict"].to_pylist() == ["edited", "edited", "edited", "failed"]
    assert pq.ParquetFile(f"{dest}/collection/in.parquet").metadata.num_row_groups == 2


@pytest.mark.parametrize(("to", "name"), [("parquet", "in/*.tar"), ("webdataset", "in"), ("webdataset", "list.csv")])
def test_a_source_of_another_kind_is_refused(source: Path, tmp_path: Path, to: str, name: str) -> None:
    (source / "a.png").write_bytes(png((4, 4)))
    (tmp_path / "list.csv").write_text("uri\nin/a.png\n")
    with pytest.raises(RunError, match=f"--to {to}: SOURCE must be") as refused:
        work(str(tmp_path / name), tmp_path / "out", to)
    assert (refused.value.code, refused.value.exit_code) == ("option_invalid", 2)
    assert not (tmp_path / "out").exists()


def test_another_kind_of_collection_needs_another_destination(source: Path, tmp_path: Path) -> None:
    dest = work(f"{source}/*.tar", tmp_path / "out", None)
    with pytest.raises(RunError, match="holds a run without --to"):
        work(f"{source}/*.tar", dest)


def test_shards_in_a_bucket_are_read_in_place_and_written_beside(source: Path, s3: S3) -> None:
    s3.files().mkdir("collections")  # type: ignore[attr-defined]
    bucket = "s3://collections"
    for file in source.iterdir():
        storage.copy(str(file), f"{bucket}/in/{file.name}")
    # A Ray that this process has started before the server does not know its keys.
    arguments = [f"{bucket}/in/*.tar", f"{bucket}/out", "--scale", "2", "--model", "lanczos", "--to", "webdataset"]
    ended = subprocess.run(
        [sys.executable, "-m", "flows.cli", "enlarge", *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert_collected(f"{bucket}/out", source, ["train-0.tar", "train-1.tar"])


@pytest.mark.parametrize("splits", [("",), ("train", "test")], ids=["dataset", "splits"])
def test_a_dataset_that_was_saved_to_disk_is_loaded_from_the_collection(tmp_path: Path, splits: tuple[str, ...]) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": [{"bytes": png((8, 6)), "path": f"{number}.png"} for number in range(4)], "label": [0, 1, 1, 0]}
    for split in splits:
        datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "in" / split, num_shards=2)
    dest = work(f"{tmp_path}/in/*.arrow" if splits == ("",) else f"{tmp_path}/in/*/*.arrow", tmp_path / "out", "arrow")
    for split in splits:
        before = datasets.load_from_disk(str(tmp_path / "in" / split))
        after = datasets.load_from_disk(f"{dest}/collection/{split}")
        assert [row["image"].size for row in after] == [(16, 12)] * 4
        assert list(after["label"]) == [0, 1, 1, 0]
        assert after.features["label"] == features["label"] and after.features["image"] == features["image"]
        assert set(after["cleanplate_verdict"]) == {"edited"}
        assert after._fingerprint != before._fingerprint


def test_a_delta_table_comes_out_as_one(tmp_path: Path) -> None:
    for first in (0, 2):
        rows = {"image": pa.array([png((8, 6)), png((10, 4))], pa.binary()), "label": [first, first + 1]}
        write_deltalake(tmp_path / "in", pa.table(rows), mode="append")
    dest = work(f"{tmp_path}/in/_delta_log", tmp_path / "out", "delta")
    table = DeltaTable(f"{dest}/collection").to_pyarrow_table().sort_by("label").to_pydict()
    assert [Image.open(io.BytesIO(data)).size for data in table["image"]] == [(16, 12), (20, 8)] * 2
    assert table["label"] == [0, 1, 2, 3]
    assert table["cleanplate_verdict"] == ["edited"] * 4
    again = work(f"{dest}/collection/_delta_log", tmp_path / "again", "delta")
    assert DeltaTable(f"{again}/collection").to_pyarrow_table().column_names == list(table)


def test_a_lance_dataset_comes_out_as_one(tmp_path: Path) -> None:
    pictures = [{"bytes": png((8, 6)), "path": f"{number}.png"} for number in range(4)]
    vectors = pa.array([[float(number), 1.0] for number in range(4)], pa.list_(pa.float32(), 2))
    before = pa.table({"image": pa.array(pictures), "vector": vectors})
    lance.write_dataset(before, str(tmp_path / "in.lance"), max_rows_per_file=2)
    dest = work(f"{tmp_path}/in.lance", tmp_path / "out", "lance")
    after = lance.dataset(f"{dest}/collection/in.lance").to_table()
    assert [Image.open(io.BytesIO(cell["bytes"])).size for cell in after["image"].to_pylist()] == [(16, 12)] * 4
    assert [cell["path"] for cell in after["image"].to_pylist()] == [f"{number}.png" for number in range(4)]
    assert after["vector"].equals(before["vector"])
    assert after["cleanplate_verdict"].to_pylist() == ["edited"] * 4
    assert lance.dataset(str(tmp_path / "in.lance")).to_table().equals(before)
