"""Retry a block that ended its worker: isolated, and a bounded number of times.

The first attempt at a block runs in the worker. Ray gives the block of a lost worker to another
one and counts its attempts. The driver keeps that count, so nothing has to be recorded for the
millions of images that cause no trouble.
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
"""Attempts at a block before it is given up.

All but the first one processed a single image at a time, and their workers were still lost.
"""


def work_with_retries(operator: Operator, batch: pa.Table, bounds: Bounds) -> pa.Table:
    """Apply an operator to a batch; an image that exceeds its bounds becomes a failed row.

    From the second attempt on, each image runs in a child process. After MOST_ATTEMPTS attempts
    the rows fail with worker_lost.
    """
    from flows.engine.ray_internals import attempt_number

    attempt = attempt_number()
    if attempt >= MOST_ATTEMPTS:
        lost = ChildEnd(operator.name, "worker_lost", f"its worker was ended {attempt} times")
        return operator.apply(fail_rows(batch, lost))
    if attempt:
        return work_isolated(operator, batch, bounds)
    keep_deadlines(bounds.seconds_in)
    with deadline(*(step.name for step in operator.steps), images=len(batch)):
        result = operator.apply(batch)
    return _retry_out_of_memory(operator, batch, result, bounds)


def _retry_out_of_memory(operator: Operator, batch: pa.Table, result: pa.Table, bounds: Bounds) -> pa.Table:
    """Retry rows that ran out of memory in a child process.

    Other rows of the batch may have used the memory up.
    """
    before, after = _failure_codes(batch), _failure_codes(result)
    positions = [position for position, code in enumerate(after) if code == "out_of_memory" and before[position] is None]
    if not positions or computes_on_gpu():
        return result
    retried = {position: work_isolated(operator, batch.slice(position, 1), bounds) for position in positions}
    return pa.concat_tables([retried[row] if row in retried else result.slice(row, 1) for row in range(len(result))])


def _failure_codes(rows: pa.Table) -> list[str | None]:
    codes: list[str | None] = pc.struct_field(rows["failure"], "code").to_pylist()
    return codes
