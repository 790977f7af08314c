"""Balanced pools: how many processes each stage gets from a fleet of machines, so that none waits
for another for long.

All stages work at the same rate, that of the whole flow. At a rate of X images a second, a stage
whose processes take t seconds an image needs X t of them; what all stages take of cores, GPUs and
memory must fit the fleet. The largest such X is the answer, and since every need grows with X, it
is found by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

ROUNDING = 1e-9
STEPS = 60
"""Halvings of the rate's interval: more than a float has digits."""


@dataclass(frozen=True)
class Load:
    """What one image costs one stage, on average, and what each of its processes holds."""

    seconds: float
    """Of one process, waiting included."""
    cpu_seconds: float
    """Of a core."""
    gpu_seconds: float = 0.0
    """Of a GPU, which its processes share."""
    gpus: float = 0.0
    """Share of a GPU that one process holds: one over a whole number, or whole GPUs."""
    memory: float = 0.0
    """Bytes that one process holds."""


@dataclass(frozen=True)
class Fleet:
    """What all machines together have: cores, GPUs, bytes of memory."""

    cores: float
    gpus: float = 0.0
    memory: float = math.inf


@dataclass(frozen=True)
class Balance:
    """Processes by stage, the images a second that they come to, and what holds the flow at that."""

    processes: Mapping[str, int]
    rate: float
    limit: str
    """`cores`, `GPUs`, `GPU shares`, `memory`, or the name of a stage whose processes are too
    few.
    """


def needs(loads: Mapping[str, Load], processes: Mapping[str, int], rate: float) -> dict[str, float]:
    """What stages take at a rate: cores and GPUs by their work, GPU shares and memory by their
    processes.
    """
    return {
        "cores": rate * sum(load.cpu_seconds for load in loads.values()),
        "GPUs": rate * sum(load.gpu_seconds for load in loads.values()),
        "GPU shares": sum(processes[name] * load.gpus for name, load in loads.items()),
        "memory": sum(processes[name] * load.memory for name, load in loads.items()),
    }


def _room(fleet: Fleet) -> dict[str, float]:
    return {"cores": fleet.cores, "GPUs": fleet.gpus, "GPU shares": fleet.gpus, "memory": fleet.memory}


def _processes(loads: Mapping[str, Load], rate: float) -> dict[str, int]:
    return {name: max(1, math.ceil(rate * load.seconds * (1 - 10 * ROUNDING))) for name, load in loads.items()}


def _lacking(loads: Mapping[str, Load], fleet: Fleet, rate: float) -> list[str]:
    taken, room = needs(loads, _processes(loads, rate), rate), _room(fleet)
    return [name for name, amount in taken.items() if amount > room[name] * (1 + ROUNDING)]


def balance_pools(loads: Mapping[str, Load], fleet: Fleet) -> Balance:
    """The pools that give the highest rate on a fleet. Raises ValueError if one process of each
    stage does not fit.
    """
    if lacking := _lacking(loads, fleet, 0.0):
        taken, room = needs(loads, _processes(loads, 0.0), 0.0), _room(fleet)
        raise ValueError(f"one process of each stage takes {taken[lacking[0]]:g} {lacking[0]}, there are {room[lacking[0]]:g}")
    low, high = 0.0, fleet.cores / max(1e-9, sum(load.cpu_seconds for load in loads.values()))
    if not _lacking(loads, fleet, high):
        return Balance(_processes(loads, high), high, "cores")
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _lacking(loads, fleet, middle) else (middle, high)
    return Balance(_processes(loads, low), low, _lacking(loads, fleet, high)[0])


def rate_of(loads: Mapping[str, Load], processes: Mapping[str, int], fleet: Fleet) -> Balance:
    """What given pools come to on a fleet: the slowest stage's rate, unless cores or GPUs are
    used up before.
    """
    found = {name: processes[name] / max(1e-9, load.seconds) for name, load in loads.items()}
    unit, room = needs(loads, processes, 1.0), _room(fleet)
    found |= {name: room[name] / unit[name] for name in ("cores", "GPUs") if unit[name]}
    limit = min(found, key=lambda name: found[name])
    return Balance(processes, found[limit], limit)


@dataclass(frozen=True)
class Gain:
    """What one more core or GPU would bring: images a second, and the stages whose pools grow by
    it.
    """

    resource: str
    rate: float
    spent_on: tuple[str, ...]


def gains(loads: Mapping[str, Load], fleet: Fleet) -> list[Gain]:
    """What the next core, and the next GPU where any stage uses one, is best spent on; the larger
    gain first.
    """
    now = balance_pools(loads, fleet)
    more = {"core": replace(fleet, cores=fleet.cores + 1)}
    if any(load.gpus for load in loads.values()):
        more["GPU"] = replace(fleet, gpus=fleet.gpus + 1)
    found = []
    for resource, larger in more.items():
        then = balance_pools(loads, larger)
        grown = tuple(name for name in loads if then.processes[name] > now.processes[name])
        found.append(Gain(resource, then.rate - now.rate, grown))
    return sorted(found, key=lambda gain: -gain.rate)


def gpu_share(peak: float, memory: float, headroom: float) -> float:
    """The largest share 1/n of a GPU, or whole GPUs, of which n processes with this peak and
    headroom find room.

    `peak` and `memory` are bytes of one process and one GPU; `headroom` is a share of the peak,
    for what the sample did not show. Raises ValueError for a peak of nothing.
    """
    if peak <= 0:
        raise ValueError("a process that takes no GPU memory needs no share of one")
    wanted = peak * (1 + headroom) / memory
    return float(math.ceil(wanted)) if wanted > 1 else 1 / math.floor(1 / wanted)
