"""Images inside Parquet files, read by row group from a disk and from S3."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.rows.failure import Failure
from operators.storage import files as storage
from operators.storage import parquet_images, source_image
from operators.storage.parquet_images import cell_uri, is_cell

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3

IMAGES = [os.urandom(1000 + row) for row in range(50)]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
COLUMNS = {
    "plain": pa.array(IMAGES, pa.binary()),
    "large": pa.array(IMAGES, pa.large_binary()),
    "named": pa.array([{"bytes": data, "path": "a.jpg"} for data in IMAGES], STRUCT),
    "sparse": pa.array([data if row != 3 else None for row, data in enumerate(IMAGES)], pa.binary()),
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """50 images in row groups of 16, under each of the columns."""
    pq.write_table(pa.table(COLUMNS), tmp_path / "images.parquet", row_group_size=16)
    return str(tmp_path / "images.parquet")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The row groups that are read, in order, starting with an empty cache."""
    read: list[int] = []
    read_column = parquet_images._read_column

    def counting(file: str, metadata: Any, group: int, name: str) -> Any:
        read.append(group)
        return read_column(file, metadata, group, name)

    monkeypatch.setattr(parquet_images, "_read_column", counting)
    monkeypatch.setattr(parquet_images, "ROW_GROUPS", parquet_images.RowGroupCache())
    return read


def code_of(uri: str) -> str:
    with pytest.raises(Failure) as caught:
        source_image.read(uri)
    return caught.value.code


def test_an_address_is_distinguished_from_a_path() -> None:
    assert is_cell(cell_uri("s3://bucket/a b#%.parquet", 17, "my image"))
    assert not is_cell("s3://bucket/a.parquet")
    assert not is_cell("s3://bucket/a.png#row=17&column=x")


@pytest.mark.parametrize("column", COLUMNS)
def test_every_row_is_read_unchanged(file: str, column: str, opened: list[int]) -> None:
    for row, data in enumerate(IMAGES):
        if column != "sparse" or row != 3:
            assert source_image.read(cell_uri(file, row, column)) == data
            assert source_image.size(cell_uri(file, row, column)) == len(data)


def test_neighbours_cost_one_reading_of_their_row_group(file: str, opened: list[int]) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda row: source_image.read(cell_uri(file, row, "plain")), range(50))) == IMAGES
    assert sorted(opened) == [0, 1, 2, 3]


def test_row_groups_read_long_ago_leave_the_cache(file: str, opened: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_images, "CACHED_BYTES", 20_000)
    for row in (0, 20, 0):
        source_image.read(cell_uri(file, row, "plain"))
    assert opened == [0, 1, 0]
    monkeypatch.setattr(parquet_images, "CACHED_BYTES", 200_000)
    for row in (20, 0):
        source_image.read(cell_uri(file, row, "plain"))
    assert opened == [0, 1, 0, 1]


def test_a_changed_file_is_read_again(file: str, opened: list[int]) -> None:
    uri = cell_uri(file, 1, "image")
    for version, data in (("1", b"old"), ("2", b"new")):
        pq.write_table(pa.table({"image": [b"", data]}), file)
        assert source_image.read(uri, version) == data


def test_a_missing_file_row_column_or_value_has_its_code(file: str, opened: list[int]) -> None:
    assert code_of(cell_uri(file + "x.parquet", 0, "plain")) == "key_missing"
    assert code_of(cell_uri(file, 50, "plain")) == "key_missing"
    assert code_of(cell_uri(file, 3, "sparse")) == "key_missing"
    assert code_of(cell_uri(file, 0, "none")) == "corrupt"


def test_a_file_that_is_no_parquet_is_corrupt(tmp_path: Path, opened: list[int]) -> None:
    (tmp_path / "a.parquet").write_bytes(b"words, and more words")
    assert code_of(cell_uri(str(tmp_path / "a.parquet"), 0, "image")) == "corrupt"


def test_a_bucket_is_read_like_a_disk(file: str, s3: S3, opened: list[int]) -> None:
    files: Any = s3.files()
    files.mkdir("cells")
    storage.write("s3://cells/a.parquet", Path(file).read_bytes())
    assert [source_image.read(cell_uri("s3://cells/a.parquet", row, "named")) for row in range(50)] == IMAGES
    assert opened == [0, 1, 2, 3]
    assert code_of(cell_uri("s3://cells/b.parquet", 0, "named")) == "key_missing"
