"""Load each model once per process; every operator that names the same one shares it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Model = TypeVar("Model")

_models: dict[tuple[str, str, str], Any] = {}
"""The loaded models by alias, checksum and device; they stay until the process ends."""
_lock = threading.Lock()
"""Held while a model loads, so `load` must not call `load_once` itself."""


def load_once(alias: str, checksum: str, device: str, load: Callable[[], Model]) -> Model:
    """The model for (alias, checksum, device), loaded by `load` on this process's first request.

    Other threads wait while a model loads. Raises what `load` raises; the next call tries again.
    """
    key = (alias, checksum, device)
    with _lock:
        if key not in _models:
            _models[key] = load()
        model: Model = _models[key]
    return model


def forget_models() -> None:
    """Keep no model any longer; their memory is free when nobody else holds them."""
    with _lock:
        _models.clear()


def file_sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
