"""Images inside the present state of tables that their own libraries wrote."""

from __future__ import annotations

import io
from pathlib import Path

import lance
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from PIL import Image
from pyiceberg.catalog.memory import InMemoryCatalog

from operators.rows.failure import Failure, RunError
from operators.storage import source_image
from operators.storage.allowed import is_allowed, places_of
from operators.storage.listing import list_source, own_columns
from operators.storage.parquet_images import cell_uri


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 3), grey).save(buffer, "PNG")
    return buffer.getvalue()


def rows(*greys: int) -> pa.Table:
    return pa.table({"image": pa.array([png(grey) for grey in greys], pa.binary()), "label": [f"{grey}" for grey in greys]})


@pytest.fixture
def delta(tmp_path: Path) -> str:
    """A Delta table of two files, which replaced a first one."""
    write_deltalake(tmp_path / "photos", rows(9))
    write_deltalake(tmp_path / "photos", rows(0, 1), mode="overwrite")
    write_deltalake(tmp_path / "photos", rows(2, 3), mode="append")
    return str(tmp_path / "photos" / "_delta_log")


@pytest.fixture
def iceberg(tmp_path: Path) -> str:
    """An Iceberg table of two files, which replaced a first one."""
    catalog = InMemoryCatalog("own", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.photos", rows(0).schema)
    table.append(rows(9))
    table.overwrite(rows(0, 1))
    table.append(rows(2, 3))
    return table.metadata_location.removeprefix("file://")


@pytest.fixture
def lance_dataset(tmp_path: Path) -> str:
    """A Lance dataset of two fragments, which replaced a first one."""
    place = str(tmp_path / "photos.lance")
    lance.write_dataset(rows(9), place)
    lance.write_dataset(rows(0, 1), place, mode="overwrite")
    lance.write_dataset(rows(2, 3), place, mode="append")
    return place


@pytest.fixture(params=["delta", "iceberg", "lance_dataset"])
def source(request: pytest.FixtureRequest) -> str:
    table: str = request.getfixturevalue(request.param)
    return table


def test_each_current_row_is_an_image_with_the_users_columns(source: str) -> None:
    images = list(list_source(source))
    pictures = {image.own["label"]: source_image.read(image.uri, image.etag) for image in images}
    assert pictures == {f"{number}": png(number) for number in range(4)}
    assert len({image.path for image in images}) == 4
    assert own_columns(source).names == ["label"]
    assert list(list_source(f"{source}#column=image")) == images


def test_the_images_of_a_table_may_be_read(source: str) -> None:
    places = places_of(source)
    assert places and all(is_allowed(image.uri, places) for image in list_source(source))


def test_a_partitioned_delta_table_is_refused(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "parts", rows(0, 1), partition_by=["label"])
    with pytest.raises(RunError, match="is partitioned") as refused:
        list(list_source(f"{tmp_path}/parts/_delta_log"))
    assert refused.value.code == "manifest_invalid"


def test_a_delta_table_that_may_have_deletion_vectors_is_refused(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "vectors", rows(0, 1), configuration={"delta.enableDeletionVectors": "true"})
    with pytest.raises(RunError, match="deletion vectors") as refused:
        list(list_source(f"{tmp_path}/vectors/_delta_log"))
    assert refused.value.code == "manifest_invalid"


@pytest.mark.parametrize("name", ["none/_delta_log", "none/metadata/00000-a.metadata.json", "none.lance"])
def test_a_table_that_is_not_there_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError) as refused:
        list(list_source(f"{tmp_path}/{name}"))
    assert refused.value.code == "source_missing"
    assert ".rs:" not in refused.value.message


def test_the_images_of_a_lance_dataset_are_those_of_the_version_that_was_listed(lance_dataset: str) -> None:
    images = list(list_source(lance_dataset))
    lance.write_dataset(rows(7, 7, 7, 7), lance_dataset, mode="overwrite")
    assert [source_image.read(image.uri, image.etag) for image in images] == [png(number) for number in range(4)]
    assert {image.etag for image in images}.isdisjoint(image.etag for image in list_source(lance_dataset))


@pytest.mark.parametrize("row", [1, 2], ids=["null", "beyond the end"])
def test_a_cell_that_is_not_there_is_missing(tmp_path: Path, row: int) -> None:
    cells = pa.array([{"bytes": png(3), "path": "3.png"}, {"bytes": None, "path": "4.png"}])
    lance.write_dataset(pa.table({"image": cells}), str(tmp_path / "x.lance"))
    images = list(list_source(str(tmp_path / "x.lance")))
    assert [image.path for image in images] == ["x.lance/0/3.png", "x.lance/1/4.png"]
    assert source_image.read(images[0].uri, images[0].etag) == png(3)
    with pytest.raises(Failure) as refused:
        source_image.read(cell_uri(str(tmp_path / "x.lance"), row, "image"), images[0].etag)
    assert refused.value.code == "key_missing"


def test_a_table_is_left_as_it_was(delta: str) -> None:
    before = DeltaTable(Path(delta).parent).version()
    list(list_source(delta))
    assert DeltaTable(Path(delta).parent).version() == before
