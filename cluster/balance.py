"""Balance the pools: how many processes each stage gets, so that no stage waits long for another.

All stages work at the rate of the whole flow. At a rate of X images per second, a stage whose
processes take t seconds per image needs X * t processes. All stages together must fit the fleet's
cores, GPUs and memory. The largest X that fits is the answer. Every need grows with X, so
bisection finds it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

ROUNDING = 1e-9
"""Relative tolerance of comparisons."""
STEPS = 60
"""Halvings of the interval of rates, more than the 53 bits of a float's precision."""


@dataclass(frozen=True)
class Load:
    """The average cost of one image in one stage, and what each process of the stage holds."""

    seconds: float
    """Time of one process, waiting included."""
    cpu_seconds: float
    """Time of one core."""
    gpu_seconds: float = 0.0
    """Time of one GPU, which the stage's processes share."""
    gpus: float = 0.0
    """Share of a GPU that one process holds: one over a whole number, or whole GPUs."""
    memory: float = 0.0
    """Bytes that one process holds."""


@dataclass(frozen=True)
class Fleet:
    """The cores, the GPUs and the bytes of memory of all machines together."""

    cores: float
    gpus: float = 0.0
    memory: float = math.inf


@dataclass(frozen=True)
class Balance:
    """The pools of a flow, the rate that they reach, and what limits it."""

    processes: Mapping[str, int]
    """By stage."""
    rate: float
    """Images per second."""
    limit: str
    """`cores`, `GPUs`, `GPU shares`, `memory`, or the name of a stage with too few processes."""


def needs(loads: Mapping[str, Load], processes: Mapping[str, int], rate: float) -> dict[str, float]:
    """The resources that the stages need at a rate.

    Cores and GPUs follow from the work, GPU shares and memory from the number of processes.
    """
    return {
        "cores": rate * sum(load.cpu_seconds for load in loads.values()),
        "GPUs": rate * sum(load.gpu_seconds for load in loads.values()),
        "GPU shares": sum(processes[name] * load.gpus for name, load in loads.items()),
        "memory": sum(processes[name] * load.memory for name, load in loads.items()),
    }


def _capacity(fleet: Fleet) -> dict[str, float]:
    """The fleet's resources by the names that `needs` uses."""
    return {"cores": fleet.cores, "GPUs": fleet.gpus, "GPU shares": fleet.gpus, "memory": fleet.memory}


def _count_processes(loads: Mapping[str, Load], rate: float) -> dict[str, int]:
    """The processes that each stage needs at a rate, at least one."""
    return {name: max(1, math.ceil(rate * load.seconds * (1 - 10 * ROUNDING))) for name, load in loads.items()}


def _exceeded(loads: Mapping[str, Load], fleet: Fleet, rate: float) -> list[str]:
    """The resources of which the stages need more at a rate than the fleet has."""
    needed, capacity = needs(loads, _count_processes(loads, rate), rate), _capacity(fleet)
    return [name for name, amount in needed.items() if amount > capacity[name] * (1 + ROUNDING)]


def balance_pools(loads: Mapping[str, Load], fleet: Fleet) -> Balance:
    """The pools with the highest rate on a fleet.

    Raises ValueError if one process of each stage does not fit.
    """
    if exceeded := _exceeded(loads, fleet, 0.0):
        name = exceeded[0]
        needed, capacity = needs(loads, _count_processes(loads, 0.0), 0.0)[name], _capacity(fleet)[name]
        raise ValueError(f"one process of each stage takes {needed:g} {name}, there are {capacity:g}")
    low, high = 0.0, fleet.cores / max(1e-9, sum(load.cpu_seconds for load in loads.values()))
    if not _exceeded(loads, fleet, high):
        return Balance(_count_processes(loads, high), high, "cores")
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _exceeded(loads, fleet, middle) else (middle, high)
    return Balance(_count_processes(loads, low), low, _exceeded(loads, fleet, high)[0])


def rate_of(loads: Mapping[str, Load], processes: Mapping[str, int], fleet: Fleet) -> Balance:
    """The rate that these pools reach on a fleet, and what limits it.

    The limit is the slowest stage, or cores or GPUs if they run out first.
    """
    rates = {name: processes[name] / max(1e-9, load.seconds) for name, load in loads.items()}
    per_image, capacity = needs(loads, processes, 1.0), _capacity(fleet)
    rates |= {name: capacity[name] / per_image[name] for name in ("cores", "GPUs") if per_image[name]}
    limit = min(rates, key=lambda name: rates[name])
    return Balance(processes, rates[limit], limit)


@dataclass(frozen=True)
class Gain:
    """The benefit of one more core or GPU."""

    resource: str
    """`core` or `GPU`."""
    rate: float
    """Images per second more."""
    spent_on: tuple[str, ...]
    """The stages whose pools grow."""


def gains(loads: Mapping[str, Load], fleet: Fleet) -> list[Gain]:
    """The benefit of one more core, and of one more GPU if any stage uses one; the larger first."""
    balance = balance_pools(loads, fleet)
    larger_fleets = {"core": replace(fleet, cores=fleet.cores + 1)}
    if any(load.gpus for load in loads.values()):
        larger_fleets["GPU"] = replace(fleet, gpus=fleet.gpus + 1)
    by_resource = []
    for resource, larger_fleet in larger_fleets.items():
        larger = balance_pools(loads, larger_fleet)
        grown = tuple(name for name in loads if larger.processes[name] > balance.processes[name])
        by_resource.append(Gain(resource, larger.rate - balance.rate, grown))
    return sorted(by_resource, key=lambda gain: -gain.rate)


def gpu_share(peak: float, memory: float, headroom: float) -> float:
    """The smallest share of a GPU, 1/n or whole GPUs, that holds a process with its headroom.

    `peak` is the peak memory of one process, `memory` that of one GPU, both in bytes. `headroom`
    is a share of the peak, for images larger than those of the sample. Raises ValueError for a
    peak of 0.
    """
    if peak <= 0:
        raise ValueError("a process without GPU memory needs no share of a GPU")
    share = peak * (1 + headroom) / memory
    return float(math.ceil(share)) if share > 1 else 1 / math.floor(1 / share)
