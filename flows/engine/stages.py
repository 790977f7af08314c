"""Stages: a flow as lazy Ray Data operations, one pool or one kind of task for each stage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster.bounds import Bounds
from cluster.profile import Profile, ProfileError
from flows.engine.attempts import work_with_retries
from flows.engine.blocks import unpack_blocks
from flows.engine.fill_column import select_columns
from flows.engine.memory_limit import limit_memory
from flows.flow import Flow
from flows.telemetry.batch import observe_batch
from operators.models.threads import use_one_thread
from operators.operator import Operator
from operators.rows.schema import SCHEMA, add_columns, check_schema, complete_rows

if TYPE_CHECKING:
    from ray.data import Dataset

SMALLEST_CPU = 0.0001
"""The smallest share of a CPU that Ray can count."""


def stream(flow: Flow, dataset: Dataset, profile: Profile, columns: Sequence[str] = SCHEMA.names) -> Dataset:
    """Apply a flow to a Ray Dataset of rows, or of blocks of rows, laid out by the profile.

    The result has only these `columns`, which may include FILLS. Raises ProfileError for a stage
    that the profile does not have, and for a stage with GPUs and without a pool.

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
        options: dict[str, Any] = {
            "batch_format": "pyarrow",
            "batch_size": stage.batch_size,
            "zero_copy_batch": True,
            "num_cpus": stage.cpus - (position + 1) * SMALLEST_CPU,
            **stage.ray_options(),
            "udf_modifying_row_count": False,
        }
        if stage.pool:
            pool = ActorPoolStrategy(
                min_size=stage.pool[0],
                max_size=stage.pool[1],
                max_tasks_in_flight_per_actor=2,
                # Still one call at a time, but in the thread that knows the task's attempt
                # number.
                enable_true_multi_threading=True,
            )
            dataset = dataset.map_batches(Worker, fn_constructor_args=settings, compute=pool, **options)
        else:
            compute = TaskPoolStrategy(size=stage.tasks)
            dataset = dataset.map_batches(partial(work, *settings), compute=compute, **options)
    return dataset


def work(operator: Operator, bounds: Bounds, columns: tuple[str, ...] | None, table: pa.Table) -> pa.Table:
    """Apply an operator to one batch, keep every image within its bounds, and check the schema.

    The result has only these `columns`; None keeps all of them. Raises SchemaError.
    """
    rows = add_columns(complete_rows(unpack_blocks(table)), operator.columns, operator.name)
    result = work_with_retries(operator, rows, bounds)
    check_schema(result, operator.name)
    observe_batch(operator, rows, result)
    return result if columns is None else select_columns(result, columns)


class Worker:
    """A pool's process: keeps an operator open, on one compute thread and in bounded memory."""

    def __init__(self, operator: Operator, bounds: Bounds, columns: tuple[str, ...] | None) -> None:
        use_one_thread()
        operator.open()
        limit_memory(bounds.memory_bytes)
        self._work = partial(work, operator, bounds, columns)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Process one batch, as `work` does."""
        return self._work(table)
