"""Resource profiles: which stage gets how much of the machines, read from data and checked before
anything starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from cluster.bounds import Bounds
from cluster.nodes import Node, amount_text, fits, holds, matches, total
from cluster.stage_name import StageName

INDEX_CPUS = 1.0
"""Logical CPUs of the task that reads the index: Ray joins it to its own repartitioning, which
takes one.
"""
TASK_CPUS = 0.5
"""Logical CPUs of a task that reads or writes. Each that runs beside another is one more process,
with Ray's 130 MB in it.
"""
LOCAL_SPARE_CPUS = 2
WORKERS_PER_TASK = 8
"""Workers of a laptop that one task of reading, or of writing, keeps busy: each moves eight
images at a time.
"""
GPU_BATCH = 16
PROFILES = Path(__file__).parent / "profiles"

Labels = dict[
    Annotated[str, StringConstraints(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")],
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")],
]
"""Labels of a node as Kubernetes spells them, such as `ray.io/market-type: spot`."""


class ProfileError(ValueError):
    """A profile that cannot be read, or that cannot run on the cluster it finds."""


class Stage(BaseModel):
    """What one process of a stage takes, and how many processes there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: float = Field(1.0, ge=0.01)
    """Logical CPUs of the cluster that one process reserves."""
    gpus: float = 0.0
    """Share of a GPU: 0, a whole number, or exactly one over a whole number, since other
    fractions cannot be packed.
    """
    memory: ByteSize | None = None
    """Bytes of memory that one process reserves, such as `2GiB`; None reserves none."""
    pool: tuple[int, int] | None = None
    """Least and most processes that stay alive with their models; None for short tasks that load
    nothing.
    """
    tasks: int | None = Field(None, ge=1)
    """Where there is no pool, the most tasks at a time; None leaves it to the CPUs. Each needs a
    process with Ray in it.
    """
    batch: int | None = Field(None, ge=1)
    """Images that one call gets; None takes blocks as they come, up to GPU_BATCH where a GPU is
    held, as Ray insists on one.
    """
    nodes: tuple[Labels, ...] = ()
    """Labels of the nodes that will do, the ones to be preferred first; an empty set of labels is
    any node.
    """

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

    @model_validator(mode="after")
    def _pool_or_tasks(self) -> Stage:
        if self.pool and self.tasks:
            raise ValueError("a stage has a pool or tasks, not both")
        return self

    @property
    def least(self) -> int:
        """Processes without which the stage does not run at all."""
        return self.pool[0] if self.pool else 1

    @property
    def batch_size(self) -> int | None:
        """Images that one call gets at most; None for whatever comes in a block."""
        return self.batch or (GPU_BATCH if self.gpus else None)

    def needs(self) -> dict[str, float]:
        """What one process reserves, by the names that a Ray cluster has for it; memory in bytes."""
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory or 0)}

    def ray_options(self) -> dict[str, Any]:
        """How Ray is told what one process takes beside its CPUs, and which nodes will do in
        which order.
        """
        first, *others = self.nodes or ({},)
        return {
            "num_gpus": self.gpus or None,
            "memory": self.memory and int(self.memory),
            "label_selector": first or None,
            "fallback_strategy": [{"label_selector": labels} for labels in others] or None,
        }


class Machines(BaseModel):
    """A group of equal machines that a profile is made for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: tuple[int, int]
    """Least and most machines; the cluster's autoscaler goes from one to the other."""
    cpus: float = Field(gt=0)
    gpus: int = Field(0, ge=0)
    memory: ByteSize
    """Bytes that one machine has for processes, such as `24GiB`."""
    labels: Labels = {}

    @field_validator("count")
    @classmethod
    def _ordered(cls, count: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= count[0] <= count[1] or count[1] == 0:
            raise ValueError(f"count {list(count)} is not [least >= 0, most >= least and >= 1]")
        return count

    def nodes(self, count: int) -> Node:
        """`count` of these machines as room for processes."""
        return Node({"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}, self.labels, count)


class Profile(BaseModel):
    """How a flow is laid over a cluster.

    `fused` chains everything between reading and writing into one kind of worker, the stage
    `worker`; `staged` gives each operator a pool of its own, under the operator's name or its
    family's (`inpaint` for `inpaint_telea`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    placement: Literal["fused", "staged"]
    local_cpus: float | None = None
    """Logical CPUs of the Ray instance that is started when none is running; None takes what the
    stages need.
    """
    images_per_block: int | None = Field(None, ge=1, le=16)
    """Images that travel and are committed together; None chooses 1 to 16 by the length of the
    run.
    """
    machines: dict[str, Machines] = {}
    """The groups of machines that the profile is made for; where one can grow, a run may wait for
    it to do so.
    """
    image: Bounds = Bounds()
    """What one image may take of time and memory, such as `{seconds: {detect: 60}, memory:
    4GiB}`.
    """
    stages: dict[str, Stage]

    def stage(self, operator: str) -> Stage:
        """The stage of an operator, by its own name, its family's name, or `default`. Raises
        ProfileError.

        Where a flow holds an operator several times, `verify (2)` names the second one, and
        `verify` serves each one that has no entry of its own.
        """
        entry = StageName.parse(operator).entry(self.stages)
        if entry is None:
            raise ProfileError(f"profile {self.name!r} has no stage {operator!r} and no 'default'")
        return self.stages[entry]

    def demand(self, operators: Iterable[str]) -> dict[str, float]:
        """What these stages need at the same time (`CPU`, `GPU`, `memory`). Raises ProfileError
        for an unknown stage.

        Pools reserve their least size for as long as the run lasts. Beside them must fit one task
        of each other kind and the one that reads the index, because a task keeps its CPU while
        the next stage holds it back.
        """
        demand = {"CPU": INDEX_CPUS, "GPU": 0.0, "memory": 0.0}
        for stage in map(self.stage, operators):
            demand = {resource: amount + stage.least * stage.needs()[resource] for resource, amount in demand.items()}
        return demand

    def refusal(self, operators: Sequence[str], nodes: Sequence[Node]) -> str | None:
        """Why these stages cannot run on these nodes, as a sum; None if they can.

        The room is what is there and, where the profile's own machines can grow, what they can
        grow to. Refused is what all nodes together cannot hold, and a stage whose least processes
        the nodes that it may use cannot hold even if they held nothing else. Ray itself would
        wait for ever for what is missing.
        """
        room = self.room(nodes)
        stages = {operator: self.stage(operator) for operator in operators}
        for resource, needed in self.demand(operators).items():
            if not fits(total(room, resource), needed):
                terms = [
                    f"{name} {stage.least} x {amount_text(resource, stage.needs()[resource])}"
                    for name, stage in stages.items()
                    if stage.needs()[resource]
                ]
                terms += [f"index {INDEX_CPUS:g}"] if resource == "CPU" else []
                return (
                    f"profile {self.name!r} needs {amount_text(resource, needed)} {resource} ({' + '.join(terms)}), "
                    f"the cluster has {amount_text(resource, total(room, resource))}"
                )
        for name, stage in stages.items():
            there = [node for node in room if matches(node, stage.nodes)]
            held = sum(node.count * holds(node, stage.needs()) for node in there)
            if held < stage.least:
                one = " + ".join(f"{amount_text(key, value)} {key}" for key, value in stage.needs().items() if value)
                wanted = " or ".join(", ".join(f"{key}={value}" for key, value in labels.items()) for labels in stage.nodes)
                which = f"nodes with {wanted}" if wanted else "single nodes"
                return f"profile {self.name!r} needs {stage.least} x ({one}) for {name} on {which}, which hold {held:g}"
        return None

    def room(self, nodes: Sequence[Node]) -> list[Node]:
        """These nodes, and what the profile's own machines can grow by beyond them."""
        room = list(nodes)
        for machines in self.machines.values():
            if machines.count[1] > machines.count[0]:
                size = {"CPU": machines.cpus, "GPU": machines.gpus}
                there = sum(node.count for node in nodes if matches(node, (machines.labels,)) and holds(node, size))
                room.append(machines.nodes(max(0, machines.count[1] - there)))
        return room

    def with_workers(self, workers: int) -> Profile:
        """The profile with `workers` processes in each of its pools. Raises ProfileError for
        fewer than one.
        """
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
    """The machine at hand, made from what it has: one fused worker per core, and reading and
    writing beside them.

    Reading and writing mostly wait, so they have two logical CPUs more than there are cores.
    """
    workers = cores()
    storage = Stage(cpus=TASK_CPUS, tasks=max(1, workers // WORKERS_PER_TASK))
    stages = {"worker": Stage(cpus=1.0, pool=(workers, workers)), "default": storage}
    return Profile(name="laptop", placement="fused", local_cpus=workers + LOCAL_SPARE_CPUS, stages=stages)


def load(name: str) -> Profile:
    """A profile by name (`laptop`, or one of the shipped files) or by the path of a YAML file.
    Raises ProfileError.
    """
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
