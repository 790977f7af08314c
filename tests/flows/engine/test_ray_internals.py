"""The private names of Ray on which this project relies still exist and mean what it expects.

Each test says which name it needs, so that a new version of Ray fails here with a clear message.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import psutil
import pyarrow as pa
import pytest
import ray
import ray.data
from ray._private import worker as ray_worker
from ray.data._internal.execution.interfaces.physical_operator import PhysicalOperator
from ray.data._internal.execution.streaming_executor_state import OpState

from flows.engine import ray_internals
from flows.engine.backpressure import WaitingBlocks, bound_waiting_blocks
from flows.engine.polling import batches_or_none
from flows.engine.ray_internals import (
    AGENTS,
    NODE_PROCESSES,
    WAIT_FOR_PARENT,
    BackpressurePolicy,
    _NodeResources,
    attempt_number,
    enable_backpressure,
    mute_ray,
    stage_counts,
)

ROOT = Path(__file__).parents[3]
PRIVATE = re.compile(r"\b_private\b|\b_internal\b|\b_raylet\b")
LOGGER_NAME = "_private.runtime_env.packaging"
"""The only private name outside `ray_internals`: `cluster.job` silences this module's logger."""


def functions_of(module: ModuleType) -> dict[str, ast.FunctionDef]:
    """The functions in the source of a module, whatever a run has put in their place."""
    return {node.name: node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.FunctionDef)}


def test_ray_prints_the_clusters_messages_by_print_to_stdstream() -> None:
    functions = functions_of(ray_worker)
    printer, listener = functions.get("print_to_stdstream"), functions.get("listen_error_messages")
    assert printer, "ray._private.worker has no print_to_stdstream; see mute_ray"
    assert listener, "ray._private.worker has no listen_error_messages, which prints the cluster's messages; see mute_ray"
    parameters = [parameter.arg for parameter in printer.args.args]
    assert parameters == ["data", "ignore_prefix"], "print_to_stdstream has other parameters; see mute_ray"
    calls = {ast.unparse(node.func) for node in ast.walk(listener) if isinstance(node, ast.Call)}
    assert "print_to_stdstream" in calls, "Ray prints the cluster's messages by another function; see mute_ray"


def test_a_muted_ray_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ray_worker, "print_to_stdstream", ray_worker.print_to_stdstream)  # restored after the test
    message = {"lines": ["a worker died"], "pid": "raylet", "is_err": False}
    mute_ray()
    ray_worker.print_to_stdstream(message, ignore_prefix=False)
    assert capsys.readouterr() == ("", "")


def test_there_is_no_attempt_outside_tasks_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert attempt_number() == 0


@pytest.mark.usefixtures("ray_here")
def test_there_is_no_attempt_outside_tasks() -> None:
    core_worker = ray_worker.global_worker.core_worker
    name = "get_current_task_attempt_number"
    assert hasattr(core_worker, name), f"Ray's core worker has no {name}; see attempt_number"
    assert attempt_number() == 0


@pytest.mark.usefixtures("ray_here")
def test_the_attempt_counts_inside_a_retried_task() -> None:
    @ray.remote(max_retries=3, retry_exceptions=True)
    def fail_twice() -> int:
        attempt = attempt_number()
        if attempt < 2:
            raise ValueError(f"attempt {attempt}")
        return attempt

    assert ray.get(fail_twice.remote()) == 2, "Ray counts the attempts at a task in another way; see attempt_number"


@pytest.mark.parametrize("name", ["can_add_input", "max_task_output_bytes_to_read"])
def test_backpressure_policies_have_the_methods_that_waiting_blocks_overrides(name: str) -> None:
    assert name in vars(WaitingBlocks)
    method = vars(BackpressurePolicy).get(name)
    assert method is not None, f"Ray's BackpressurePolicy has no {name}, so that WaitingBlocks holds nothing back"
    assert list(inspect.signature(method).parameters) == ["self", "op"], f"{name} has other parameters"


def test_backpressure_policies_keep_the_topology() -> None:
    topology: dict[PhysicalOperator, OpState] = {}
    policy = WaitingBlocks(ray.data.DataContext(), topology, None)
    assert policy._topology is topology, "Ray's BackpressurePolicy does not keep the topology as _topology"


def test_the_topology_counts_waiting_blocks_and_active_tasks() -> None:
    waiting, active = "total_enqueued_input_blocks", "num_active_tasks"
    assert callable(getattr(OpState, waiting, None)), f"Ray's OpState has no {waiting}, by which WaitingBlocks counts"
    assert callable(getattr(PhysicalOperator, active, None)), f"Ray's PhysicalOperator has no {active}"
    assert hasattr(PhysicalOperator, "output_dependencies"), "Ray's PhysicalOperator has no output_dependencies"


@pytest.fixture
def own_data_context(ray_here: None) -> Iterator[None]:
    """A copy of the data context, which is dropped after the test."""
    context = ray.data.DataContext.get_current()
    with ray.data.DataContext.current(context.copy()):
        yield


@pytest.mark.usefixtures("own_data_context")
def test_ray_asks_an_enabled_policy_before_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Asked(BackpressurePolicy):  # type: ignore[misc]
        def can_add_input(self, op: PhysicalOperator) -> bool:
            asked.append(self._topology[op].total_enqueued_input_blocks() + op.num_active_tasks())
            return True

    enable_backpressure(Asked)
    ray.data.range(4, override_num_blocks=4).map_batches(slowly, batch_format="pyarrow").materialize()
    assert asked, f"Ray asks no policy under {ray_internals.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY}; see enable_backpressure"


@pytest.mark.usefixtures("own_data_context")
def test_waiting_blocks_is_one_of_rays_policies_once_bound() -> None:
    bound_waiting_blocks()
    policies = ray.data.DataContext.get_current().get_config(ray_internals.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY)
    assert policies == [*ray_internals.ENABLED_BACKPRESSURE_POLICIES, WaitingBlocks]
    assert len(policies) > 1, "Ray has no backpressure policies any more"


def slowly(batch: pa.Table) -> pa.Table:
    time.sleep(0.3)
    return batch


class Slow:
    def __call__(self, batch: pa.Table) -> pa.Table:
        return slowly(batch)


@pytest.mark.usefixtures("own_data_context")
def test_stage_counts_of_a_running_dataset_are_numbers() -> None:
    dataset = (
        ray.data.range(12, override_num_blocks=12)
        .map_batches(slowly, batch_format="pyarrow", num_cpus=0.5)
        .map_batches(Slow, batch_format="pyarrow", num_cpus=0.4, compute=ray.data.ActorPoolStrategy(size=1))
    )
    unknown = stage_counts(dataset, 2)
    assert [(counts.queued, counts.at_work, counts.processes) for counts in unknown] == [(None, None, None)] * 2
    snapshots = [stage_counts(dataset, 2) for batch in batches_or_none(dataset) if batch is not None]
    assert len(snapshots) == 12
    running = snapshots[len(snapshots) // 2]
    assert all(isinstance(counts.queued, int) and isinstance(counts.at_work, int) for counts in running), (
        "Ray has renamed Dataset._current_executor, its _topology or a metric of its operators; see stage_counts"
    )
    assert running[0].processes is None
    assert running[1].processes == 1, "Ray has renamed PhysicalOperator.get_actor_info or its field running"


def command_of(process: psutil.Process) -> str:
    """The command line of a process, empty if it has ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def processes() -> str:
    """The command lines of all processes that this one has started."""
    return "\n".join(map(command_of, psutil.Process().children(recursive=True)))


@pytest.mark.usefixtures("ray_here")
def test_a_ray_on_this_machine_has_no_process_that_serves_a_cluster_or_a_dashboard() -> None:
    started = processes()
    assert "raylet" in started
    for file in ("autoscaler/_private/monitor.py", "log_monitor.py", "dashboard/dashboard.py"):
        assert file not in started, f"Ray has renamed what starts {file}; see NODE_PROCESSES"


@pytest.mark.usefixtures("ray_here")
def test_a_raylet_on_this_machine_has_no_agents_beside_it() -> None:
    started = {process: command_of(process) for process in psutil.Process().children(recursive=True)}
    (raylet,) = [process for process, command in started.items() if command.partition(" ")[0].endswith("raylet")]
    for file in ("dashboard/agent.py", "DashboardAgent", "runtime_env/agent/main.py", "RuntimeEnvAgent"):
        assert not any(file in command for command in started.values()), (
            f"Ray starts {file} otherwise; see start_without_agents"
        )
    waiting = [process for process in raylet.children() if "while kill -0" in started.get(process, "")]
    assert len(waiting) == len(AGENTS), "Ray has renamed the options of agents; see AGENTS"


def test_what_stands_in_for_an_agent_ends_with_its_parent() -> None:
    start = "import shlex, subprocess, sys; print(subprocess.Popen(shlex.split(sys.argv[1])).pid, flush=True); input()"
    command = [sys.executable, "-c", start, WAIT_FOR_PARENT]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.5)
    assert child.is_running()
    parent.kill()
    child.wait(timeout=10)
    assert parent.wait() < 0


ENDS = """
from flows.engine.session import reach_ray
from ray._private.node import Node
reach_ray(1)
import ray
asked, end = [], Node._kill_process_type
def note(self, kind, allow_graceful=False, **options):
    asked.append((kind, allow_graceful))
    end(self, kind, allow_graceful=allow_graceful, **options)
Node._kill_process_type = note
ray.shutdown()
print(asked)
"""


def test_a_ray_on_this_machine_does_not_wait_for_a_raylet_that_does_not_end_by_itself() -> None:
    run = subprocess.run([sys.executable, "-c", ENDS], cwd=ROOT, check=True, capture_output=True, text=True)
    asked = ast.literal_eval(run.stdout)
    assert "raylet" in dict(asked)
    assert not any(graceful for _, graceful in asked)


@pytest.mark.usefixtures("ray_here")
def test_the_processes_of_a_ray_on_this_machine_keep_little_freed_memory() -> None:
    @ray.remote
    def allocators() -> tuple[str | None, str]:
        return os.environ.get("MALLOC_ARENA_MAX"), pa.default_memory_pool().backend_name

    assert ray.get(allocators.remote()) == ("1", "system")


@pytest.mark.usefixtures("own_data_context")
def test_a_dataset_on_this_machine_starts_no_actor_beside_its_pool() -> None:
    dataset = ray.data.range(4).map_batches(Slow, batch_format="pyarrow", compute=ray.data.ActorPoolStrategy(size=1))
    assert dataset.count() == 4
    others = ray.util.list_named_actors(all_namespaces=True)
    assert others == [], "Ray Data starts actors in another way; see work_on_one_node"


@pytest.mark.usefixtures("ray_here")
def test_a_dataset_on_this_machine_may_use_all_of_it() -> None:
    (resources,) = _NodeResources("a dataset").get_reserved_resources().values()
    assert resources["CPU"] == ray.cluster_resources()["CPU"]


@pytest.mark.parametrize("name", NODE_PROCESSES)
def test_a_node_starts_each_process_by_a_method(name: str) -> None:
    from ray._private.node import Node

    assert f"self.{name}(" in inspect.getsource(Node), f"Ray's Node does not call {name}; see NODE_PROCESSES"


def test_the_job_client_sends_every_request_by_do_request() -> None:
    from ray.job_submission import JobSubmissionClient

    name = "_do_request"
    assert hasattr(JobSubmissionClient, name), f"Ray's JobSubmissionClient has no {name}, which cluster.job overrides"
    parameters = list(inspect.signature(JobSubmissionClient._do_request).parameters.values())
    assert [parameter.name for parameter in parameters[:3]] == ["self", "method", "endpoint"], f"{name} has other parameters"
    assert parameters[-1].kind is inspect.Parameter.VAR_KEYWORD, f"{name} takes no timeout"
    for request in ("submit_job", "list_jobs", "get_job_info", "get_job_logs"):
        source = inspect.getsource(getattr(JobSubmissionClient, request))
        assert f"self.{name}(" in source, f"Ray's {request} does not send its request by {name}"


def test_the_logger_that_the_job_client_silences_exists() -> None:
    from ray._private.runtime_env import packaging

    assert packaging.__name__ == f"ray.{LOGGER_NAME}"


def test_no_other_file_mentions_a_private_name_of_ray() -> None:
    files = [file for package in ("operators", "flows", "cluster") for file in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    offenders = {
        str(file.relative_to(ROOT)): PRIVATE.findall(file.read_text().replace(LOGGER_NAME, ""))
        for file in files
        if file != Path(ray_internals.__file__)
    }
    assert {file: names for file, names in offenders.items() if names} == {}
    named = [str(file.relative_to(ROOT)) for file in files if LOGGER_NAME in file.read_text()]
    assert named == ["cluster/job.py"], "only the logger that cluster.job silences may be named elsewhere"
