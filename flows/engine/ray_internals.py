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
- `ray._private.worker._global_node`: Ray waits a second for a raylet that does not end by itself.
- `ray._private.node.Node`, `ray._private.services.start_ray_process` and the names of ports in
  `ray._raylet`, and in `ray.data._internal` the statistics, the coordinator of autoscaling and the
  locations of actors: a Ray on one machine needs none of these processes, and Ray has no option
  without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ray.data import DataContext
from ray.data._internal import stats
from ray.data._internal.cluster_autoscaler import AutoscalingCoordinator, rate_based_cluster_autoscaler
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)
from ray.data._internal.execution.operators import actor_pool_map_operator

from flows.telemetry.progress import StageCounts

if TYPE_CHECKING:
    from ray.data import Dataset
    from ray.data._internal.execution.interfaces.physical_operator import PhysicalOperator

__all__ = [
    "BackpressurePolicy",
    "PhysicalOperator",
    "attempt_number",
    "enable_backpressure",
    "mute_ray",
    "stage_counts",
    "start_without",
    "start_without_agents",
    "work_on_one_node",
]

NODE_PROCESSES = ("start_monitor", "start_log_monitor", "start_api_server")
"""What starts the autoscaler, the forwarding of logs and the dashboard's server of a head node."""


@contextmanager
def start_without(names: Sequence[str]) -> Iterator[None]:
    """Let a Ray that starts meanwhile start without some NODE_PROCESSES.

    Nobody reads their results on one machine, and Ray waits for the dashboard's server, even if
    there is to be no dashboard.
    """
    from ray._private.node import Node

    methods = {name: getattr(Node, name) for name in names}
    for name in names:
        setattr(Node, name, lambda self, **options: None)
    try:
        yield
    finally:
        for name, method in methods.items():
            setattr(Node, name, method)


AGENTS = ("--dashboard_agent_command", "--runtime_env_agent_command")
"""The options of a raylet that name what it starts beside itself, and ends with itself."""
AGENT_PORTS = (
    "METRICS_AGENT_PORT_NAME",
    "METRICS_EXPORT_PORT_NAME",
    "DASHBOARD_AGENT_LISTEN_PORT_NAME",
    "RUNTIME_ENV_AGENT_PORT_NAME",
)
"""The ports that the agents note for the raylet when they are ready."""
NOT_IN_USE = -1
WAIT_FOR_PARENT = 'sh -c "while kill -0 $PPID 2>/dev/null && ! grep -qs State:.Z /proc/$PPID/status; do sleep 5; done"'
"""Takes the place of an agent: the raylet wants one, and must find it alive.

A raylet that has ended is still there, as a zombie, until its driver asks how it ended.
"""


def stop_without_waiting() -> None:
    """Let the Ray of this machine end without the second that it gives its raylet in vain.

    A raylet does not end by itself within that second, and Ray kills it then. What a worker was
    writing is safe whenever it is killed.
    """
    from ray._private import worker

    node = worker._global_node
    end: Callable[..., None] = node.kill_all_processes
    node.kill_all_processes = lambda **options: end(**{**options, "allow_graceful": False})


@contextmanager
def start_without_agents() -> Iterator[None]:
    """Let a raylet that starts meanwhile start without its two agents.

    The agents send figures to a dashboard and prepare `runtime_env`s. They take memory, and the
    raylet waits until they are ready. A task with a `runtime_env` cannot run without them.
    """
    from ray import _raylet
    from ray._private import services

    start = services.start_ray_process
    note_port: Callable[[str, str, str, int], None] = _raylet.persist_port  # type: ignore[attr-defined]

    def start_alone(command: list[str], *arguments: object, **options: object) -> object:
        given = dict(option.split("=", 1) for option in command if "=" in option)
        if not all(agent in given for agent in AGENTS):
            return start(command, *arguments, **options)
        for name in AGENT_PORTS:
            note_port(given["--session_dir"], given["--node_id"], getattr(_raylet, name), NOT_IN_USE)
        alone = [f"{agent}={WAIT_FOR_PARENT}" for agent in AGENTS]
        return start([option for option in command if not option.startswith(AGENTS)] + alone, *arguments, **options)

    services.start_ray_process = start_alone
    try:
        yield
    finally:
        services.start_ray_process = start


class _NodeResources(AutoscalingCoordinator):  # type: ignore[misc]
    """Gives a dataset all of a cluster that cannot grow."""

    def __init__(self, requester_id: str, **selectors: object) -> None:
        pass

    def request_resources(self, *request: object, **options: object) -> None:
        """Ignore a request for more machines."""

    def cancel_request(self) -> None:
        """Do nothing, because nothing was requested."""

    def get_reserved_resources(self) -> dict[str, dict[str, float]]:
        """The resources of the living nodes."""
        import ray

        return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


class _NoStatistics:
    """Takes the place of the statistics that Ray Data keeps for its dashboard."""

    @staticmethod
    def ignore(*arguments: object, **options: object) -> None:
        """Drop a report."""

    update_execution_metrics = update_iteration_metrics = register_dataset_to_stats_actor = ignore

    @staticmethod
    def gen_dataset_id_from_stats_actor() -> str:
        """An id of a dataset."""
        return uuid4().hex


class _Ignored:
    """Takes the place of a method of an actor, for calls that nobody waits for."""

    def remote(self, *arguments: object) -> None:
        """Do nothing."""


class _OnePlace:
    """Takes the place of the actor that knows on which node each actor is."""

    update_actor_location = _Ignored()


def work_on_one_node() -> None:
    """Let Ray Data work without three processes that only a larger cluster or a dashboard needs.

    These keep the statistics of datasets, ask for more machines, and know where actors are. Each
    takes a second of processor time to start and a hundred megabytes. It stays so for the rest of
    this process.
    """
    for name in vars(_NoStatistics):
        if not name.startswith("_") and name != "ignore":
            setattr(stats._StatsManager, name, getattr(_NoStatistics, name))
    rate_based_cluster_autoscaler.DefaultAutoscalingCoordinator = _NodeResources
    actor_pool_map_operator.get_or_create_actor_location_tracker = _OnePlace
    actor_pool_map_operator.get_actor_locations = lambda logical_ids: {}


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
