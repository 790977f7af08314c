"""What the engine takes beside the operators: each block is a task in each stage, for the driver
and for a worker.
"""

from __future__ import annotations

from cluster.balance import Load

DRIVER_SECONDS = 0.0072
"""Of the driver's core, for each task. This figure and the next three: `python -m
benchmarks.planning --engine 13`, which gives nearly the same for 4.
"""
SERVICE_SECONDS = 0.0019
"""Of a core of the same machine in Ray's own processes, for each task."""
WORKER_SECONDS = 0.0135
"""Of a worker's core, for each task: taking a block from the object store, calling, putting the
result back.
"""
IDLE_CORES = 0.12
"""What Ray takes of a core of its machine while nothing happens."""
PROCESS_SECONDS = 2.2
"""Of a core, until a process that Ray starts does anything: what `ps` shows of one that never got
a task.
"""


def driver_seconds(stages: int, images_per_block: int) -> float:
    """Of the driver's core for one image: its share of a task for reading and of one for each
    stage.
    """
    return (stages + 1) * DRIVER_SECONDS / images_per_block


def with_engine(load: Load, images_per_block: int) -> Load:
    """A stage's load with what each of its tasks takes of the worker."""
    each = WORKER_SECONDS / images_per_block
    return Load(load.seconds + each, load.cpu_seconds + each, load.gpu_seconds, load.gpus, load.memory)


def cores_left(cores: float) -> float:
    """Cores of a machine that Ray with its driver runs on too, at rest."""
    return max(cores / 2, cores - IDLE_CORES)


def engine_load(stages: int, images_per_block: int) -> Load:
    """Driver and services as one more stage, where they share their machine with the workers."""
    services = (stages + 1) * SERVICE_SECONDS / images_per_block
    driver = driver_seconds(stages, images_per_block)
    return Load(driver, driver + services)
