"""Images inside the Arrow files of a dataset that was saved to disk."""

from __future__ import annotations

import io
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from PIL import Image

from operators.rows.failure import Failure, RunError
from operators.storage import source_image
from operators.storage.arrow_images import MappedFiles, map_file
from operators.storage.listing import list_source, own_columns


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 3), grey).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six pictures in two Arrow files, as `save_to_disk` writes them."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": [{"bytes": png(number), "path": f"{number}.png"} for number in range(6)], "label": [0, 1] * 3}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "in", num_shards=2)
    return tmp_path / "in"


def test_each_row_is_an_image_with_the_users_columns(dataset: Path) -> None:
    images = list(list_source(f"{dataset}/*.arrow"))
    assert [image.path for image in images[:4]] == [
        "data-00000-of-00002.arrow/0/0.png",
        "data-00000-of-00002.arrow/1/1.png",
        "data-00000-of-00002.arrow/2/2.png",
        "data-00001-of-00002.arrow/0/3.png",
    ]
    assert [source_image.read(image.uri, image.etag) for image in images] == [png(number) for number in range(6)]
    assert [image.own for image in images] == [{"label": number % 2} for number in range(6)]
    assert own_columns(f"{dataset}/*.arrow") == pa.schema([("label", pa.int64())])
    assert source_image.file_of(images[3].uri) == f"{dataset}/data-00001-of-00002.arrow"


def write(path: Path, stream: bool) -> None:
    """Three batches of two cells of bytes, one of them null."""
    schema = pa.schema([("picture", pa.binary())])
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(path, schema) as writer:
        for cells in ([b"a", b"b"], [b"c", None], [b"e", b"f"]):
            writer.write_batch(pa.record_batch([pa.array(cells, pa.binary())], schema=schema))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "file"])
def test_a_cell_is_found_across_batches(tmp_path: Path, stream: bool) -> None:
    write(tmp_path / "x.arrow", stream)
    files, uri = MappedFiles(), str(tmp_path / "x.arrow")
    assert map_file(uri).is_stream == stream
    assert [files.read(uri, row, "picture", "1") for row in (0, 1, 2, 4, 5)] == [b"a", b"b", b"c", b"e", b"f"]
    for row, column, code in ((3, "picture", "key_missing"), (6, "picture", "key_missing"), (0, "none", "corrupt")):
        with pytest.raises(Failure) as refused:
            files.read(uri, row, column, "1")
        assert refused.value.code == code


def test_another_version_of_a_file_is_mapped_anew(tmp_path: Path) -> None:
    write(tmp_path / "x.arrow", True)
    files, uri = MappedFiles(), str(tmp_path / "x.arrow")
    assert files.read(uri, 5, "picture", "1") == b"f"
    (tmp_path / "y.arrow").write_bytes(b"")
    with pa.ipc.new_stream(tmp_path / "y.arrow", pa.schema([("picture", pa.binary())])) as writer:
        writer.write_batch(pa.record_batch({"picture": pa.array([b"new"], pa.binary())}))
    (tmp_path / "y.arrow").replace(tmp_path / "x.arrow")
    assert files.read(uri, 0, "picture", "2") == b"new"


def test_a_file_that_is_no_arrow_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.arrow").write_bytes(b"these are words, and many of them")
    with pytest.raises(RunError) as refused:
        list(list_source(str(tmp_path / "x.arrow")))
    assert refused.value.code == "manifest_invalid"


def test_arrow_in_an_object_store_is_refused_before_it_is_read() -> None:
    with pytest.raises(Failure, match="on this machine only") as refused:
        map_file("s3://bucket/x.arrow")
    assert refused.value.code == "storage_error"
