"""Deliver the result of one image for the other images of the same bytes, its twins.

A twin gets the ledger row of the first image with its own names, columns and timings, and
`twin_of`. Its file is a copy of the delivered one, checked by its SHA-256, under its own name.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.engine.fill_column import FILLS, FILLS_TYPE
from flows.engine.sharing import Twin, group_by_first, join_waiting, may_be_shared, waiting_rows
from operators.ledger import ledger
from operators.record import Record
from operators.rows.failure import Failure
from operators.rows.records import TimingRecord
from operators.rows.schema import LEDGER_SCHEMA
from operators.rows.timing import row_timing, timed
from operators.storage import files as storage
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


def deliver_here(end: Write | Record, twins: Sequence[bytes], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Deliver pickled twins in this process, and yield their rows as `deliver` returns them."""
    for shard, group in group_by_first(twins, LARGEST_GROUP):
        yield deliver(end, shard, group, columns)


def delivery(end: Write | Record, twins: Sequence[bytes], columns: Sequence[str]) -> Dataset:
    """The lazy Ray Dataset that delivers pickled twins, and yields their rows as `deliver` does."""
    import ray.data

    groups = group_by_first(twins, LARGEST_GROUP)
    items = ray.data.from_items([{"shard": shard, "twins": group} for shard, group in groups], override_num_blocks=len(groups))

    def deliver_groups(table: pa.Table) -> pa.Table:
        parts = zip(table["shard"].to_pylist(), table["twins"].to_pylist(), strict=True)
        return pa.concat_tables([deliver(end, shard, group, columns) for shard, group in parts])

    return items.map_batches(deliver_groups, batch_format="pyarrow", batch_size=1, num_cpus=TASK_CPUS)


def deliver(end: Write | Record, shard: int, twins: Sequence[bytes], columns: Sequence[str]) -> pa.Table:
    """Deliver twins whose first images are in one shard of the ledger, and commit their rows.

    The result has these `columns`, and WAITING for the twins that cannot be delivered: the first
    image has no result, or a failure that its twins need not have; or its file is not as the
    ledger says; or the copy cannot be stored. Raises Failure if the rows cannot be committed.
    """
    waiting: list[Twin] = [pickle.loads(twin) for twin in twins]
    firsts = _read_rows(end.dest, shard, sorted({twin["first"] for twin in waiting}))
    shown = firsts.drop_columns(["regions", "embedding", "metadata"]).to_pylist()
    places = {row["image_id"]: place for place, row in enumerate(shown) if may_be_shared(row)}

    def put(twin: Twin) -> tuple[str | None, TimingRecord] | None:
        if twin["first"] not in places:
            return None
        try:
            return _put_copy(end, shown[places[twin["first"]]], twin["row"])
        except Failure:
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        copies = list(pool.map(put, waiting))
    delivered = [(twin, copy) for twin, copy in zip(waiting, copies, strict=True) if copy is not None]
    rows = firsts.take(pa.array([places[twin["first"]] for twin, _ in delivered], pa.int64()))
    values = [
        {
            **twin["row"],
            "timings": [*twin["timings"], timing],
            "output_uri": uri,
            "twin_of": shown[places[twin["first"]]].get("twin_of") or twin["first"],
        }
        for twin, (uri, timing) in delivered
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


def _put_copy(end: Write | Record, first: dict[str, Any], row: dict[str, Any]) -> tuple[str | None, TimingRecord]:
    """Store a copy of the first image's file; return its URI, None for no file, and the timing.

    A conversion may have added an ending to the first one's name. Raises Failure: corrupt for a
    file that is not the one of the ledger or not in this destination, and name_taken.
    """
    uri, delivered = None, first["output_uri"]
    with row_timing(end.name) as timing:
        if delivered is not None:
            own = end.address(first["path"])
            if not delivered.startswith(own):
                raise Failure("corrupt", f"{delivered} is not in the destination")
            ending = delivered.removeprefix(own)
            uri = end.address(row["path"]) + ending
            with timed("io"):
                check_ending(row["uri"], ending)
                data = storage.read(delivered)
                if hashlib.sha256(data).hexdigest() != first["output_sha256"]:
                    raise Failure("corrupt", f"{delivered} is not the file of the ledger")
                storage.write(uri, data)
    return uri, timing


def _with_values(rows: pa.Table, values: Sequence[dict[str, Any]]) -> pa.Table:
    for name in values[0] if values else ():
        field = rows.schema.field(name)
        column = pa.array([value[name] for value in values], field.type)
        rows = rows.set_column(rows.schema.names.index(name), field, column)
    return rows
