"""A run on Kubernetes: the RayJob that KubeRay makes a cluster for, and takes away with it."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

BASE = Path(__file__).parent / "kubernetes" / "base" / "ray.yaml"
LONGEST_NAME = 47
"""KubeRay puts its own endings behind the name, and Kubernetes ends names at 63 characters."""

WEIGHTS = "weights"
"""The container that pulls models."""
FILLING = ("erase", "inpaint")
"""The commands whose `--model` is one that is pulled."""


class RayJobError(ValueError):
    """A RayJob that cannot be written."""


def rayjob(name: str, entrypoint: str, base: Path | None, image: str, environment: Mapping[str, str]) -> str:
    """The RayJob, as YAML, that runs a command line on a cluster of its own.

    `entrypoint` is a shell's command line; pods pull the model that it names before their Ray
    starts. `base` is a YAML file with a RayJob among its documents, such as what `kubectl
    kustomize` renders of an overlay; None takes the shipped one, which any cluster with KubeRay
    understands. `image` is the name and version that the two images share
    (`registry/cleanplate:0.1.0` for `...-cpu` and `...-cuda`); empty keeps those of the base.
    `environment` is what the driver and the workers find set, on top of what the pods set;
    secrets do not belong there, since whoever may read the job reads them. Raises RayJobError.
    """
    if not re.fullmatch(rf"[a-z]([-a-z0-9]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?", name):
        raise RayJobError(f"{name!r}: a job's name has up to {LONGEST_NAME} small letters, digits and dashes, a letter first")
    job = _shipped_job(base or BASE)
    job["metadata"] = {**job["metadata"], "name": name}
    job["spec"] = {**job["spec"], "entrypoint": entrypoint}
    if models := _models(entrypoint):
        for container in _containers(job["spec"]["rayClusterSpec"]):
            if container["name"] == WEIGHTS:
                container["args"] = ["models", "pull", *models]
    if environment:
        job["spec"]["runtimeEnvYAML"] = yaml.safe_dump({"env_vars": dict(environment)}, sort_keys=True)
    if image:
        for container in _containers(job["spec"]["rayClusterSpec"]):
            container["image"] = re.sub(r"^(?:.*/)?cleanplate:[^/]*-(cpu|cuda)$", rf"{image}-\1", container["image"])
    return yaml.dump(job, Dumper=_Plain, sort_keys=False, width=120)


def _shipped_job(base: Path) -> dict[str, Any]:
    try:
        documents = [document for document in yaml.safe_load_all(base.read_text()) if isinstance(document, dict)]
    except (OSError, yaml.YAMLError) as error:
        raise RayJobError(f"{base}: {' '.join(str(error).split())[:200]}") from error
    entries = [entry for document in documents for entry in document.get("items", [document])]
    jobs: list[dict[str, Any]] = [entry for entry in entries if entry.get("kind") == "RayJob"]
    if len(jobs) != 1:
        raise RayJobError(f"{base} holds {len(jobs)} RayJobs, not one")
    return jobs[0]


def _models(entrypoint: str) -> list[str]:
    """The models, of those that are pulled, that a command line names."""
    try:
        words = [part for word in shlex.split(entrypoint) for part in word.split("=", 1)]
    except ValueError as error:
        raise RayJobError(f"{entrypoint}: {error}") from error
    named = [model for option, model in itertools.pairwise(words) if option == "--model"]
    return named if any(command in words[:2] for command in FILLING) else []


def _containers(cluster: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        yield from (*pod.get("initContainers", []), *pod["containers"])


class _Plain(yaml.SafeDumper):
    """Writes every value out where it stands, for readers that know no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True
