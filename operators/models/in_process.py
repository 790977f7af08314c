"""Models loaded once per process, shared by every operator that names the same one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Model = TypeVar("Model")

_models: dict[tuple[str, str, str], Any] = {}
_lock = threading.Lock()


def load_once(alias: str, checksum: str, device: str, load: Callable[[], Model]) -> Model:
    """The model under (alias, checksum, device), loaded by `load` the first time this process
    asks for it.
    """
    key = (alias, checksum, device)
    with _lock:
        if key not in _models:
            _models[key] = load()
        model: Model = _models[key]
    return model


def file_sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
