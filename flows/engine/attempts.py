"""The first attempt at a block runs in the worker; what has to be tried again runs alone, and not
for ever.

The engine gives a block to another worker when the one that had it is gone, and counts its
attempts: that count, kept by the driver, is the journal, so nothing has to be written down for
the millions of images that do no harm.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from cluster.bounds import Bounds
from flows.engine.memory_limit import computes_on_gpu
from flows.engine.quarantine import ChildEnd, fail_rows, work_isolated
from operators.operator import Operator
from operators.rows.deadline import deadline, keep_deadlines

MOST_ATTEMPTS = 6
"""From this attempt on a block is not worked any more: even one image at a time, its workers were
ended each time before.
"""


def work_with_retries(operator: Operator, batch: pa.Table, bounds: Bounds) -> pa.Table:
    """A batch through the operator, every image within its bounds; what breaks them is a failed
    row, never the batch.
    """
    from flows.engine.ray_internals import attempt_number

    attempt = attempt_number()
    if attempt >= MOST_ATTEMPTS:
        return operator.apply(fail_rows(batch, ChildEnd(operator.name, "worker_lost", f"its worker was ended {attempt} times")))
    if attempt:
        return work_isolated(operator, batch, bounds)
    keep_deadlines(bounds.seconds_in)
    with deadline(*(step.name for step in operator.steps), images=len(batch)):
        result = operator.apply(batch)
    return _with_memory_of_their_own(operator, batch, result, bounds)


def _with_memory_of_their_own(operator: Operator, batch: pa.Table, result: pa.Table, bounds: Bounds) -> pa.Table:
    """Rows that ran out of memory, tried again where nothing else takes any: it may have been
    their neighbours' fault.
    """
    before, after = _codes(batch), _codes(result)
    short = [at for at, code in enumerate(after) if code == "out_of_memory" and before[at] is None]
    if not short or computes_on_gpu():
        return result
    rows = {at: work_isolated(operator, batch.slice(at, 1), bounds) for at in short}
    return pa.concat_tables([rows[at] if at in rows else result.slice(at, 1) for at in range(len(result))])


def _codes(rows: pa.Table) -> list[str | None]:
    codes: list[str | None] = pc.struct_field(rows["failure"], "code").to_pylist()
    return codes
