"""Deliver the result of one image for the other images of the same content, its twins.

A twin gets the ledger row of the first image with its own names, columns and timings, and
`twin_of`. The file of a twin of the same bytes is a copy of the delivered one, checked by its
SHA-256, under its own name. A twin of the same pixels keeps its own file, with the same edit.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.bounds import Bounds
from flows.engine.fill_column import FILLS, FILLS_TYPE
from flows.engine.sharing import Twin, group_by_first, join_waiting, may_be_shared, waiting_rows
from flows.engine.twin_coder import TwinCoder, open_coder
from flows.flow import Flow
from operators.ledger import ledger
from operators.record import Record
from operators.rows.failure import Failure
from operators.rows.records import TimingRecord
from operators.rows.schema import LEDGER_SCHEMA
from operators.rows.timing import row_timing, timed
from operators.selection.zone_notes import has_zone_outside
from operators.storage import files as storage
from operators.storage import source_image
from operators.write import Write, check_ending

if TYPE_CHECKING:
    from ray.data import Dataset

THREADS = 8
LARGEST_GROUP = 128
"""Twins that are delivered by one task, which reads one shard of the ledger."""
READINGS = 3
"""How often a shard is read whose parts are merged meanwhile."""
TASK_CPUS = 0.5
"""A delivery mostly waits for storage."""


def deliver_here(flow: Flow, bounds: Bounds, twins: Sequence[bytes], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Deliver pickled twins in this process, and yield their rows as `deliver` returns them."""
    for shard, group in group_by_first(twins, LARGEST_GROUP):
        yield deliver(flow, bounds, shard, group, columns)


def delivery(flow: Flow, bounds: Bounds, twins: Sequence[bytes], columns: Sequence[str]) -> Dataset:
    """The lazy Ray Dataset that delivers pickled twins, and yields their rows as `deliver` does."""
    import ray.data

    groups = group_by_first(twins, LARGEST_GROUP)
    items = ray.data.from_items([{"shard": shard, "twins": group} for shard, group in groups], override_num_blocks=len(groups))

    def deliver_groups(table: pa.Table) -> pa.Table:
        parts = zip(table["shard"].to_pylist(), table["twins"].to_pylist(), strict=True)
        return pa.concat_tables([deliver(flow, bounds, shard, group, columns) for shard, group in parts])

    return items.map_batches(deliver_groups, batch_format="pyarrow", batch_size=1, num_cpus=TASK_CPUS)


def deliver(flow: Flow, bounds: Bounds, shard: int, twins: Sequence[bytes], columns: Sequence[str]) -> pa.Table:
    """Deliver twins whose first images are in one shard of the ledger, and commit their rows.

    The result has these `columns`, and WAITING for the twins that cannot be delivered: the first
    image has no result, or a failure that its twins need not have; or its file is not as the
    ledger says; or the copy cannot be stored. Raises Failure if the rows cannot be committed.
    """
    end = flow.operators[-1]
    assert isinstance(end, Write | Record)
    waiting: list[Twin] = [pickle.loads(twin) for twin in twins]
    firsts = _read_rows(end.dest, shard, sorted({twin["first"] for twin in waiting}))
    shown = firsts.drop_columns(["regions", "embedding", "metadata"]).to_pylist()
    places = {row["image_id"]: place for place, row in enumerate(shown) if may_be_shared(row)}

    def put(twin: Twin) -> tuple[dict[str, Any], TimingRecord] | None:
        if twin["first"] not in places:
            return None
        first, row = shown[places[twin["first"]]], twin["row"]
        try:
            if row["source_sha256"] == first["source_sha256"] or isinstance(end, Record):
                with row_timing(end.name) as timing:
                    return _put_copy(end, first, row), timing
            with coder.turn, row_timing(end.name) as timing:
                return _put_edit(end, coder, first, row), timing
        except Failure:
            return None

    with open_coder(flow, bounds) as coder, ThreadPoolExecutor(THREADS) as pool:
        copies = list(pool.map(put, waiting))
    delivered = [(twin, copy) for twin, copy in zip(waiting, copies, strict=True) if copy is not None]
    rows = firsts.take(pa.array([places[twin["first"]] for twin, _ in delivered], pa.int64()))
    values = [
        {
            **twin["row"],
            **outcome,
            "timings": [*twin["timings"], timing],
            "twin_of": shown[places[twin["first"]]].get("twin_of") or twin["first"],
        }
        for twin, (outcome, timing) in delivered
    ]
    rows = _with_values(rows, values)
    ledger.commit(end.dest, rows)
    outcome = rows.append_column(FILLS, pa.nulls(len(rows), FILLS_TYPE)).select(list(columns))
    left = [packed for packed, copy in zip(twins, copies, strict=True) if copy is None]
    return join_waiting(outcome, waiting_rows(left) if left else None)


def _read_rows(dest: str, shard: int, ids: Sequence[str]) -> pa.Table:
    """The ledger rows of some images of a shard, with all columns of the ledger."""
    for reading in range(READINGS):
        try:
            rows = ledger.read_shard(dest, shard, ledger.shard_files(dest, shard))
            break
        except Failure as failure:
            # The driver has merged the parts of the shard since they were listed.
            if failure.code != "key_missing" or reading == READINGS - 1:
                raise
    for field in LEDGER_SCHEMA:
        if field.name not in rows.column_names:
            rows = rows.append_column(field.name, pa.nulls(len(rows), field.type))
    others = [name for name in rows.column_names if name not in LEDGER_SCHEMA.names]
    return rows.select([*LEDGER_SCHEMA.names, *others]).filter(pc.is_in(rows["image_id"], value_set=pa.array(ids, pa.string())))


def _put_copy(end: Write | Record, first: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Store a copy of the first image's file; return what the row says of it.

    A conversion may have added an ending to the first one's name. Raises Failure: corrupt for a
    file that is not the one of the ledger or not in this destination, and name_taken.
    """
    said = {name: first[name] for name in ("output_uri", "output_sha256", "notes")}
    if first["output_uri"] is None:
        return said
    own = end.address(first["path"])
    if not first["output_uri"].startswith(own):
        raise Failure("corrupt", f"{first['output_uri']} is not in the destination")
    ending = first["output_uri"].removeprefix(own)
    uri = end.address(row["path"]) + ending
    with timed("io"):
        check_ending(row["uri"], ending)
        storage.write(uri, _read_delivered(first))
    return {**said, "output_uri": uri}


def _put_edit(end: Write, coder: TwinCoder, first: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Store a twin of the same pixels with the edit of the first image; return what the row says.

    If the first one was not edited, the twin is delivered as its source. Raises Failure: corrupt
    for a file that has changed, and what the first one's failure or `coder` says.
    """
    if first["failure"] is not None:
        raise Failure(first["failure"]["code"], "it need not be that of another file")
    with timed("io"):
        data = source_image.read(row["uri"], row["etag"])
    if hashlib.sha256(data).hexdigest() != row["source_sha256"]:
        raise Failure("corrupt", f"{row['uri']} has changed")
    notes = first["notes"]
    if first["output_sha256"] != first["source_sha256"]:
        data, of_file = coder.edit_like(row, data, _read_delivered(first))
        notes = [*(note for note in notes or [] if has_zone_outside([note])), *of_file]
    uri = end.address(row["path"])
    with timed("io"):
        storage.write(uri, data)
    return {"output_uri": uri, "output_sha256": hashlib.sha256(data).hexdigest(), "notes": notes}


def _read_delivered(row: dict[str, Any]) -> bytes:
    """The delivered file of a row. Raises Failure: corrupt if it is not the one of the ledger."""
    with timed("io"):
        data = storage.read(row["output_uri"])
    if hashlib.sha256(data).hexdigest() != row["output_sha256"]:
        raise Failure("corrupt", f"{row['output_uri']} is not the file of the ledger")
    return data


def _with_values(rows: pa.Table, values: Sequence[dict[str, Any]]) -> pa.Table:
    for name in values[0] if values else ():
        field = rows.schema.field(name)
        column = pa.array([value[name] for value in values], field.type)
        rows = rows.set_column(rows.schema.names.index(name), field, column)
    return rows
