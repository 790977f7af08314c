"""Stages: a flow as lazy Ray Data operations, one pool or one kind of task for each stage."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster.bounds import Bounds
from cluster.profile import Profile, ProfileError
from flows.engine.attempts import work_with_retries
from flows.engine.blocks import unpack_blocks
from flows.engine.fill_column import select_columns
from flows.engine.freed_memory import FreedMemory
from flows.engine.memory_limit import limit_memory
from flows.engine.sharing import Sharing, both_waiting, join_waiting, part_waiting
from flows.flow import Flow
from flows.telemetry.batch import observe_batch
from operators.models.gpu import reserve_gpus
from operators.models.threads import use_one_thread
from operators.operator import Operator
from operators.rows.schema import SCHEMA, add_columns, check_schema, complete_rows

if TYPE_CHECKING:
    from ray.data import Dataset

SMALLEST_CPU = 0.0001
"""The smallest share of a CPU that Ray can count."""
BLOCKS_AT_ONCE = 3
"""Blocks that a worker with several phases has: one is read, one is worked, one is written.

A block has a bounded number of bytes, and so has what a worker reads ahead.
"""


def stream(
    flow: Flow,
    dataset: Dataset,
    profile: Profile,
    columns: Sequence[str] = SCHEMA.names,
    sharing: Sharing | None = None,
) -> Dataset:
    """Apply a flow to a Ray Dataset of rows, or of blocks of rows, laid out by the profile.

    The result has only these `columns`, which may include FILLS, and with `sharing` also WAITING.
    Raises ProfileError for a stage that the profile does not have, and for a stage with GPUs and
    without a pool.

    Ray silently fuses neighbouring stages that request the same resources. So each stage requests
    slightly less CPU than its profile says, by a different multiple of SMALLEST_CPU. It requests
    less rather than more because a node would otherwise hold one process fewer than its CPUs
    allow.
    """
    from ray.data import ActorPoolStrategy, TaskPoolStrategy

    laid_out, names = flow.lay_out(profile)
    for position, (name, (_, operator)) in enumerate(zip(names, flow.stages(profile), strict=True)):
        stage = laid_out.stages[name]
        last = position == len(names) - 1
        settings = (operator, profile.image, tuple(columns) if last else None)
        if stage.gpus and not stage.pool:
            raise ProfileError(f"stage {name!r} asks for GPUs and has no pool")
        blocks = BLOCKS_AT_ONCE if len(operator.phases) > 1 else 1
        options: dict[str, Any] = {
            "batch_format": "pyarrow",
            # The first stage gets one row for each block.
            "batch_size": 1 if stage.batch_size and position == 0 else stage.batch_size,
            "zero_copy_batch": True,
            "num_cpus": stage.cpus - (position + 1) * SMALLEST_CPU,
            **stage.ray_options(),
            "udf_modifying_row_count": False,
        }
        if stage.pool:
            pool = ActorPoolStrategy(
                min_size=stage.pool[0],
                max_size=stage.pool[1],
                max_tasks_in_flight_per_actor=_blocks_per_process(blocks, stage.pool),
                max_concurrent_calls_per_actor=blocks,
                # Each call runs in the thread that knows the task's attempt number.
                enable_true_multi_threading=True,
            )
            dataset = dataset.map_batches(Worker, fn_constructor_args=(*settings, sharing, stage.gpus), compute=pool, **options)
        else:
            compute = TaskPoolStrategy(size=stage.tasks)
            dataset = dataset.map_batches(partial(work, *settings, sharing=sharing), compute=compute, **options)
    return dataset


def _blocks_per_process(at_once: int, pool: tuple[int, int]) -> int:
    """The blocks that are given to a process of a pool, those that wait for it included.

    Ray adds processes to a pool only while its processes have nearly twice as many blocks as they
    work at once. In a pool that cannot grow, fewer wait, so that none has work left at the end
    while another is idle.
    """
    least, most = pool
    return max(2, at_once) if least == most else 2 * at_once


def work(
    operator: Operator,
    bounds: Bounds,
    columns: tuple[str, ...] | None,
    table: pa.Table,
    turn: AbstractContextManager[object] | None = None,
    sharing: Sharing | None = None,
) -> pa.Table:
    """Apply an operator to one batch, keep every image within its bounds, and check the schema.

    Each phase is worked, retried and reported by itself. A phase that computes waits for its
    `turn`. Rows that wait for the result of another image pass by. The result has only these
    `columns`; None keeps all of them. Raises SchemaError.
    """
    rows, waiting = part_waiting(unpack_blocks(table))
    result = complete_rows(rows)
    for phase in operator.phases:
        rows = result = add_columns(result, phase.columns, phase.name)
        if not len(rows):
            continue
        with nullcontext() if phase.storage or turn is None else turn:
            result = work_with_retries(phase, rows, bounds)
        check_schema(result, phase.name)
        observe_batch(phase, rows, result)
        if sharing is not None and phase.tells_twins is not None:
            result, more = sharing.claim(result, phase.tells_twins)
            waiting = both_waiting(waiting, more)
    result = result if columns is None else select_columns(result, columns)
    return result if sharing is None else join_waiting(result, waiting)


class Worker:
    """A pool's process: keeps an operator open, on one compute thread and in bounded memory.

    It may be called from several threads. While one block is worked, others are read or written.
    """

    def __init__(
        self,
        operator: Operator,
        bounds: Bounds,
        columns: tuple[str, ...] | None,
        sharing: Sharing | None = None,
        gpus: float = 0.0,
    ) -> None:
        use_one_thread()
        reserve_gpus(gpus)
        operator.open()
        limit_memory(bounds.memory_bytes)
        self._work = partial(work, operator, bounds, columns, turn=threading.Lock(), sharing=sharing)
        self._freed_memory = FreedMemory()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Process one batch, as `work` does, and keep no memory for the next one."""
        result = self._work(table)
        self._freed_memory.give_back()
        return result
