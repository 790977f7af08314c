"""Every private name of Ray that this project relies on, checked with Ray 2.60.

Private names may change with any version of Ray. They stand in this file alone, and its tests
fail when one of them changes. The one exception is `cluster.job`, which overrides
`JobSubmissionClient._do_request` and may not import this file.

| what | private name | why there is no public one |
|---|---|---|
| silence | `ray._private.worker.print_to_stdstream` | Ray prints the cluster's messages whatever its log level says |
| attempt number | `CoreWorker.get_current_task_attempt_number` | the runtime context knows the task, not the attempt |
| backpressure | `ray.data._internal.execution.backpressure_policy` | Ray bounds what waits by memory alone |
| queue lengths | `Dataset._current_executor` and the metrics of its operators | Ray gives them to its dashboard only |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.data import DataContext
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)

from flows.telemetry.progress import StageCounts

if TYPE_CHECKING:
    from ray.data import Dataset
    from ray.data._internal.execution.interfaces.physical_operator import PhysicalOperator

__all__ = ["BackpressurePolicy", "PhysicalOperator", "attempt_number", "enable_backpressure", "mute_ray", "stage_counts"]


def mute_ray() -> None:
    """Print nothing of what the cluster publishes about lost workers, restarted actors and
    retried tasks.

    A run recovers from these and reports what it could not recover from. Ray's own log files keep
    the messages.
    """
    from ray._private import worker

    worker.print_to_stdstream = lambda data, ignore_prefix: None


def attempt_number() -> int:
    """How often Ray has started the current task before; 0 outside of tasks.

    The earlier attempts ran in a process that is gone, or their results are.
    """
    import ray
    from ray._private.worker import global_worker

    return int(global_worker.core_worker.get_current_task_attempt_number()) if ray.is_initialized() else 0


def enable_backpressure(policy: type[BackpressurePolicy]) -> None:
    """Apply a policy beside Ray's own ones, in all runs of this process from now on."""
    policies = [*ENABLED_BACKPRESSURE_POLICIES, policy]
    DataContext.get_current().set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, policies)


def stage_counts(dataset: Dataset, stages: int) -> list[StageCounts]:
    """Counts of the last `stages` operators of a running dataset, in order.

    The counts come from the rows that the operator before has handed on, the rows that tasks were
    given, and the rows that tasks have given back. They are None where Ray does not count them,
    or not yet. The first stage is given one row for each block; the number of images in a block
    is estimated from the blocks that it has finished.
    """
    unknown = [StageCounts()] * stages
    executor: Any = getattr(dataset, "_current_executor", None)
    operators = list(getattr(executor, "_topology", None) or ())
    if len(operators) <= stages:
        return unknown
    counts = []
    try:
        for stage, (before, operator) in enumerate(zip(operators[-stages - 1 :], operators[-stages:], strict=False)):
            metrics = operator.metrics
            given, made = metrics.rows_inputs_of_submitted_tasks, metrics.rows_task_outputs_generated
            images = made / metrics.num_tasks_finished if stage == 0 and metrics.num_tasks_finished else 1
            queued = (before.metrics.row_outputs_taken - given) * images
            at_work = metrics.num_tasks_running * images if stage == 0 else given - made
            processes = operator.get_actor_info().running or None
            counts.append(StageCounts(max(0, round(queued)), max(0, round(at_work)), processes))
    except AttributeError:
        return unknown
    return counts
