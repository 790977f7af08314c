"""A plan: from what a sample costs in each stage to balanced pools, and what a run of many images
will take.

The spread comes from the sample: it is drawn again and again from itself (bootstrap), image by
image, so that an image that is dear in one stage stays dear in all. It says how far another
sample might have led, not what a noisy machine adds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
import yaml

from cluster.balance import Balance, Fleet, Gain, Load, balance_pools, gains, gpu_share, rate_of
from cluster.profile import INDEX_CPUS, Profile, ProfileError, Stage, cores
from flows.engine.blocks import images_per_block
from flows.flow import Flow
from flows.planning.engine_cost import PROCESS_SECONDS, cores_left, engine_load, with_engine
from flows.planning.sample import Measured

HEADROOM = 0.25
"""Share of a measured peak of memory that is kept free beside it, for larger images than the
sample's.
"""
LEAST_CPUS = 0.05
STEP = 256 * 1024**2
"""Memory is asked for in steps of this many bytes."""
RAY_SHARE = 0.7
"""Of a machine's memory, what Ray leaves to processes; the rest is for its object store."""
RESAMPLES = 1000
ENGINE = "Ray"
SPREAD = (5, 95)
"""Percentiles between which the spread lies."""


@dataclass(frozen=True)
class Prices:
    """What an hour of one core and of one GPU costs, in any currency."""

    cpu: float = 0.0
    gpu: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Balanced pools for a flow on a fleet, and what is expected of them."""

    profile: Profile
    """The profile as it is to be used."""
    fleet: Fleet
    loads: Mapping[str, Load]
    measured: Mapping[str, Measured]
    given: Balance
    """What the profile as it was comes to, all pools at their most."""
    best: Balance
    gains: tuple[Gain, ...]
    spread: tuple[float, float]
    """Images a second between which the balanced rate lies in nine of ten samples like this one.
    """
    remarks: tuple[str, ...]

    @property
    def start(self) -> float:
        """Seconds until all processes are there and the slowest stage is ready."""
        starting = sum(self.best.processes.values()) * PROCESS_SECONDS / self.fleet.cores
        return starting + max(one.opened for one in self.measured.values())

    def hours(self, images: int, rate: float | None = None) -> float:
        """Hours for a number of images, at the balanced rate or another one."""
        return (self.start + images / (rate or self.best.rate)) / 3600

    def cost(self, hours: float, prices: Prices) -> float:
        """What the whole fleet costs for some hours."""
        return hours * (self.fleet.cores * prices.cpu + self.fleet.gpus * prices.gpu)


def grows(profile: Profile) -> bool:
    """Whether a profile is made for a cluster that starts small."""
    return any(machines.count[1] > machines.count[0] for machines in profile.machines.values())


def machine_count(profile: Profile) -> int:
    """How many machines a profile is made for at most."""
    return max(1, sum(machines.count[1] for machines in profile.machines.values()))


def fleet_of(profile: Profile) -> Fleet:
    """The machines that a profile is made for, all of them; this machine where it names none."""
    if not profile.machines:
        memory = psutil.virtual_memory().total * RAY_SHARE
        return Fleet(cores(), sum(stage.gpus * stage.least for stage in profile.stages.values()), memory)
    groups = [machines.nodes(machines.count[1]) for machines in profile.machines.values()]
    return Fleet(*(sum(group.count * group.resources[name] for group in groups) for name in ("CPU", "GPU", "memory")))


def make_plan(flow: Flow, profile: Profile, measured: Mapping[str, Measured], gpu_memory: float, images: int) -> Plan:
    """Balance a profile for a run of `images` by what was measured of a flow's stages, named as
    in `Flow.lay_out`.

    `gpu_memory` is the memory of one GPU in bytes, 0 if none was at hand. Raises ProfileError if
    the fleet is too small.
    """
    laid_out, names = flow.lay_out(profile)
    fleet, remarks, plain = fleet_of(profile), [], {}
    for name in names:
        stage, one = laid_out.stages[name], measured[name]
        share = stage.gpus
        if stage.gpus and gpu_memory and one.gpu_memory:
            share = gpu_share(one.gpu_memory, gpu_memory, HEADROOM)
        elif stage.gpus:
            remarks.append(f"{name} asks for a GPU and found none here: its rate is the CPU's, its share is the profile's")
        plain[name] = _load(one, stage, share)
    block = images_per_block(laid_out, images)
    loads, usable = _with_engine(plain, fleet, profile, block)
    most = {
        name: stage.pool[1] if stage.pool else stage.tasks or max(1, math.ceil(fleet.cores))
        for name, stage in laid_out.stages.items()
    }
    given = rate_of(loads, {ENGINE: 1, **most}, usable)
    try:
        best = balance_pools(loads, usable)
    except ValueError as error:
        raise ProfileError(f"profile {profile.name!r}: {error}") from None
    stages = {**profile.stages, **{name: _stage(laid_out.stages[name], loads[name], best, name, profile) for name in names}}
    return Plan(
        profile.model_copy(
            update={
                "name": f"{profile.name}-balanced",
                "stages": stages,
                "local_cpus": None,
                "images_per_block": block,
            }
        ),
        fleet,
        {name: loads[name] for name in names},
        measured,
        given,
        best,
        tuple(gains(loads, usable)),
        _spread(measured, loads, best.processes, usable, block),
        tuple(remarks),
    )


def _with_engine(loads: Mapping[str, Load], fleet: Fleet, profile: Profile, block: int) -> tuple[dict[str, Load], Fleet]:
    """Loads and fleet with what the engine takes of them; on a cluster the driver has the head to
    itself.
    """
    found = {name: with_engine(load, block) for name, load in loads.items()}
    if profile.machines:
        return found, fleet
    return found | {ENGINE: engine_load(len(loads), block)}, replace(fleet, cores=cores_left(fleet.cores))


def _load(one: Measured, stage: Stage, share: float) -> Load:
    memory = math.ceil(one.memory * (1 + HEADROOM) / STEP) * STEP
    gpu_seconds = float(one.model_seconds.mean()) if stage.gpus else 0.0
    return Load(float(one.seconds.mean()), float(one.cpu_seconds.mean()), gpu_seconds, share, memory)


def _stage(stage: Stage, load: Load, best: Balance, name: str, profile: Profile) -> Stage:
    """A stage as the balance has it: each process reserves the share of a core that it keeps
    busy.

    Where the profile names machines, the task that reads the index needs its CPU of them too, and
    all others a little less.
    """
    processes = best.processes[name]
    busy = best.rate * load.cpu_seconds / processes
    if profile.machines:
        cpus = fleet_of(profile).cores
        busy *= max(0.0, cpus - INDEX_CPUS) / cpus
    changed: dict[str, Any] = {"cpus": max(LEAST_CPUS, math.floor(busy * 100) / 100), "gpus": load.gpus}
    if stage.memory:
        changed["memory"] = int(load.memory)
    if stage.pool:
        changed["pool"] = (1 if grows(profile) else processes, processes)
    else:
        changed["tasks"] = processes
    return Stage.model_validate({**stage.model_dump(), **changed})


def _spread(
    measured: Mapping[str, Measured], loads: Mapping[str, Load], processes: Mapping[str, int], fleet: Fleet, block: int
) -> tuple[float, float]:
    count = len(next(iter(measured.values())).seconds)
    drawn = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    rates = []
    for images in drawn:
        resampled = {
            name: with_engine(
                replace(
                    loads[name],
                    seconds=float(one.seconds[images].mean()),
                    cpu_seconds=float(one.cpu_seconds[images].mean()),
                    gpu_seconds=float(one.model_seconds[images].mean()) if loads[name].gpus else 0.0,
                ),
                block,
            )
            for name, one in measured.items()
        }
        rates.append(rate_of({**loads, **resampled}, processes, fleet).rate)
    low, high = np.percentile(rates, SPREAD)
    return float(low), float(high)


def profile_yaml(plan: Plan) -> str:
    """The balanced profile as the YAML that `cluster.profile.load` reads."""
    content = plan.profile.model_dump(mode="json", exclude_defaults=True)
    for sized in (*content["stages"].values(), *content.get("machines", {}).values()):
        if "memory" in sized:
            sized["memory"] = f"{sized['memory'] // 1024**2}MiB"
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=128)
