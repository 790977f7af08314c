"""The cost of the engine on top of the operators.

Every block is one task in every stage, and each task costs the driver and a worker some time.
"""

from __future__ import annotations

from cluster.balance import Load

DRIVER_SECONDS = 0.0072
"""Core seconds of the driver for each task.

`python -m benchmarks.planning --engine 13` measures this figure and the next three, and gives
nearly the same for 4.
"""
SERVICE_SECONDS = 0.0019
"""Core seconds of Ray's own processes on the driver's machine for each task."""
WORKER_SECONDS = 0.0135
"""Core seconds of a worker for each task: read a block from the object store, call the operator,
and put the result back.
"""
IDLE_CORES = 0.12
"""Cores that Ray uses on its machine while idle."""
PROCESS_SECONDS = 2.2
"""Core seconds that Ray needs to start a process, as `ps` shows for one that never got a task."""


def driver_seconds(stages: int, images_per_block: int) -> float:
    """Core seconds of the driver for one image: its share of one task for reading the index and
    of one for each stage.
    """
    return (stages + 1) * DRIVER_SECONDS / images_per_block


def with_engine(load: Load, images_per_block: int) -> Load:
    """Add a worker's cost for each task to the load of a stage."""
    seconds = WORKER_SECONDS / images_per_block
    return Load(load.seconds + seconds, load.cpu_seconds + seconds, load.gpu_seconds, load.gpus, load.memory)


def cores_left(cores: float) -> float:
    """Cores that an idle Ray and its driver leave on the machine that they run on."""
    return max(cores / 2, cores - IDLE_CORES)


def engine_load(stages: int, images_per_block: int) -> Load:
    """The load of the driver and Ray's services, as one more stage on the workers' machine."""
    services = (stages + 1) * SERVICE_SECONDS / images_per_block
    driver = driver_seconds(stages, images_per_block)
    return Load(driver, driver + services)
