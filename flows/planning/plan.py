"""Balance the pools of a profile from the cost of a sample, and predict a run of many images.

The spread comes from a bootstrap of the sample. Resampling whole images keeps costs correlated
across stages. The spread shows how much the choice of the sample matters; it does not include the
noise of the machine.
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
"""Memory kept free for larger images than those of the sample, as a share of the measured peak."""
LEAST_CPUS = 0.05
"""The fewest cores that a balanced profile reserves for a process."""
STEP = 256 * 1024**2
"""Bytes that reserved memory is a multiple of."""
RAY_SHARE = 0.7
"""Share of a machine's memory that Ray leaves to processes; the rest is for its object store."""
RESAMPLES = 1000
"""Bootstrap samples that the spread is taken from."""
ENGINE = "Ray"
"""Name of the stage that represents the engine."""
SPREAD = (5, 95)
"""Percentiles of the bootstrapped rates that bound the spread."""


@dataclass(frozen=True)
class Prices:
    """Price of one core and of one GPU per hour, in any currency."""

    cpu: float = 0.0
    gpu: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Balanced pools for a flow on a fleet, and their predicted rate."""

    profile: Profile
    """The balanced profile."""
    fleet: Fleet
    loads: Mapping[str, Load]
    measured: Mapping[str, Measured]
    original: Balance
    """The rate of the original profile with all pools at their largest."""
    best: Balance
    gains: tuple[Gain, ...]
    spread: tuple[float, float]
    """Images per second: nine of ten samples like this one give a balanced rate between these."""
    remarks: tuple[str, ...]

    @property
    def start(self) -> float:
        """Seconds until all processes have started and the slowest stage is ready."""
        starting = sum(self.best.processes.values()) * PROCESS_SECONDS / self.fleet.cores
        return starting + max(stage.opened for stage in self.measured.values())

    def hours(self, images: int, rate: float | None = None) -> float:
        """Hours for a number of images, at the balanced rate unless `rate` is given."""
        return (self.start + images / (rate or self.best.rate)) / 3600

    def cost(self, hours: float, prices: Prices) -> float:
        """The cost of the whole fleet for a number of hours."""
        return hours * (self.fleet.cores * prices.cpu + self.fleet.gpus * prices.gpu)


def grows(profile: Profile) -> bool:
    """Whether a profile is for a cluster that starts small and grows."""
    return any(machines.count[1] > machines.count[0] for machines in profile.machines.values())


def machine_count(profile: Profile) -> int:
    """The most machines that a profile is for, at least 1."""
    return max(1, sum(machines.count[1] for machines in profile.machines.values()))


def fleet_of(profile: Profile) -> Fleet:
    """All machines that a profile is for; this machine if it names none."""
    if not profile.machines:
        memory = psutil.virtual_memory().total * RAY_SHARE
        return Fleet(cores(), sum(stage.gpus * stage.least for stage in profile.stages.values()), memory)
    groups = [machines.nodes(machines.count[1]) for machines in profile.machines.values()]
    return Fleet(*(sum(group.count * group.resources[name] for group in groups) for name in ("CPU", "GPU", "memory")))


def make_plan(flow: Flow, profile: Profile, measured: Mapping[str, Measured], gpu_memory: float, images: int) -> Plan:
    """Balance a profile for a run of `images` from the measurements of a flow's stages.

    `measured` names the stages as `Flow.lay_out` does. `gpu_memory` is the memory of one GPU in
    bytes, 0 if the sample ran without one. Raises ProfileError if the fleet is too small.
    """
    laid_out, names = flow.lay_out(profile)
    fleet, remarks, plain = fleet_of(profile), [], {}
    for name in names:
        stage, measurement = laid_out.stages[name], measured[name]
        share = stage.gpus
        if stage.gpus and gpu_memory and measurement.gpu_memory:
            share = gpu_share(measurement.gpu_memory, gpu_memory, HEADROOM)
        elif stage.gpus:
            remarks.append(f"{name} needs a GPU and ran without one: its rate is that of a CPU, its share is the profile's")
        plain[name] = _load(measurement, stage, share)
    block = images_per_block(laid_out, images)
    loads, usable = _add_engine(plain, fleet, profile, block)
    most = {
        name: stage.pool[1] if stage.pool else stage.tasks or max(1, math.ceil(fleet.cores))
        for name, stage in laid_out.stages.items()
    }
    original = rate_of(loads, {ENGINE: 1, **most}, usable)
    try:
        best = balance_pools(loads, usable)
    except ValueError as error:
        raise ProfileError(f"profile {profile.name!r}: {error}") from None
    balanced = {name: _balance_stage(laid_out.stages[name], loads[name], best, name, profile) for name in names}
    stages = {**profile.stages, **{own: balanced[name] for name, own in _entries(flow, profile)}}
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
        original,
        best,
        tuple(gains(loads, usable)),
        _estimate_spread(measured, loads, best.processes, usable, block),
        tuple(remarks),
    )


def _entries(flow: Flow, profile: Profile) -> list[tuple[str, str]]:
    """Pairs of a stage and an entry of the profile that is to hold its settings.

    In a staged profile, a stage has one entry for each of its operators. All entries of a stage
    hold the same settings, so its operators go on sharing it.
    """
    if profile.placement == "fused":
        return [(name, name) for name in flow.members(profile)]
    return [(name, own) for name, members in flow.members(profile).items() for own in members]


def _add_engine(loads: Mapping[str, Load], fleet: Fleet, profile: Profile, block: int) -> tuple[dict[str, Load], Fleet]:
    """Add the engine's cost to the loads, and take it off the fleet unless the driver has a machine
    for itself, as the head of a cluster.
    """
    worker_loads = {name: with_engine(load, block) for name, load in loads.items()}
    if profile.machines:
        return worker_loads, fleet
    return worker_loads | {ENGINE: engine_load(len(loads), block)}, replace(fleet, cores=cores_left(fleet.cores))


def _load(measurement: Measured, stage: Stage, share: float) -> Load:
    memory = math.ceil(measurement.memory * (1 + HEADROOM) / STEP) * STEP
    gpu_seconds = float(measurement.model_seconds.mean()) if stage.gpus else 0.0
    return Load(float(measurement.seconds.mean()), float(measurement.cpu_seconds.mean()), gpu_seconds, share, memory)


def _balance_stage(stage: Stage, load: Load, best: Balance, name: str, profile: Profile) -> Stage:
    """Apply the balance to a stage: each process reserves the share of a core that it keeps busy.

    If the profile names machines, these also run the task that reads the index, so all other
    processes reserve a little less.
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


def _estimate_spread(
    measured: Mapping[str, Measured], loads: Mapping[str, Load], processes: Mapping[str, int], fleet: Fleet, block: int
) -> tuple[float, float]:
    count = len(next(iter(measured.values())).seconds)
    resamples = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    rates = []
    for images in resamples:
        resampled = {
            name: with_engine(
                replace(
                    loads[name],
                    seconds=float(stage.seconds[images].mean()),
                    cpu_seconds=float(stage.cpu_seconds[images].mean()),
                    gpu_seconds=float(stage.model_seconds[images].mean()) if loads[name].gpus else 0.0,
                ),
                block,
            )
            for name, stage in measured.items()
        }
        rates.append(rate_of({**loads, **resampled}, processes, fleet).rate)
    low, high = np.percentile(rates, SPREAD)
    return float(low), float(high)


def profile_yaml(plan: Plan) -> str:
    """Format the balanced profile as YAML for `cluster.profile.load`."""
    content = plan.profile.model_dump(mode="json", exclude_defaults=True)
    for section in (*content["stages"].values(), *content.get("machines", {}).values()):
        if "memory" in section:
            section["memory"] = f"{section['memory'] // 1024**2}MiB"
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=128)
