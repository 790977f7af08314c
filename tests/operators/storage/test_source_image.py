"""Source images: separate objects, or cells of Parquet files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.storage import source_image
from operators.storage.parquet_images import cell_uri
from operators.storage.source_image import SourceImage


@pytest.fixture(params=["object", "cell"])
def uri(request, tmp_path):
    """An image of nine bytes, as a separate file or as a cell of a Parquet file."""
    if request.param == "object":
        (tmp_path / "image.jpg").write_bytes(b"the image")
        return str(tmp_path / "image.jpg")
    pq.write_table(pa.table({"image": pa.array([b"another", b"the image"], pa.binary())}), tmp_path / "images.parquet")
    return cell_uri(str(tmp_path / "images.parquet"), 1, "image")


def test_an_image_is_read_and_measured(uri):
    assert source_image.read(uri) == b"the image"
    assert source_image.size(uri) == 9


def test_an_image_is_copied_unchanged(uri, tmp_path):
    target = str(tmp_path / "out" / "image.jpg")
    source_image.copy(uri, target)
    assert Path(target).read_bytes() == b"the image"


def test_an_image_id_depends_on_uri_and_etag():
    ids = {SourceImage(uri, "p", 1, etag).image_id for uri in ("s3://b/a", "s3://b/b") for etag in ("1", "2")}
    assert len(ids) == 4
    assert SourceImage("s3://b/a", "other path", 99, "1").image_id in ids
    assert all(len(bytes.fromhex(image_id)) == 16 for image_id in ids)
