"""The Ray cluster that a run uses: the one that RAY_ADDRESS names, or one started here."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from cluster.address import AddressError, NoAnswerError, check_cluster_address
from cluster.nodes import Node
from cluster.profile import Profile, ProfileError, fit_cluster, load, shipped
from cluster.working_dir import PACKAGES
from flows.engine.freed_memory import MOST_HELD
from flows.flow import Flow
from operators.rows.failure import RunError, first_line
from operators.storage.disposable import disposable_folder

IDLE_MILLISECONDS = "60000"
"""How long Ray keeps an idle process.

By default Ray ends it after one second if there are more processes than CPUs, as there are when a
task takes a quarter of a CPU. Starting a new process costs two seconds of CPU time.
"""
LARGEST_OBJECT_STORE = 2 * 1024**3
"""Bytes of the object store of a Ray that is started here, at most."""
ALLOCATORS = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(MOST_HELD),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Settings of the allocators of the processes that Ray starts here.

By default, glibc gives each thread its own heap. A heap does not shrink after a large picture, and
Arrow's allocator does not shrink either. The threads of a worker therefore share one heap, and
Arrow uses it too. glibc raises both bounds by itself while it runs, but no longer once one of
them is set. So both are set: arrays of up to 32 MB, the most that glibc would choose, come from
the heap, and the end of the heap goes back when more than MOST_HELD is free there.
"""
RESERVED = 0.01
"""Share of the cluster that Ray Data divides equally among the stages, whatever they need.

With Ray's default of one half, the last stages get no CPU if the flow only just fits. They hold
the first stages back, and the run waits without end.
"""


def check_address() -> None:
    """Raise RunError quickly if RAY_ADDRESS is not the address of a cluster that answers.

    The codes are option_invalid, and run_interrupted if nothing listens there. A process that is
    connected already needs no address.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address or _is_connected():
        return
    try:
        check_cluster_address(address)
    except NoAnswerError as error:
        raise RunError("run_interrupted", str(error), 3) from None
    except AddressError as error:
        raise RunError("option_invalid", str(error)) from None


def connect(flow: Flow, profile: Profile) -> Profile:
    """Connect to the Ray cluster that RAY_ADDRESS names, or start one here, with its output off.

    Return the profile of the run: the given one, or the laptop's laid over the cluster.

    Raises RunError profile_does_not_fit if the flow does not fit the cluster; for a Ray on this
    machine, before anything starts. Raises RunError package_shadowed if the workers would import
    other packages than this process. Raises RunError run_interrupted if the cluster does not
    answer. A Ray that starts here leaves no files behind, unless RAY_TMPDIR names a folder for
    them.
    """
    local_cpus = profile.local_cpus or flow.demand(profile)["CPU"]
    if not _is_connected() and not os.environ.get("RAY_ADDRESS"):
        profile = profile.model_copy(update={"machines": {}})  # a Ray that starts here cannot grow
        _refuse_unless_fits(flow, profile, [Node({"CPU": local_cpus, "GPU": math.inf, "memory": math.inf})])
    reach_ray(local_cpus)
    from ray.data import DataContext

    # Importing Ray Data sets this level itself.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if os.environ.get("RAY_ADDRESS"):
        profile = fit_cluster(profile, alive_nodes())
    _refuse_unless_fits(flow, profile, alive_nodes())
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_consecutive_actor_init_deaths = 8
    context.op_resource_reservation_ratio = RESERVED
    return profile


def _refuse_shadowed_packages() -> None:
    """Raise RunError package_shadowed if the current folder has another package of our names.

    Ray's workers look into the current folder of the driver first, wherever ours are installed. A
    checkout of cleanplate may be that folder.
    """
    found = {name: PathFinder.find_spec(name, [os.getcwd()]) for name in PACKAGES}
    others = [(name, spec.origin) for name, spec in found.items() if spec and spec.origin]
    if others and not found["cleanplate"]:
        name, place = others[0]
        raise RunError(
            "package_shadowed",
            f"{place} hides the package {name!r} of cleanplate from the workers; run from another folder, or rename it",
        )


def reach_ray(local_cpus: float) -> None:
    """Connect to the cluster that RAY_ADDRESS names, or start a Ray here with so many CPUs.

    Raises RunError package_shadowed, and run_interrupted if the cluster does not answer; see
    `connect`.
    """
    _refuse_shadowed_packages()
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", IDLE_MILLISECONDS)
    for name, value in ALLOCATORS.items():
        os.environ.setdefault(name, value)
    import ray

    warnings.filterwarnings("ignore", module=r"ray\.")
    if ray.is_initialized():
        return
    settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not os.environ.get("RAY_ADDRESS"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        settings |= {
            "num_cpus": math.ceil(local_cpus),
            "include_dashboard": False,
            "object_store_memory": min(LARGEST_OBJECT_STORE, memory // 5),
        }
        if "RAY_TMPDIR" not in os.environ:
            os.environ["RAY_TMPDIR"] = str(disposable_folder("cp-"))
    try:
        with _silence_stderr(), _keep_sigterm(), _lean():
            ray.init(**settings)
    # Ray raises ConnectionError if nobody answers, and a bare Exception if its own start takes too
    # long.
    except Exception as error:
        hint = "; if it wants a token, set RAY_AUTH_MODE=token" if os.environ.get("RAY_AUTH_MODE") is None else ""
        raise RunError("run_interrupted", f"Ray cannot be reached: {first_line(error)}{hint}", 3) from error


@contextmanager
def _lean() -> Iterator[None]:
    """Start no processes that serve only a larger cluster or a dashboard, if a Ray starts here."""
    if os.environ.get("RAY_ADDRESS"):
        yield
        return
    from flows.engine.ray_internals import (
        NODE_PROCESSES,
        start_without,
        start_without_agents,
        stop_without_waiting,
        work_on_one_node,
    )

    with start_without(NODE_PROCESSES), start_without_agents():
        yield
    work_on_one_node()
    stop_without_waiting()


def _is_connected() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def alive_nodes() -> list[Node]:
    """The living nodes of the cluster to which this process is connected."""
    import ray

    return [Node(node["Resources"], node["Labels"]) for node in ray.nodes() if node["Alive"]]


def _refuse_unless_fits(flow: Flow, profile: Profile, nodes: Sequence[Node]) -> None:
    refusal = flow.refusal(profile, nodes)
    if refusal:
        fitting = [name for name in shipped() if name != profile.name and _fits(flow, load(name), nodes)]
        hint = f"; of the shipped profiles {', '.join(fitting)} would fit" if fitting else ""
        raise RunError("profile_does_not_fit", refusal + hint)


def _fits(flow: Flow, profile: Profile, nodes: Sequence[Node]) -> bool:
    try:
        return flow.refusal(profile, nodes) is None
    except ProfileError:
        return False


def ship_by_value(module: ModuleType) -> None:
    """Pickle a module's code together with every object from it.

    The workers do not have the user's file.
    """
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(module)


@contextmanager
def _keep_sigterm() -> Iterator[None]:
    """Keep the caller's reaction to SIGTERM, also while Ray starts.

    Ray's own ends the process with a stack, or without a word while it starts.
    """
    before = signal.getsignal(signal.SIGTERM)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        yield
    except SystemExit:
        before(signal.SIGTERM, None)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discard standard error, where Ray's native code prints a greeting at any log level."""
    stderr_copy = os.dup(2)
    null_device = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null_device, 2)
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)
        os.close(null_device)
