"""How operators read and write the row table: views without copies, and replaced columns.

An operator's work on one image is a function from a `Row` to the values that the operator adds.
`map_rows` calls it for every row without a failure, turns an exception into the row's `failure`,
times the call, and puts the new values in place. Columns and region children that the operator
does not add keep their buffers: nothing is rebuilt through Python lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.deadline import deadline
from operators.rows.failure import failure_of
from operators.rows.overlay import Overlay, overlay_from
from operators.rows.records import BoxRecord, FailureRecord, FillRecord, RegionRecord, TimingRecord
from operators.rows.schema import PIXEL_CHILDREN, PIXEL_COLUMNS, REGION, SCHEMA, SchemaError
from operators.rows.timing import row_timing
from operators.rows.transparency import Transparency

REGION_FIELDS = list(REGION)
REGION_NAMES = [field.name for field in REGION_FIELDS]


def _view(array: pa.Array, index: int) -> memoryview:
    """The bytes of one value of a large_binary array, without a copy."""
    _, offsets, data = array.buffers()
    start, end = np.frombuffer(offsets, np.int64)[array.offset + index : array.offset + index + 2]
    if data is None:
        return memoryview(b"")
    view: memoryview = memoryview(data)[int(start) : int(end)]
    return view


def as_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one contiguous array; it is copied only if it has several chunks."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


class _Arrays(Mapping[str, pa.Array]):
    """Arrays by name, each of which is made when it is first needed.

    An operator reads a few of the dozens of columns, and most rows have no region at all.
    """

    def __init__(self, names: Sequence[str], make: Callable[[str], pa.Array]) -> None:
        self._names, self._make = names, make
        self._made: dict[str, pa.Array] = {}

    def __getitem__(self, name: str) -> pa.Array:
        """The array of a name. Raises KeyError."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        """The names in order."""
        return iter(self._names)

    def __len__(self) -> int:
        """The number of names."""
        return len(self._names)


@dataclass(frozen=True)
class Region:
    """A view of one region of one row."""

    fields: Mapping[str, pa.Array]
    position: int

    def __getitem__(self, name: str) -> Any:
        """A child as a Python value; use `array` or `fill` for children that hold pixels."""
        return self.fields[name][self.position].as_py()

    @property
    def crop(self) -> Box:
        """The region's context crop in upright source pixels."""
        return Box(**self["crop"])

    def polygons_on_crop(self) -> list[list[list[float]]]:
        """The region's polygons in pixels of the crop."""
        crop = self.crop
        return [[[x - crop.x, y - crop.y] for x, y in polygon] for polygon in self["polygons"]]

    def array(self, name: str, channels: int) -> Pixels:
        """`pixels` (3 channels) or `mask` (4 channels) as uint8 height x width x channels.

        The array is a read-only view.
        """
        crop = self.crop
        flat = np.frombuffer(_view(self.fields[name], self.position), np.uint8)
        return flat.reshape(crop.height, crop.width, channels)

    def transparency(self) -> Transparency | None:
        """The crop's alpha (a read-only view) and ground; None if it is opaque."""
        record = self.fields["transparency"]
        if not record[self.position].is_valid:
            return None
        crop, alpha = self.crop, np.frombuffer(_view(record.field("alpha"), self.position), np.uint8)
        return Transparency(alpha.reshape(crop.height, crop.width), record.field("ground")[self.position].as_py())

    def overlay(self) -> Overlay | None:
        """The known mark on the region's crop; None for a region without one."""
        record = self.fields["overlay"]
        if not record[self.position].is_valid:
            return None
        box = Box(**record.field("box")[self.position].as_py())
        alpha, colour = (_view(record.field(name), self.position) for name in ("alpha", "colour"))
        return overlay_from(alpha, colour, box).moved(box, self.crop)

    def fill(self) -> Pixels | None:
        """The fill as uint8 height x width x 3 at the size of the fill; None if there is none."""
        fills = self.fields["fill"]
        if not fills[self.position].is_valid:
            return None
        width, height = fills.field("width")[self.position].as_py(), fills.field("height")[self.position].as_py()
        return np.frombuffer(_view(fills.field("data"), self.position), np.uint8).reshape(height, width, 3)

    def probability(self) -> tuple[Pixels, BoxRecord]:
        """The probability map and the box that it spans in upright source pixels.

        The map is a read-only view, uint8 height x width.
        """
        maps = self.fields["probability"]
        width, height = maps.field("width")[self.position].as_py(), maps.field("height")[self.position].as_py()
        data = np.frombuffer(_view(maps.field("data"), self.position), np.uint8).reshape(height, width)
        return data, cast(BoxRecord, maps.field("box")[self.position].as_py())

    def record(self) -> RegionRecord:
        """All children as Python values, pixels copied, for operators that regroup regions."""
        return cast(RegionRecord, {name: self[name] for name in self.fields})


@dataclass(frozen=True)
class Row:
    """A view of one row of a batch."""

    columns: Mapping[str, pa.Array]
    fields: Mapping[str, pa.Array]
    starts: npt.NDArray[np.int64]
    position: int

    def __getitem__(self, name: str) -> Any:
        """A column as a Python value; use `data` for `bytes` and `encoded`."""
        return self.columns[name][self.position].as_py()

    def data(self, name: str) -> memoryview | None:
        """`bytes` or `encoded` without a copy; None if the column is null."""
        column = self.columns[name]
        return _view(column, self.position) if column[self.position].is_valid else None

    @property
    def regions(self) -> list[Region]:
        """The row's regions in order; empty before `detect` and if `detect` found nothing."""
        first, last = int(self.starts[self.position]), int(self.starts[self.position + 1])
        return [Region(self.fields, position) for position in range(first, last)]


def row_views(batch: pa.Table) -> list[Row]:
    """One view per row of the batch."""
    columns = _Arrays(batch.column_names, lambda name: as_array(batch[name]))
    flat, starts = _flat_regions(columns["regions"])
    fields = _Arrays(REGION_NAMES, flat.field)
    return [Row(columns, fields, starts, position) for position in range(len(batch))]


def _flat_regions(regions: pa.ListArray) -> tuple[pa.StructArray, npt.NDArray[np.int64]]:
    """The regions of all rows one after the other, and where those of each row begin and end.

    It is a view unless a null has regions below it. `flatten` gives the same, but builds every
    child anew if there is a null.
    """
    if not len(regions):
        return regions.flatten(), np.zeros(1, np.int64)
    offsets = regions.offsets.to_numpy().astype(np.int64)
    if regions.null_count and offsets[-1] > offsets[0]:
        valid = regions.is_valid().to_numpy(zero_copy_only=False)
        lengths = np.where(valid, np.diff(offsets), 0)
        if lengths.sum() < offsets[-1] - offsets[0]:
            return regions.flatten(), np.concatenate([[0], np.cumsum(lengths)])
    return regions.values.slice(offsets[0], offsets[-1] - offsets[0]), offsets - offsets[0]


def _set_column(batch: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return batch.set_column(batch.schema.names.index(name), name, values)


def swap_children(batch: pa.Table, children: Mapping[str, pa.Array]) -> pa.Table:
    """The batch with some children of its regions replaced.

    Each array has one value per region of the whole batch.
    """
    regions = as_array(batch["regions"])
    flat, starts = _flat_regions(regions)
    if not len(flat):
        return batch
    arrays = [children.get(name, flat.field(name)) for name in REGION_NAMES]
    offsets = starts.astype(np.int32)
    nulls = regions.is_null() if regions.null_count else None
    struct = pa.StructArray.from_arrays(arrays, fields=REGION_FIELDS)
    lists = pa.ListArray.from_arrays(pa.array(offsets), struct, type=SCHEMA.field("regions").type, mask=nulls)
    return _set_column(batch, "regions", lists)


Additions = Mapping[str, Any]
"""The values that an operator adds to one row.

A column name maps to its value, `regions.child` to one value per region of the row.
"""


@dataclass(frozen=True)
class _Outcome:
    """The result of the work on one row; without a timing, the row was passed over."""

    added: Additions | None = None
    failure: FailureRecord | None = None
    timing: TimingRecord | None = None


def map_rows(
    batch: pa.Table,
    name: str,
    adds: Sequence[str],
    work: Callable[[Row], Additions | None],
    *,
    threads: int = 1,
    failed_too: bool = False,
) -> pa.Table:
    """Apply `work` to every row without a failure, and put the results in the columns of `adds`.

    `work` returns the new values, or None to leave the row as it is. It raises `Failure` to end
    the row; any other exception is recorded as `operator_error`. With several `threads` the rows
    of the batch are processed concurrently, which only helps operators that wait for storage.
    With `failed_too`, rows with a failure are passed to `work` as well.
    """
    rows = row_views(batch)

    def attempt(row: Row) -> _Outcome:
        if row.columns["failure"][row.position].is_valid and not failed_too:
            return _Outcome()
        failure: FailureRecord | None = None
        with row_timing(name) as timing, deadline(name):
            try:
                added = work(row)
            except Exception as error:
                reason = failure_of(error)
                added, failure = None, {"operator": name, "code": reason.code, "message": reason.message}
        return _Outcome(added, failure, timing)

    if threads > 1 and len(rows) > 1:
        with ThreadPoolExecutor(threads) as pool:
            outcomes = list(pool.map(attempt, rows))
    else:
        outcomes = [attempt(row) for row in rows]

    batch = _put_additions(batch, rows, name, adds, [outcome.added for outcome in outcomes])
    failures = [outcome.failure or row["failure"] for row, outcome in zip(rows, outcomes, strict=True)]
    timings = [
        (row["timings"] or []) + ([outcome.timing] if outcome.timing else [])
        for row, outcome in zip(rows, outcomes, strict=True)
    ]
    batch = _set_column(batch, "failure", pa.array(failures, SCHEMA.field("failure").type))
    return _set_column(batch, "timings", pa.array(timings, SCHEMA.field("timings").type))


def derive(batch: pa.Table, name: str, adds: Sequence[str], work: Callable[[Row], Additions | None]) -> pa.Table:
    """Like `map_rows`, for values that follow from the row alone.

    `work` is called for every row, failed or not. It is not timed, and its exceptions are raised.
    """
    rows = row_views(batch)
    return _put_additions(batch, rows, name, adds, [work(row) for row in rows])


def _put_additions(
    batch: pa.Table, rows: Sequence[Row], name: str, adds: Sequence[str], added: Sequence[Additions | None]
) -> pa.Table:
    """The batch with the additions in place; a row without additions keeps its values.

    Raises SchemaError, naming the operator and the column, for additions that do not fit.
    """
    for row, new in zip(rows, added, strict=True):
        _check_additions(row, name, adds, new or {})
    # What no row gets stays as it is: reading pixels and writing them again costs time.
    given = {path for new in added for path, value in (new or {}).items() if "." not in path or value is not None}
    children, has_regions = {}, any(row.regions for row in rows)
    for path in (path for path in adds if path in given):
        column, _, child = path.partition(".")
        if child and not has_regions:
            continue
        if child:
            values = [value for row, new in zip(rows, added, strict=True) for value in _child_values(row, new, child)]
            children[child] = pa.array(values, REGION.field(child).type)
        else:
            values = [new[column] if new and column in new else row[column] for row, new in zip(rows, added, strict=True)]
            batch = _set_column(batch, column, pa.array(values, batch.schema.field(column).type))
    return swap_children(batch, children) if children else batch


def _check_additions(row: Row, name: str, adds: Sequence[str], new: Additions) -> None:
    """Raise SchemaError for a column that the operator does not add or a wrong value count."""
    regions = len(row.regions)
    for path, values in new.items():
        if path not in adds:
            raise SchemaError(f"{name}: adds {path!r}, which is not among its columns ({', '.join(adds)})")
        if path.startswith("regions.") and values is not None and len(values) != regions:
            raise SchemaError(f"{name}: {len(values)} values of {path!r} for {regions} regions")


def _child_values(row: Row, added: Additions | None, child: str) -> Iterable[Any]:
    values = None if added is None else added.get(f"regions.{child}")
    return values if values is not None else (region[child] for region in row.regions)


def without_pixels(batch: pa.Table) -> pa.Table:
    """The batch with nulls in place of pixels and region embeddings, for delivered images."""
    for name in PIXEL_COLUMNS:
        batch = _set_column(batch, name, pa.nulls(len(batch), SCHEMA.field(name).type))
    regions = len(_flat_regions(as_array(batch["regions"]))[0])
    return swap_children(batch, {name: pa.nulls(regions, REGION.field(name).type) for name in PIXEL_CHILDREN})


def fill_record(fill: Pixels) -> FillRecord:
    """A fill (uint8 height x width x 3) as the row's FILL struct."""
    return {"data": fill.tobytes(), "width": fill.shape[1], "height": fill.shape[0]}
