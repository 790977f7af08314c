"""Views of rows, new values in their places, and buffers that stay the same."""

import threading

import numpy as np
import pyarrow as pa
import pytest

from operators.rows.failure import Failure
from operators.rows.schema import PIXEL_CHILDREN, REGION, SchemaError, check_schema
from operators.rows.table import as_array, derive, fill_record, map_rows, row_views, swap_children, without_pixels


@pytest.fixture
def batch(rows, text_region, open_region):
    """Four rows: with two regions, before detection, without text, and with one region."""
    pixels = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    hole = np.zeros((5, 6), bool)
    hole[1:3, 2:5] = True
    softened = open_region(10, 20, pixels, hole)
    return rows(
        {"uri": "a", "bytes": b"first", "regions": [text_region(0, 0, 3, 2), softened]},
        {"uri": "b", "bytes": b"", "regions": None},
        {"uri": "c", "bytes": None, "regions": []},
        {"uri": "d", "bytes": b"fourth", "regions": [softened]},
    )


def layouts(table):
    """The same rows as one chunk, as several, and as slices of a longer table."""
    padded = pa.concat_tables([table.slice(2), table, table.slice(0, 1)]).combine_chunks()
    return {
        "one chunk": table,
        "several chunks": pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3)]),
        "slice": padded.slice(len(table) - 2, len(table)),
        "slice across chunks": pa.concat_tables([table.slice(2), table, table]).slice(len(table) - 2, len(table)),
    }


LAYOUTS = ["one chunk", "several chunks", "slice", "slice across chunks"]


@pytest.fixture(params=LAYOUTS)
def laid_out(request, batch):
    return layouts(batch)[request.param]


def address(array):
    return as_array(array).buffers()[2].address


def test_a_row_is_a_view_of_its_values(laid_out):
    seen = row_views(laid_out)
    assert [row["uri"] for row in seen] == ["a", "b", "c", "d"]
    assert [None if row.data("bytes") is None else bytes(row.data("bytes")) for row in seen] == [b"first", b"", None, b"fourth"]
    assert [len(row.regions) for row in seen] == [2, 0, 0, 1]
    assert [region["state"] for region in seen[0].regions] == ["open", "open"]


def test_bytes_and_pixels_are_seen_without_a_copy(batch):
    row = row_views(batch)[3]
    stored = batch["bytes"].chunk(0).buffers()[2]
    seen = np.frombuffer(row.data("bytes"), np.uint8)
    assert stored.address <= seen.ctypes.data < stored.address + stored.size
    pixels = batch["regions"].chunk(0).flatten().field("pixels").buffers()[2]
    assert pixels.address <= row.regions[0].array("pixels", 3).ctypes.data < pixels.address + pixels.size


def test_a_region_shows_its_pixels_mask_and_probability(laid_out):
    region = row_views(laid_out)[3].regions[0]
    assert np.array_equal(region.array("pixels", 3).ravel(), np.arange(90))
    assert region.array("mask", 4)[1, 2].tolist() == [255, 255, 255, 0]
    probability, box = region.probability()
    assert probability.shape == (2, 3)
    assert box == {"x": 12, "y": 21, "width": 3, "height": 2}
    assert region.fill() is None


def test_a_fill_may_be_smaller_than_its_crop(batch):
    small = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    done = map_rows(batch, "fill", ("regions.fill",), lambda row: {"regions.fill": [fill_record(small) for _ in row.regions]})
    assert np.array_equal(row_views(done)[3].regions[0].fill(), small)


def test_new_values_are_put_in_their_columns(laid_out):
    done = map_rows(laid_out, "measure", ("width", "regions.rung"), lambda row: {
        "width": ord(row["uri"]),
        "regions.rung": [f"{row['uri']}{number}" for number, _ in enumerate(row.regions)],
    })  # fmt: skip
    check_schema(done, "measure")
    assert done["width"].to_pylist() == [97, 98, 99, 100]
    rungs = [None if found is None else [region["rung"] for region in found] for found in done["regions"].to_pylist()]
    assert rungs == [["a0", "a1"], None, [], ["d0"]]


def test_values_that_an_operator_does_not_add_stay_the_same(laid_out):
    done = map_rows(laid_out, "measure", ("width", "regions.rung"), lambda row: {"regions.rung": ["x" for _ in row.regions]})
    for before, after in zip(laid_out.to_pylist(), done.to_pylist(), strict=True):
        for record in (before, after):
            record.pop("timings")
            for region in record["regions"] or []:
                region.pop("rung")
        assert before == after


def test_an_operator_that_returns_none_leaves_the_row(laid_out):
    done = map_rows(laid_out, "idle", ("width", "encoded", "regions.state"), lambda row: None)
    assert done.drop_columns(["timings"]).to_pylist() == laid_out.drop_columns(["timings"]).to_pylist()


def test_what_no_row_gets_keeps_its_buffers(batch):
    adds = ("width", "regions.mask", "regions.state")
    result = map_rows(batch, "idle", adds, lambda row: {"regions.mask": None})
    for child in ("mask", "state"):
        before, after = (table["regions"].chunk(0).values.field(child) for table in (batch, result))
        assert address(after) == address(before)


def test_swapping_a_child_keeps_the_buffers_of_the_others(batch):
    before = batch["regions"].chunk(0).flatten()
    done = swap_children(batch, {"rung": pa.array(["x", "y", "z"])})
    after = as_array(done["regions"]).flatten()
    assert after.field("rung").to_pylist() == ["x", "y", "z"]
    for name in ("pixels", "mask"):
        assert address(after.field(name)) == address(before.field(name))
    assert address(after.field("probability").field("data")) == address(before.field("probability").field("data"))
    for field in REGION:
        if field.name != "rung":
            assert after.field(field.name).equals(before.field(field.name))


def test_adding_a_column_keeps_the_buffers_of_the_others(batch):
    done = map_rows(batch, "size", ("width",), lambda row: {"width": 1})
    assert address(done["bytes"]) == address(batch["bytes"])
    assert address(as_array(done["regions"]).flatten().field("pixels")) == address(
        batch["regions"].chunk(0).flatten().field("pixels")
    )


def test_own_columns_survive(batch):
    own = pa.array([1, None, 3, 4], pa.decimal128(5, 2))
    done = map_rows(batch.append_column("price", own), "size", ("width", "regions.rung"), lambda row: {"width": 1})
    assert done["price"].type == pa.decimal128(5, 2)
    assert done["price"].to_pylist() == own.to_pylist()


def test_a_failure_ends_its_row_and_no_other(laid_out):
    def work(row):
        if row["uri"] == "b":
            raise Failure("truncated", "12 bytes missing")
        if row["uri"] == "c":
            raise ZeroDivisionError("oops")
        if row["uri"] == "d":
            raise MemoryError
        return {"width": 5}

    done = map_rows(laid_out, "measure", ("width",), work)
    assert done["width"].to_pylist() == [5, None, None, None]
    assert done["failure"].to_pylist() == [
        None,
        {"operator": "measure", "code": "truncated", "message": "12 bytes missing"},
        {"operator": "measure", "code": "operator_error", "message": "ZeroDivisionError: oops"},
        {"operator": "measure", "code": "out_of_memory", "message": "out of memory"},
    ]


def test_a_failed_row_passes_through_untouched(batch):
    def fail(row):
        raise Failure("corrupt", "no")

    failed = map_rows(batch, "first", ("width",), fail)
    done = map_rows(failed, "second", ("width", "bytes", "regions.rung", "regions.state"), lambda row: {"width": 1})
    assert done.to_pylist() == failed.to_pylist()


def test_an_operator_may_ask_for_failed_rows_too(batch):
    def fail(row):
        raise Failure("animated", "2 frames")

    failed = map_rows(batch, "first", (), fail)
    done = map_rows(failed, "write", ("output_uri",), lambda row: {"output_uri": row["failure"]["code"]}, failed_too=True)
    assert done["output_uri"].to_pylist() == ["animated"] * 4
    assert done["failure"].equals(failed["failure"])


def test_every_operator_leaves_its_own_timing(batch):
    done = map_rows(map_rows(batch, "first", (), lambda row: None), "second", (), lambda row: None)
    for timings in done["timings"].to_pylist():
        assert [timing["operator"] for timing in timings] == ["first", "second"]
        assert all(timing["total"] >= timing["model"] + timing["codec"] + timing["io"] for timing in timings)


def test_threads_work_at_the_same_time_and_keep_the_order(batch):
    meet = threading.Barrier(4, timeout=10)

    def work(row):
        meet.wait()
        return {"mode": row["uri"]}

    assert map_rows(batch, "io", ("mode",), work, threads=4)["mode"].to_pylist() == ["a", "b", "c", "d"]


def test_an_empty_batch_stays_one(batch):
    empty = map_rows(batch.slice(0, 0), "size", ("width", "regions.rung"), lambda row: {"width": 1})
    check_schema(empty, "size")
    assert len(empty) == 0
    check_schema(without_pixels(empty), "size")


def test_the_number_of_regions_may_change(laid_out, text_region):
    done = map_rows(laid_out, "detect", ("regions",), lambda row: {"regions": [text_region(0, 0, 1, 1)] * ord(row["uri"])})
    check_schema(done, "detect")
    assert [len(found) for found in done["regions"].to_pylist()] == [97, 98, 99, 100]


def test_a_column_that_an_operator_does_not_add_is_refused_by_name(batch):
    with pytest.raises(SchemaError, match="black_out: adds 'mode', which is not among its columns"):
        map_rows(batch, "black_out", ("regions.state",), lambda row: {"mode": "RGB"})


def test_a_wrong_number_of_values_for_the_regions_is_refused_by_name(batch):
    with pytest.raises(SchemaError, match=r"black_out: 1 values of 'regions\.state' for 2 regions"):
        map_rows(batch, "black_out", ("regions.state",), lambda row: {"regions.state": ["accepted"]})


def test_values_are_derived_for_failed_rows_as_well(batch):
    def fail(row):
        raise Failure("corrupt", "no")

    failed = map_rows(batch, "first", (), fail)
    done = derive(failed, "compose", ("verdict",), lambda row: {"verdict": row["failure"]["code"]})
    assert done["verdict"].to_pylist() == ["corrupt"] * 4
    assert done["timings"].equals(failed["timings"])


def test_without_pixels_only_columns_without_pixels_keep_values(laid_out):
    slim = without_pixels(laid_out)
    check_schema(slim, "write")
    assert slim["bytes"].null_count == slim["encoded"].null_count == 4
    for before, after in zip(laid_out["regions"].to_pylist(), slim["regions"].to_pylist(), strict=True):
        assert (before is None) == (after is None)
        for whole, left in zip(before or [], after or [], strict=True):
            assert left == {name: None if name in PIXEL_CHILDREN else value for name, value in whole.items()}


def test_rows_without_regions_stay_null_or_empty_where_an_operator_adds_children(batch):
    without = batch.slice(1, 2)
    result = map_rows(without, "tester", ("regions.state", "width"), lambda row: {"regions.state": [], "width": 7})
    assert result["regions"].to_pylist() == [None, []]
    assert result["width"].to_pylist() == [7, 7]
    check_schema(result, "tester")


def test_regions_below_a_null_belong_to_no_row(batch):
    regions = as_array(batch["regions"])
    hidden = pa.ListArray.from_arrays(
        regions.offsets, regions.values, type=regions.type, mask=pa.array([True, False, False, False])
    )
    table = batch.set_column(batch.schema.names.index("regions"), "regions", hidden)
    seen = row_views(table)
    assert [len(row.regions) for row in seen] == [0, 0, 0, 1]
    assert seen[3].regions[0]["state"] == row_views(batch)[3].regions[0]["state"]
    assert np.array_equal(seen[3].regions[0].array("pixels", 3), row_views(batch)[3].regions[0].array("pixels", 3))
    swapped = swap_children(table, {"state": pa.array(["accepted"])})
    assert [[region["state"] for region in row.regions] for row in row_views(swapped)] == [[], [], [], ["accepted"]]
