"""Every private name of Ray that this project relies on, checked with Ray 2.60.

Private names may change with any version of Ray. They appear in this file only, and its tests
fail when one of them changes. The one exception is `cluster.job`, which may not import this file:
it overrides `JobSubmissionClient._do_request` and names the logger of a private module.

- `ray._private.worker.print_to_stdstream`: Ray prints the cluster's messages at any log level.
- `CoreWorker.get_current_task_attempt_number`: the public runtime context knows the task, not the
  attempt.
- `ray.data._internal.execution.backpressure_policy`: Ray limits waiting blocks by memory alone.
- `Dataset._current_executor` and the metrics of its operators: Ray gives the lengths of queues to
  its dashboard only.
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
    """Stop Ray from printing the cluster's messages about lost workers and retried tasks.

    A run recovers from these and reports what it could not recover from. Ray's own log files keep
    the messages. It stays so for the rest of this process.
    """
    from ray._private import worker

    worker.print_to_stdstream = lambda data, ignore_prefix: None


def attempt_number() -> int:
    """How many times Ray has started the current task before; 0 outside tasks.

    The processes of the earlier attempts are gone, or their results are.
    """
    import ray
    from ray._private.worker import global_worker

    return int(global_worker.core_worker.get_current_task_attempt_number()) if ray.is_initialized() else 0


def enable_backpressure(policy: type[BackpressurePolicy]) -> None:
    """Apply a policy beside Ray's own policies in all later runs of this process."""
    policies = [*ENABLED_BACKPRESSURE_POLICIES, policy]
    DataContext.get_current().set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, policies)


def stage_counts(dataset: Dataset, stages: int) -> list[StageCounts]:
    """The counts of the last `stages` operators of a running dataset, in order.

    They follow from the rows that the preceding operator has passed on, the rows passed to tasks
    and the rows that tasks have returned. They are None if Ray does not count these, or not yet.
    The first stage gets one row per block and returns each block whole; the number of images in a
    block is estimated from those that it has returned.
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
            rows_in, rows_out = metrics.rows_inputs_of_submitted_tasks, metrics.rows_task_outputs_generated
            blocks_out = metrics.num_task_outputs_generated
            images = rows_out / blocks_out if stage == 0 and blocks_out else 1
            queued = (before.metrics.row_outputs_taken - rows_in) * images
            at_work = (rows_in - blocks_out) * images if stage == 0 else rows_in - rows_out
            processes = operator.get_actor_info().running or None
            counts.append(StageCounts(max(0, round(queued)), max(0, round(at_work)), processes))
    except AttributeError:
        return unknown
    return counts
