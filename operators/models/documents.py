"""The JSON and YAML documents of a model: parsed, or refused with one line."""

from __future__ import annotations

import json
from typing import Any

import yaml

from operators.rows.failure import RunError


def read_mapping(text: str | bytes, where: str) -> dict[str, Any]:
    """A YAML mapping. Raises RunError model_card_invalid if it is none."""
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError("model_card_invalid", f"{where}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise RunError("model_card_invalid", f"{where}: not a mapping")
    return content


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """A JSON object. Raises RunError model_invalid if it is none."""
    try:
        content = json.loads(data)
    except ValueError as error:
        raise RunError("model_invalid", f"{where}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise RunError("model_invalid", f"{where}: not a JSON object")
    return content
