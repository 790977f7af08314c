"""A text detector of the user's own: an ONNX file, and how a picture becomes its input.

Any network trained as a DBNet will do: it takes one picture (1 x 3 x height x width, sides a
multiple of 32) and returns a map of text probabilities (0..1) of the same height and width. If its
input differs from that of the packaged detector, a YAML file of the same name beside it says how:

    order: rgb                           # or bgr, the default
    mean: [0.485, 0.456, 0.406]          # in that order, of values 0..1; 0.5 by default
    std: [0.229, 0.224, 0.225]           # in that order; 0.5 by default
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from operators.models.pull import cache_folder
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage


class Preprocessing(BaseModel):
    """How a picture becomes the input of a detector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: Literal["bgr", "rgb"] = "bgr"
    """The order of the channels."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """What is subtracted from values 0..1, by channel in that order."""
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """By what the difference is divided, by channel in that order."""


def fetch_detector(source: str) -> Path:
    """The detector's file on this machine, copied there from a URL, and its YAML file beside it.

    Raises RunError model_unavailable if there is none or it cannot be read.
    """
    if storage.is_local(source):
        path = Path(source.removeprefix("file://")).expanduser()
        if not path.is_file():
            raise RunError("model_unavailable", f"there is no detector {source}")
        return path
    folder = cache_folder() / "detectors" / hashlib.sha256(source.encode()).hexdigest()[:16]
    path = folder / source.rpartition("/")[2]
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            preprocessing = _read_if_there(_yaml_beside(source))
            if preprocessing is not None:
                storage.write(str(_yaml_of(path)), preprocessing)
            storage.write(str(path), storage.read(source))
        except Failure as failure:
            raise RunError("model_unavailable", f"detector {source}: {failure.message}") from failure
    return path


def preprocessing_of(path: Path) -> Preprocessing:
    """What the YAML file beside a detector says. Raises RunError model_invalid."""
    beside = _yaml_of(path)
    if not beside.exists():
        return Preprocessing()
    try:
        return Preprocessing.model_validate(yaml.safe_load(beside.read_text()) or {})
    except (ValidationError, yaml.YAMLError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else "it is no YAML"
        raise RunError("model_invalid", f"{beside}: {reason}") from None


def _yaml_of(path: Path) -> Path:
    return path.with_suffix(".yaml")


def _yaml_beside(source: str) -> str:
    return source.rpartition(".")[0] + ".yaml"


def _read_if_there(uri: str) -> bytes | None:
    try:
        return storage.read(uri)
    except Failure as failure:
        if failure.code == "key_missing":
            return None
        raise
