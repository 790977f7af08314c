"""`fetch` reads the bytes of each source; a failure concerns its row alone."""

import hashlib

import pyarrow as pa
import pytest

from operators.fetch import Fetch
from operators.pictures.codec import Limits
from operators.rows.schema import check_schema


def index_rows(*uris, sizes=None, **own):
    count = len(uris)
    return pa.table(
        {
            "image_id": [f"{number:032x}" for number in range(count)],
            "uri": list(uris),
            "path": [uri.lstrip("/") for uri in uris],
            "shard": [0] * count,
            "size": pa.array(sizes or [None] * count, pa.int64()),
            "etag": [""] * count,
            **own,
        }
    )


def codes(table):
    return [None if failure is None else failure["code"] for failure in table["failure"].to_pylist()]


@pytest.fixture
def three(tmp_path):
    uris = []
    for name, data in (("a b#%.jpg", b"first"), ("ü.png", b"second one"), ("empty.png", b"")):
        (tmp_path / name).write_bytes(data)
        uris.append(str(tmp_path / name))
    return uris


def test_index_rows_leave_as_complete_rows_with_their_bytes(three):
    done = Fetch().apply(index_rows(*three))
    check_schema(done, "fetch")
    assert done["bytes"].to_pylist() == [b"first", b"second one", b""]
    assert done["source_sha256"].to_pylist() == [hashlib.sha256(data).hexdigest() for data in done["bytes"].to_pylist()]
    assert done["size"].to_pylist() == [5, 10, 0]
    assert codes(done) == [None, None, None]


@pytest.mark.parametrize("threads", [1, 8])
def test_the_order_of_rows_is_kept(three, threads):
    assert Fetch(threads=threads).apply(index_rows(*three * 10))["uri"].to_pylist() == three * 10


def test_the_users_own_columns_survive(three):
    own = pa.array(["CC0", None, "BY"]).dictionary_encode()
    done = Fetch().apply(index_rows(*three, licence=own))
    assert done["licence"].type == own.type
    assert done["licence"].to_pylist() == ["CC0", None, "BY"]


def test_a_missing_key_is_a_failure_of_its_row_alone(three, tmp_path):
    done = Fetch().apply(index_rows(three[0], str(tmp_path / "none.jpg"), three[1]))
    assert codes(done) == [None, "key_missing", None]
    assert done["bytes"].to_pylist() == [b"first", None, b"second one"]


def test_an_object_over_the_byte_limit_is_not_read(three):
    done = Fetch(limits=Limits(max_bytes=5)).apply(index_rows(*three[:2], sizes=[5, 10]))
    assert codes(done) == [None, "bytes_over_limit"]
    assert done["bytes"].to_pylist() == [b"first", None]


def test_an_object_of_unknown_size_meets_the_byte_limit_too(three):
    done = Fetch(limits=Limits(max_bytes=5)).apply(index_rows(*three[:2]))
    assert codes(done) == [None, "bytes_over_limit"]
    assert done["bytes"].to_pylist() == [b"first", None]


def test_time_in_storage_is_measured_separately(three):
    [timing] = Fetch().apply(index_rows(three[0]))["timings"].to_pylist()[0]
    assert timing["operator"] == "fetch"
    assert 0 < timing["io"] <= timing["total"]
    assert timing["model"] == timing["codec"] == 0


def test_an_image_inside_a_parquet_file_is_fetched_and_gets_a_file_extension(tmp_path, saved):
    import numpy as np
    import pyarrow.parquet as pq

    png, words = saved(np.zeros((4, 4, 3), np.uint8), "PNG"), b"words"
    pq.write_table(pa.table({"image": [png, words]}), tmp_path / "in.parquet")
    uris = [f"{tmp_path}/in.parquet#row={row}&column=image" for row in range(2)]
    rows = index_rows(*uris)
    rows = rows.set_column(rows.schema.get_field_index("path"), "path", pa.array(["in.parquet/0", "in.parquet/1"]))
    done = Fetch().apply(rows)
    assert done["bytes"].to_pylist() == [png, words]
    assert done["size"].to_pylist() == [len(png), 5]
    assert done["path"].to_pylist() == ["in.parquet/0.png", "in.parquet/1"]


def test_an_image_inside_a_parquet_file_meets_the_byte_limit(tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [b"123456"]}), tmp_path / "in.parquet")
    done = Fetch(limits=Limits(max_bytes=5)).apply(index_rows(f"{tmp_path}/in.parquet#row=0&column=image"))
    assert codes(done) == ["bytes_over_limit"]


def test_a_row_outside_of_the_allowed_places_is_not_read_and_its_neighbours_are(three, tmp_path):
    rows = index_rows("file:///etc/passwd", three[0], "http://127.0.0.1:1/a.png", f"{tmp_path}/../a.png")
    done = Fetch(allow=(str(tmp_path),)).apply(rows)
    assert codes(done) == ["source_not_allowed", None, "source_not_allowed", "source_not_allowed"]
    assert done["bytes"].to_pylist() == [None, b"first", None, None]
    assert "--allow names; /etc would allow it" in done["failure"][0].as_py()["message"]
