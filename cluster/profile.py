"""Resource profiles: which stage gets how much of the machines, read from data and checked before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cluster.bounds import Bounds

SLACK = 0.01
"""CPUs by which a sum may miss: stages ask for a few ten-thousandths more than they say, to be told apart."""
INDEX_CPUS = 1.0
"""Logical CPUs of the task that reads the index: Ray joins it to its own repartitioning, which takes one."""
TASK_CPUS = 0.25
LOCAL_SPARE_CPUS = 2
PROFILES = Path(__file__).parent / "profiles"


class ProfileError(ValueError):
    """A profile that cannot be read, or that cannot run on the cluster it finds."""


class Stage(BaseModel):
    """What one process of a stage takes, and how many processes there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: float = Field(1.0, gt=0)
    """Logical CPUs of the cluster that one process reserves."""
    gpus: float = 0.0
    """Share of a GPU: 0, a whole number, or exactly one over a whole number, since other fractions cannot be packed."""
    pool: tuple[int, int] | None = None
    """Least and most processes that stay alive with their models; None for short tasks that load nothing."""
    batch: int | None = Field(None, ge=1)
    """Images that one call gets; None takes blocks as they come."""

    @field_validator("gpus")
    @classmethod
    def _packable(cls, gpus: float) -> float:
        if gpus < 0 or (gpus >= 1 and gpus != int(gpus)) or (0 < gpus < 1 and abs(1 / gpus - round(1 / gpus)) > 1e-6):
            raise ValueError(f"{gpus} is neither a whole number of GPUs nor one over a whole number")
        return gpus

    @field_validator("pool")
    @classmethod
    def _ordered(cls, pool: tuple[int, int] | None) -> tuple[int, int] | None:
        if pool is not None and not 1 <= pool[0] <= pool[1]:
            raise ValueError(f"pool {list(pool)} is not [least >= 1, most >= least]")
        return pool


class Profile(BaseModel):
    """How a flow is laid over a cluster.

    `fused` chains everything between reading and writing into one kind of worker, the stage `worker`; `staged` gives each
    operator a pool of its own, under the operator's name or its family's (`inpaint` for `inpaint_telea`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    placement: Literal["fused", "staged"]
    local_cpus: float | None = None
    """Logical CPUs of the Ray instance that is started when none is running; None takes what the stages need."""
    images_per_block: int | None = Field(None, ge=1, le=16)
    """Images that travel and are committed together; None chooses 1 to 16 by the length of the run."""
    image: Bounds = Bounds()
    """What one image may take of time and memory, such as `{seconds: {detect: 60}, memory: 4GiB}`."""
    stages: dict[str, Stage]

    def stage(self, operator: str) -> Stage:
        """The stage of an operator, by its name, its family's name, or `default`. Raises ProfileError."""
        for name in (operator, operator.partition("_")[0], "default"):
            if name in self.stages:
                return self.stages[name]
        raise ProfileError(f"profile {self.name!r} has no stage {operator!r} and no 'default'")

    def demand(self, operators: list[str]) -> dict[str, float]:
        """CPUs and GPUs that these stages need at the same time. Raises ProfileError for an unknown stage.

        Pools reserve their least size for as long as the run lasts. Beside them must fit one task of each other kind and
        the one that reads the index, because a task keeps its CPU while the next stage holds it back.
        """
        stages = [self.stage(operator) for operator in operators]
        cpus = sum(stage.cpus * (stage.pool[0] if stage.pool else 1) for stage in stages)
        gpus = sum(stage.gpus * (stage.pool[0] if stage.pool else 1) for stage in stages)
        return {"CPU": cpus + INDEX_CPUS, "GPU": gpus}

    def refusal(self, operators: list[str], cluster: Mapping[str, float]) -> str | None:
        """Why these stages cannot run on a cluster with these resources (`CPU`, `GPU`), as a sum; None if they can.

        Ray itself would wait for ever for what is missing.
        """
        for resource, amount in (("CPU", "cpus"), ("GPU", "gpus")):
            needed, found = self.demand(operators)[resource], cluster.get(resource, 0.0)
            if needed > found + SLACK:
                stages = {operator: self.stage(operator) for operator in operators}
                terms = [
                    f"{name} {stage.pool[0] if stage.pool else 1} x {getattr(stage, amount):g}"
                    for name, stage in stages.items()
                    if getattr(stage, amount)
                ]
                terms += [f"index {INDEX_CPUS:g}"] if resource == "CPU" else []
                return f"profile {self.name!r} needs {needed:g} {resource} ({' + '.join(terms)}), the cluster has {found:g}"
        return None

    def with_workers(self, workers: int) -> Profile:
        """The profile with `workers` processes in each of its pools. Raises ProfileError for fewer than one."""
        if workers < 1:
            raise ProfileError(f"{workers} workers are too few")
        stages = {
            name: stage.model_copy(update={"pool": (workers, workers)}) if stage.pool else stage
            for name, stage in self.stages.items()
        }
        return self.model_copy(update={"stages": stages, "local_cpus": None})


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def laptop() -> Profile:
    """The machine at hand, made from what it has: one fused worker per core, and reading and writing beside them.

    Reading and writing mostly wait, so they have two logical CPUs more than there are cores.
    """
    workers = cores()
    storage = Stage(cpus=TASK_CPUS)
    stages = {"worker": Stage(cpus=1.0, pool=(workers, workers)), "default": storage}
    return Profile(name="laptop", placement="fused", local_cpus=workers + LOCAL_SPARE_CPUS, stages=stages)


def load(name: str) -> Profile:
    """A profile by name (`laptop`, or one of the shipped files) or by the path of a YAML file. Raises ProfileError."""
    if name == "laptop":
        return laptop()
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        shipped = sorted(file.stem for file in PROFILES.glob("*.yaml"))
        raise ProfileError(f"no profile {name!r}; there are laptop, {', '.join(shipped)}, or a .yaml file of yours")
    try:
        return Profile.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        lines = "; ".join(str(error).splitlines()[1:3]) or str(error)
        raise ProfileError(f"{path}: {lines}") from error
