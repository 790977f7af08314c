"""A run on Kubernetes: a RayJob, for which KubeRay creates a cluster and removes it afterwards."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
"""A part of a Kubernetes manifest."""

BASE = Path(__file__).parent / "kubernetes" / "base" / "ray.yaml"
LONGEST_NAME = 47
"""KubeRay appends suffixes to the name, and Kubernetes allows 63 characters."""

WEIGHTS = "weights"
"""The name of the container that pulls models."""
FILLING = ("erase", "inpaint")
"""The commands whose `--model` has to be pulled."""


class RayJobError(ValueError):
    """A RayJob that cannot be written."""


def rayjob(name: str, entrypoint: str, base: Path | None, image: str, environment: Mapping[str, str]) -> str:
    """The YAML of a RayJob that runs a command line on a new cluster.

    - `entrypoint` is a shell command line. Pods pull the model that it names before Ray starts.
    - `base` is a YAML file with a RayJob among its documents, such as an overlay rendered by
      `kubectl kustomize`. None takes the shipped one, which any cluster with KubeRay accepts.
    - `image` is the common name and version of the two images: `registry/cleanplate:0.1.0` for
      `...-cpu` and `...-cuda`. Empty keeps the images of the base.
    - `environment` sets variables for the driver and the workers, in addition to those of the
      pods. Put no secrets there: whoever may read the job can read them.

    Raises RayJobError.
    """
    if not re.fullmatch(rf"[a-z]([-a-z0-9]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?", name):
        raise RayJobError(
            f"{name!r}: a job's name has 1 to {LONGEST_NAME} lower-case letters, digits and dashes, "
            "starts with a letter and does not end with a dash"
        )
    job = _read_job(base or BASE)
    try:
        _fill_in(job, name, entrypoint, image, environment)
    except (KeyError, TypeError, AttributeError) as error:
        raise RayJobError(f"{base or BASE}: its RayJob has no cluster of pods: {type(error).__name__} {error}") from error
    return yaml.dump(job, Dumper=_Plain, sort_keys=False, width=120)


def _fill_in(job: Manifest, name: str, entrypoint: str, image: str, environment: Mapping[str, str]) -> None:
    """Write what `rayjob` gets into a RayJob. An incomplete one raises KeyError and its like."""
    job["metadata"] = {**job["metadata"], "name": name}
    job["spec"] = {**job["spec"], "entrypoint": entrypoint}
    containers = list(_containers(job["spec"]["rayClusterSpec"]))
    if models := _models(entrypoint):
        for container in containers:
            if container["name"] == WEIGHTS:
                container["args"] = ["models", "pull", *models]
    if environment:
        job["spec"]["runtimeEnvYAML"] = yaml.safe_dump({"env_vars": dict(environment)}, sort_keys=True)
    if image:
        for container in containers:
            container["image"] = re.sub(r"^(?:.*/)?cleanplate:[^/]*-(cpu|cuda)$", rf"{image}-\1", container["image"])


def _read_job(base: Path) -> Manifest:
    """The only RayJob in a YAML file, which may hold several documents or lists."""
    try:
        documents = [document for document in yaml.safe_load_all(base.read_text()) if isinstance(document, dict)]
    except (OSError, yaml.YAMLError) as error:
        raise RayJobError(f"{base}: {' '.join(str(error).split())[:200]}") from error
    entries = [entry for document in documents for entry in document.get("items", [document])]
    jobs: list[Manifest] = [entry for entry in entries if entry.get("kind") == "RayJob"]
    if len(jobs) != 1:
        raise RayJobError(f"{base} holds {len(jobs)} RayJobs, not one")
    return jobs[0]


def _models(entrypoint: str) -> list[str]:
    """The models named by a command line that has to pull them."""
    try:
        words = [part for word in shlex.split(entrypoint) for part in word.split("=", 1)]
    except ValueError as error:
        raise RayJobError(f"{entrypoint}: {error}") from error
    models = [model for option, model in itertools.pairwise(words) if option == "--model"]
    return models if any(command in words[:2] for command in FILLING) else []


def _containers(cluster: Manifest) -> Iterator[Manifest]:
    """Every container of a cluster's pods, init containers included."""
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        yield from (*pod.get("initContainers", []), *pod["containers"])


class _Plain(yaml.SafeDumper):
    """Writes repeated values in full, without anchors, which not every reader supports."""

    def ignore_aliases(self, data: object) -> bool:
        return True
