"""Parse the YAML and JSON documents of a model, or refuse them with an error of one line.

`where` is the document's name in the error message: a file name, a path or a URL.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from operators.rows.failure import RunError


def read_mapping(text: str | bytes, where: str) -> dict[str, Any]:
    """Parse a YAML mapping.

    Raises RunError model_card_invalid if the text is not YAML, not UTF-8 or not a mapping.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError("model_card_invalid", f"{where}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise RunError("model_card_invalid", f"{where}: not a mapping")
    return content


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object. Raises RunError model_invalid if `data` is not one."""
    try:
        content = json.loads(data)
    except ValueError as error:
        raise RunError("model_invalid", f"{where}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise RunError("model_invalid", f"{where}: not a JSON object")
    return content
