"""A flow: operators in order, checked when it is built, run in this process or streamed over a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster.bounds import Bounds
from cluster.nodes import Node
from cluster.profile import Profile, ProfileError
from flows.engine.attempts import guarded
from flows.engine.blocks import unpacked
from flows.engine.memory_limit import limit_memory
from flows.telemetry.batch import batch_observed
from operators.models.in_process import single_threaded
from operators.operator import Chain, Operator
from operators.rows.schema import INDEX_COLUMNS, SCHEMA, check_schema, column, complete

if TYPE_CHECKING:
    from ray.data import Dataset

FUSED_STAGE = "worker"
SMALLEST_CPU = 0.0001
"""Ray counts CPUs in ten-thousandths."""


class FlowError(ValueError):
    """A flow whose operators do not fit together; the message names the operator and the column."""


@dataclass(frozen=True)
class Flow:
    """Operators in the order an image meets them.

    Raises FlowError when built if an operator reads a column that nothing before it adds.
    """

    operators: tuple[Operator, ...]

    def __post_init__(self) -> None:
        known = set(INDEX_COLUMNS)
        for operator in self.operators:
            for path in (*operator.reads, *operator.adds):
                if not column(path):
                    raise FlowError(f"{operator.name}: there is no column {path!r} in the row")
            for path in operator.reads:
                if path not in known:
                    raise FlowError(f"{operator.name} reads {path!r}, which no operator before it adds")
            known |= set(operator.adds)

    def then(self, *operators: Operator) -> Flow:
        """This flow with more operators after it."""
        return Flow((*self.operators, *operators))

    def run(self, table: pa.Table) -> pa.Table:
        """Work a table of index rows (or complete rows) in this process, image by image."""
        chain = Chain(self.operators)
        single_threaded()
        chain.open()
        return chain.apply(complete(table))

    def stages(self, profile: Profile) -> list[tuple[str, Operator]]:
        """What runs as one pool or one kind of task, and under which name the profile knows it."""
        if profile.placement == "staged":
            return [(operator.name, operator) for operator in self.operators]
        stages: list[tuple[str, Operator]] = []
        chained: list[Operator] = []
        for operator in self.operators:
            if not operator.storage:
                chained.append(operator)
                continue
            if chained:
                stages.append((FUSED_STAGE, Chain(tuple(chained))))
                chained = []
            stages.append((operator.name, operator))
        return [*stages, (FUSED_STAGE, Chain(tuple(chained)))] if chained else stages

    def laid_out(self, profile: Profile) -> tuple[Profile, list[str]]:
        """The profile with one stage for each of this flow's, an operator that comes twice counted twice, and their names.

        Raises ProfileError for an operator that the profile has no stage for.
        """
        names = [name for name, _ in self.stages(profile)]
        unique = [f"{name} ({names[:at].count(name) + 1})" if names.count(name) > 1 else name for at, name in enumerate(names)]
        stages = {name: profile.stage(name) for name in unique}
        return profile.model_copy(update={"stages": stages}), unique

    def demand(self, profile: Profile) -> dict[str, float]:
        """CPUs, GPUs and memory that this flow needs at the same time under a profile. Raises ProfileError."""
        laid_out, names = self.laid_out(profile)
        return laid_out.demand(names)

    def refusal(self, profile: Profile, nodes: Sequence[Node]) -> str | None:
        """Why the profile cannot run this flow on a cluster of these nodes; None if it can. Raises ProfileError."""
        laid_out, names = self.laid_out(profile)
        return laid_out.refusal(names, nodes)

    def stream(self, dataset: Dataset, profile: Profile, kept: Sequence[str] = SCHEMA.names) -> Dataset:
        """Lay the flow over a Ray Dataset of rows, or of blocks of rows, as the profile says; the columns `kept` come out.

        Raises ProfileError for an unknown stage.

        Ray silently fuses neighbours that ask for the same resources, so each stage asks for a different number of the
        smallest unit of CPU less than its own; not more, since then a node would hold one process less than it has CPUs.
        """
        from ray.data import ActorPoolStrategy, TaskPoolStrategy

        laid_out, names = self.laid_out(profile)
        for position, (name, (_, operator)) in enumerate(zip(names, self.stages(profile), strict=True)):
            stage = laid_out.stages[name]
            last = position == len(names) - 1
            settings = (operator, profile.image, tuple(kept) if last else None)
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
                    enable_true_multi_threading=True,  # one call at a time still, but in the thread that knows its attempt
                )
                dataset = dataset.map_batches(Worker, fn_constructor_args=settings, compute=pool, **options)
            else:
                compute = TaskPoolStrategy(size=stage.tasks)
                dataset = dataset.map_batches(partial(work, *settings), compute=compute, **options)
        return dataset


def work(operator: Operator, bounds: Bounds, kept: tuple[str, ...] | None, table: pa.Table) -> pa.Table:
    """One batch through one operator, its schema checked, no image taking more than its bounds; the columns `kept` of it."""
    rows = complete(unpacked(table))
    result = guarded(operator, rows, bounds)
    check_schema(result, operator.name)
    batch_observed(operator, rows, result)
    return result if kept is None else result.select(list(kept))


class Worker:
    """A process that keeps an operator open, on one computing thread and in bounded memory."""

    def __init__(self, operator: Operator, bounds: Bounds, kept: tuple[str, ...] | None) -> None:
        single_threaded()
        operator.open()
        limit_memory(bounds.memory_bytes)
        self._work = partial(work, operator, bounds, kept)

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch through the operator, its schema checked."""
        return self._work(table)
