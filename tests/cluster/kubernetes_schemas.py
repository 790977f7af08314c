"""Checks of manifests against the schemas that a Kubernetes server enforces."""

from __future__ import annotations

import copy
import os
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

KUBERNETES = "1.34"
CRDS_VARIABLE = "CLEANPLATE_KUBERAY_CRDS"


def faults(manifest: dict[str, Any]) -> list[str]:
    """The faults of a manifest by Kubernetes' schema for its own kinds; unknown fields count."""
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'/'.join(map(str, error.path))}: {error.message}"]
    return []


def kuberay_faults(manifest: dict[str, Any]) -> list[str]:
    """The faults of a manifest by KubeRay's definition of its kind; unknown fields count."""
    kind, version = manifest["kind"], manifest["apiVersion"].rpartition("/")[2]
    validator = Draft202012Validator(_closed_schema(kind, version))
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in validator.iter_errors(manifest)]


@cache
def _closed_schema(kind: str, version: str) -> dict[str, Any]:
    folder = os.environ.get(CRDS_VARIABLE)
    if not folder:
        pytest.skip(f"{CRDS_VARIABLE} names no folder with KubeRay's definitions")
    definition = yaml.load((Path(folder) / f"ray.io_{kind.lower()}s.yaml").read_text(), Loader=yaml.CSafeLoader)
    version_entry = next(entry for entry in definition["spec"]["versions"] if entry["name"] == version)
    schema = copy.deepcopy(version_entry["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return _closed(schema)


def _closed(schema: Any) -> Any:
    """The schema without unnamed fields, and with Kubernetes' keywords as those of JSON Schema."""
    if isinstance(schema, list):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if isinstance(closed.get("properties"), dict) and not closed.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    if closed.get("x-kubernetes-int-or-string") and "anyOf" not in closed:
        closed["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return closed
