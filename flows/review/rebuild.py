"""Build the flow of a run again from the settings in its run.json."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from operators.operator import Operator
from operators.pictures.provenance import Signing
from operators.rows.failure import RunError
from operators.rows.records import JsonObject

ENDS = ("write", "record")
"""The operators that store, which do no more than that."""
NOT_COMPARED = ("signing", "promise", "calibration")
"""Settings that do not say how a picture is filled."""


def rebuild(settings: Sequence[JsonObject], signing: Signing | None = None) -> tuple[Operator, ...]:
    """The operators of a run, without the one that stores.

    `signing` has the key of a run that signs; run.json only knows the place of the certificates.
    Raises RunError flow_unknown for a run whose operators are not of this package, have other
    settings in this version, or sign with a key that is not given.
    """
    operators = []
    for recorded in settings:
        if recorded["operator"] in ENDS:
            continue
        if recorded.get("signing") and signing is None:
            raise RunError("flow_unknown", "the run signs its files: give --c2pa-key and --c2pa-cert")
        operator = _operator(recorded, _limits(settings), signing if recorded.get("signing") else None)
        if not _says(_plain(operator.settings()), _plain(recorded)):
            raise RunError("flow_unknown", f"{recorded['operator']} has other settings in this version than in the run")
        operators.append(operator)
    return tuple(operators)


def _operator(recorded: JsonObject, limits: JsonObject, signing: Signing | None) -> Operator:
    name = recorded["operator"]
    family = next(
        (each for each in (name, name.partition("_")[0]) if each.isidentifier() and find_spec(f"operators.{each}")), None
    )
    if family is None:
        raise RunError("flow_unknown", f"{name} is not an operator of this package")
    module = importlib.import_module(f"operators.{family}")
    kind = getattr(module, "".join(part.title() for part in family.split("_")), None)
    if kind is None:
        raise RunError("flow_unknown", f"{name} is not an operator of this package")
    given = {field.name: recorded[field.name] for field in fields(kind) if field.name in recorded}
    if "limits" in {field.name for field in fields(kind)}:
        given.setdefault("limits", limits)
    if family == "describe":
        given["encoder"] = recorded["encoder"]["alias"]
    given.pop("signing", None)
    try:
        operator: Any = TypeAdapter(kind).validate_python(given)
    except (ValidationError, TypeError) as error:
        raise RunError("flow_unknown", f"{name} cannot be built from run.json: {str(error).splitlines()[0]}") from None
    if signing is not None:
        object.__setattr__(operator, "signing", signing)
    return cast(Operator, operator)


def _limits(settings: Sequence[JsonObject]) -> JsonObject:
    """The limits of the run, which are the same for all of its operators."""
    return next((recorded["limits"] for recorded in settings if "max_pixels" in (recorded.get("limits") or {})), {})


def _says(now: Any, then: Any) -> bool:
    """Whether settings have all values that a run has recorded.

    A setting that the run did not know yet has its default, which `Rework` checks by the bytes.
    """
    if isinstance(now, dict) and isinstance(then, dict):
        return all(name in now and _says(now[name], value) for name, value in then.items())
    return bool(now == then)


def _plain(settings: JsonObject) -> Any:
    return json.loads(json.dumps({name: value for name, value in settings.items() if name not in NOT_COMPARED}))
