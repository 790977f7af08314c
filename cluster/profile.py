"""Resource profiles: how a flow's stages share the machines, checked before anything starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypedDict

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
"""Logical CPUs of the task that reads the index, which Ray fuses with its own repartition task.
"""
GPU_BATCH = 16
"""Images per call of a stage with GPUs, if its profile sets no number."""
PROFILES = Path(__file__).parent / "profiles"
LAPTOP = "laptop"
"""The name of the profile that is made from the machine it runs on."""

Labels = dict[
    Annotated[str, StringConstraints(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")],
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")],
]
"""Labels of a node in Kubernetes' syntax, such as `ray.io/market-type: spot`."""


class ProfileError(ValueError):
    """A profile that cannot be read, or that does not fit the flow or the cluster."""


class RayOptions(TypedDict):
    """Options of a Ray task or actor; None leaves Ray's default."""

    num_gpus: float | None
    memory: int | None
    label_selector: Labels | None
    fallback_strategy: list[FallbackNodes] | None


class FallbackNodes(TypedDict):
    """Labels of the nodes that Ray tries when the earlier ones have no room."""

    label_selector: Labels


class Stage(BaseModel):
    """The resources of one process of a stage, and the number of processes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: float = Field(1.0, ge=0.01)
    """Logical CPUs of the cluster that one process reserves."""
    gpus: float = 0.0
    """GPUs that one process reserves: 0, a whole number, or exactly one over a whole number.

    Other fractions cannot be packed.
    """
    memory: ByteSize | None = None
    """Bytes of memory that one process reserves, such as `2GiB`; None reserves none."""
    pool: tuple[int, int] | None = None
    """The least and most processes of a pool, which stay alive and keep their models loaded.

    None runs short tasks that load nothing.
    """
    tasks: int | None = Field(None, ge=1)
    """The most tasks at a time for a stage without a pool; None lets the CPUs decide.

    Each task at a time needs a process with Ray in it.
    """
    batch: int | None = Field(None, ge=1)
    """Images per call; None takes whole blocks, or GPU_BATCH if the stage has GPUs.

    Ray requires a batch size for stages with GPUs.
    """
    nodes: tuple[Labels, ...] = ()
    """Labels of the nodes on which the stage may run, the preferred ones first.

    An empty set of labels stands for any node.
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
        """The fewest processes with which the stage runs."""
        return self.pool[0] if self.pool else 1

    @property
    def batch_size(self) -> int | None:
        """The most images per call; None for whole blocks."""
        return self.batch or (GPU_BATCH if self.gpus else None)

    def needs(self) -> dict[str, float]:
        """The resources that one process reserves, by Ray's names; memory in bytes."""
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory or 0)}

    def ray_options(self) -> RayOptions:
        """Ray's options for one process's GPUs, memory and nodes; its CPUs are not among them."""
        first, *others = self.nodes or ({},)
        return {
            "num_gpus": self.gpus or None,
            "memory": self.memory and int(self.memory),
            "label_selector": first or None,
            "fallback_strategy": [{"label_selector": labels} for labels in others] or None,
        }


class Machines(BaseModel):
    """A group of equal machines for which a profile is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: tuple[int, int]
    """The least and most machines, between which the cluster's autoscaler moves."""
    cpus: float = Field(gt=0)
    gpus: int = Field(0, ge=0)
    memory: ByteSize
    """Bytes of memory that one machine has for processes, such as `24GiB`."""
    labels: Labels = {}

    @field_validator("count")
    @classmethod
    def _ordered(cls, count: tuple[int, int]) -> tuple[int, int]:
        if not 0 <= count[0] <= count[1] or count[1] == 0:
            raise ValueError(f"count {list(count)} is not [least >= 0, most >= least and >= 1]")
        return count

    def nodes(self, count: int) -> Node:
        """`count` of these machines as nodes."""
        return Node({"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}, self.labels, count)


class Profile(BaseModel):
    """How a flow is laid out on a cluster.

    `fused` has one kind of worker, the stage `worker`, that does everything. `staged` gives each
    operator its own pool, configured under the operator's name or its family's (`inpaint` for
    `inpaint_telea`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    placement: Literal["fused", "staged"]
    local_cpus: float | None = None
    """Logical CPUs of the Ray instance that a run starts if it finds none.

    None takes what the stages need.
    """
    images_per_block: int | None = Field(None, ge=1, le=16)
    """Images that travel and are committed together.

    None chooses 1 to 16 by the length of the run.
    """
    machines: dict[str, Machines] = {}
    """The groups of machines for which the profile is made; a run may wait for a group to grow.
    """
    image: Bounds = Bounds()
    """Bounds on one image, such as `{seconds: {detect: 60}, memory: 4GiB}`."""
    stages: dict[str, Stage]
    """By the name of a stage, an operator or an operator's family, or `default`."""

    def stage(self, operator: str) -> Stage:
        """The stage of an operator: the entry of its name or its family, or `default`.

        If a flow has an operator several times, `verify (2)` names the second one, and `verify`
        applies to each one without its own entry. Raises ProfileError if no entry applies.
        """
        entry = StageName.parse(operator).entry(self.stages)
        if entry is None:
            raise ProfileError(f"profile {self.name!r} has no stage {operator!r} and no 'default'")
        return self.stages[entry]

    def demand(self, operators: Iterable[str]) -> dict[str, float]:
        """The `CPU`, `GPU` and `memory` (bytes) that these stages need at the same time.

        Pools reserve their least size for the whole run. One task of every other stage and the
        task that reads the index must fit beside them, because a task keeps its CPU while the
        next stage holds it back. Raises ProfileError for an unknown stage.
        """
        demand = {"CPU": INDEX_CPUS, "GPU": 0.0, "memory": 0.0}
        for stage in map(self.stage, operators):
            demand = {resource: amount + stage.least * stage.needs()[resource] for resource, amount in demand.items()}
        return demand

    def refusal(self, operators: Sequence[str], nodes: Sequence[Node]) -> str | None:
        """Why these stages cannot run on these nodes, with the sum of their needs.

        It is None if they can. Machines of the profile that can still be added count as well. The
        stages are refused if all nodes together lack a resource, or if the nodes that a stage may
        use could not hold its least processes even without any other stage. Ray itself would wait
        for missing resources without end. Raises ProfileError for an unknown stage.
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
            usable = [node for node in room if matches(node, stage.nodes)]
            capacity = sum(node.count * holds(node, stage.needs()) for node in usable)
            if capacity < stage.least:
                process = " + ".join(f"{amount_text(key, value)} {key}" for key, value in stage.needs().items() if value)
                wanted = " or ".join(", ".join(f"{key}={value}" for key, value in labels.items()) for labels in stage.nodes)
                places = f"nodes with {wanted}" if wanted else "single nodes"
                return (
                    f"profile {self.name!r} needs {stage.least} x ({process}) for {name} on {places}, which hold {capacity:g}"
                )
        return None

    def room(self, nodes: Sequence[Node]) -> list[Node]:
        """These nodes, and the machines that the profile's groups can still add to them."""
        room = list(nodes)
        for machines in self.machines.values():
            if machines.count[1] > machines.count[0]:
                size = {"CPU": machines.cpus, "GPU": machines.gpus}
                existing = sum(node.count for node in nodes if matches(node, (machines.labels,)) and holds(node, size))
                room.append(machines.nodes(max(0, machines.count[1] - existing)))
        return room

    def with_workers(self, workers: int) -> Profile:
        """The profile with `workers` processes in each pool.

        Raises ProfileError for fewer than one.
        """
        if workers < 1:
            raise ProfileError(f"{workers} workers are too few")
        stages = {
            name: stage.model_copy(update={"pool": (workers, workers)}) if stage.pool else stage
            for name, stage in self.stages.items()
        }
        return self.model_copy(update={"stages": stages, "local_cpus": None})


def shipped() -> list[str]:
    """The names of the shipped profiles."""
    return sorted(file.stem for file in PROFILES.glob("*.yaml"))


def cores() -> int:
    """The number of processor cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def laptop() -> Profile:
    """The profile of this machine: one fused worker per core."""
    workers = cores()
    stages = {"worker": Stage(cpus=1.0, pool=(workers, workers))}
    return Profile(name=LAPTOP, placement="fused", local_cpus=workers + INDEX_CPUS, stages=stages)


def fit_cluster(profile: Profile, nodes: Sequence[Node]) -> Profile:
    """The laptop's profile laid over a cluster: as many workers as its CPUs hold, at least one.

    Any other profile, and one with a given number of workers, stays as it is. On a cluster of
    fewer than two CPUs the worker reserves less than it does on a laptop.
    """
    if profile.name != LAPTOP or profile.local_cpus is None:
        return profile
    cpus = total(nodes, "CPU") - INDEX_CPUS
    share = min(1.0, max(cpus, 0.05))
    stages = {"worker": Stage(cpus=share, pool=(1, max(1, int(cpus / share))))}
    return profile.model_copy(update={"stages": stages})


def load(name: str) -> Profile:
    """Load a profile by its name (`laptop` or a shipped one) or the path of a YAML file.

    Raises ProfileError.
    """
    if name == LAPTOP:
        return laptop()
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise ProfileError(f"no profile {name!r}; use {', '.join((LAPTOP, *shipped()))}, or the path of a .yaml file")
    try:
        return Profile.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        lines = "; ".join(str(error).splitlines()[1:3]) or str(error)
        raise ProfileError(f"{path}: {lines}") from error
