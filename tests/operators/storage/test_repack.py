"""A shard is written again with edited images in it, and everything else stays as it is.

The results are read by the libraries of their kinds: webdataset, datasets and pyarrow.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from operators.storage.listing import list_source
from operators.storage.repack import LINEAGE_COLUMNS, PARQUET, WEBDATASET, Lineage, Result, repack

LINEAGE = Lineage("a" * 64, "run", "b" * 64, "edited")
UNTOUCHED = Lineage("c" * 64, "run", "b" * 64, "untouched")


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 3), grey).save(buffer, "PNG")
    return buffer.getvalue()


SAMPLES = [
    {"__key__": f"sub/{number:06d}", "png": png(number), "json": {"caption": f"picture {number}"}, "cls": number}
    for number in range(4)
]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A shard as webdataset's own writer makes it."""
    with webdataset.TarWriter(str(tmp_path / "in.tar")) as writer:
        for sample in SAMPLES:
            writer.write(sample)
    return tmp_path / "in.tar"


def offset(shard: Path, name: str) -> int:
    with tarfile.open(shard) as archive:
        return archive.getmember(name).offset_data


def members(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_webdataset_reads_the_edited_images_and_everything_else(shard: Path, tmp_path: Path) -> None:
    results = {
        offset(shard, "sub/000001.png"): Result(LINEAGE, lambda: png(99)),
        offset(shard, "sub/000002.png"): Result(UNTOUCHED, None),
    }
    repack(WEBDATASET, str(shard), str(tmp_path / "out.tar"), results)
    samples = list(webdataset.WebDataset(str(tmp_path / "out.tar"), shardshuffle=False).decode("pil"))
    assert [sample["__key__"] for sample in samples] == [sample["__key__"] for sample in SAMPLES]
    assert [sample["json"] for sample in samples] == [sample["json"] for sample in SAMPLES]
    assert [sample["cls"] for sample in samples] == [0, 1, 2, 3]
    assert [sample["png"].getpixel((0, 0))[0] for sample in samples] == [0, 99, 2, 3]
    assert samples[1]["cleanplate.json"] == {
        "sub/000001.png": {"source_sha256": "a" * 64, "run": "run", "settings_sha256": "b" * 64, "verdict": "edited"}
    }
    assert samples[2]["cleanplate.json"]["sub/000002.png"]["verdict"] == "untouched"
    assert "cleanplate.json" not in samples[0]


def test_members_that_are_not_edited_keep_their_bytes_headers_and_order(shard: Path, tmp_path: Path) -> None:
    repack(WEBDATASET, str(shard), str(tmp_path / "same.tar"), {})
    assert (tmp_path / "same.tar").read_bytes().rstrip(b"\0") == shard.read_bytes().rstrip(b"\0")
    repack(
        WEBDATASET, str(shard), str(tmp_path / "out.tar"), {offset(shard, "sub/000001.png"): Result(LINEAGE, lambda: png(9))}
    )
    before, after = members(shard), members(tmp_path / "out.tar")
    assert [name for name in after if not name.endswith(".cleanplate.json")] == list(before)
    assert {name for name in before if before[name] != after[name]} == {"sub/000001.png"}


def test_the_lineage_of_an_earlier_run_is_replaced(shard: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    repack(WEBDATASET, str(shard), str(first), {offset(shard, "sub/000001.png"): Result(LINEAGE, lambda: png(9))})
    repack(WEBDATASET, str(first), str(second), {offset(first, "sub/000001.png"): Result(UNTOUCHED, None)})
    assert list(members(second)).count("sub/000001.cleanplate.json") == 1
    assert json.loads(members(second)["sub/000001.cleanplate.json"])["sub/000001.png"]["verdict"] == "untouched"


def test_a_shard_of_long_names_and_links_is_copied(tmp_path: Path) -> None:
    name = "folder/" * 40 + "picture.png"
    with tarfile.open(tmp_path / "in.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(png(1))
        archive.addfile(info, io.BytesIO(png(1)))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, name
        archive.addfile(link)
    results = {offset(tmp_path / "in.tar", name): Result(LINEAGE, lambda: png(2) + bytes(1000))}
    repack(WEBDATASET, str(tmp_path / "in.tar"), str(tmp_path / "out.tar"), results)
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert [member.name for member in archive] == [name, name.replace(".png", ".cleanplate.json"), "link.png"]
        assert archive.getmember("link.png").linkname == name
    assert [image.path for image in list_source(str(tmp_path / "out.tar"))] == [f"out.tar/{name}"]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A dataset of images as the library `datasets` writes it."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": [{"bytes": png(number), "path": f"{number}.png"} for number in range(6)], "label": [0, 1] * 3}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "in.parquet", batch_size=4)
    return tmp_path / "in.parquet"


def test_datasets_reads_the_edited_images_inside_their_rows(parquet: Path, tmp_path: Path) -> None:
    results = {"image 1": Result(LINEAGE, lambda: png(99)), "image 2": Result(UNTOUCHED, None)}
    repack(PARQUET, str(parquet), str(tmp_path / "out.parquet"), results)
    read = datasets.Dataset.from_parquet(str(tmp_path / "out.parquet"), cache_dir=str(tmp_path / "cache"))
    assert [row["image"].getpixel((0, 0)) for row in read] == [0, 99, 2, 3, 4, 5]
    assert read.features["label"] == datasets.ClassLabel(names=["a", "b"])
    assert list(read["label"]) == [0, 1] * 3
    assert [read[row]["cleanplate_verdict"] for row in range(4)] == [None, "edited", "untouched", None]
    assert read[1]["cleanplate_source_sha256"] == "a" * 64
    assert (read[1]["cleanplate_run"], read[1]["cleanplate_settings_sha256"]) == ("run", "b" * 64)


def test_other_columns_row_groups_and_metadata_stay(tmp_path: Path) -> None:
    columns = {
        "id": pa.array(range(10), pa.int16()),
        "picture": pa.array([png(number) if number != 5 else None for number in range(10)], pa.binary()),
        "tags": pa.array([[{"name": "x", "weight": number / 3}] for number in range(10)]),
    }
    source = pa.table(columns).replace_schema_metadata({"owner": "team"})
    pq.write_table(source, tmp_path / "in.parquet", row_group_size=4, compression="zstd")
    repack(PARQUET, str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet"), {"picture 7": Result(LINEAGE, lambda: b"new")})
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(3)] == [4, 4, 2]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    result = file.read()
    assert result.schema.metadata[b"owner"] == b"team"
    assert result.column_names == ["id", "picture", "tags", *LINEAGE_COLUMNS.values()]
    assert result.select(["id", "tags"]).equals(source.select(["id", "tags"]))
    pictures = source["picture"].to_pylist()
    assert result["picture"].to_pylist() == [*pictures[:7], b"new", *pictures[8:]]


def test_the_columns_of_an_earlier_run_are_replaced(parquet: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    repack(PARQUET, str(parquet), str(first), {"image 1": Result(LINEAGE, lambda: png(9))})
    repack(PARQUET, str(first), str(second), {"image 1": Result(UNTOUCHED, None)})
    table = pq.read_table(second)
    assert table.column_names == pq.read_table(first).column_names
    assert table["cleanplate_verdict"].to_pylist() == [None, "untouched", None, None, None, None]
