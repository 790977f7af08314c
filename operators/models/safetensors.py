"""Check safetensors files without reading their weights: are they whole, is any part missing?

A safetensors file starts with 8 bytes that hold the header's length (unsigned, little-endian).
The header follows, a JSON object with the offsets of each tensor's data, then the data.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from operators.models.documents import parse_json
from operators.rows.failure import RunError


def check_safetensors(path: Path) -> None:
    """Check the header's offsets against the file's size in bytes.

    Raises RunError model_invalid, naming the file, if it is truncated, too long, or has no valid
    header. OSError if the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if 8 + length > size:
            raise RunError("model_invalid", f"{path} is truncated: it ends within its header, after {size} bytes")
        header = parse_json(file.read(length), str(path))
    try:
        ends = [int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__"]
    except (KeyError, TypeError, IndexError, ValueError):
        raise RunError("model_invalid", f"{path}: its header is not a safetensors header") from None
    expected = 8 + length + max(ends, default=0)
    if size < expected:
        raise RunError("model_invalid", f"{path} is truncated: {size} bytes of {expected}")
    if size > expected:
        raise RunError("model_invalid", f"{path} has {size} bytes, its header describes {expected}")


def check_parts(path: Path, names: Collection[str]) -> None:
    """Check that weights split over several files are complete.

    `path` is the weights' index (`*.safetensors.index.json`), `names` are the files present, by
    their paths in the model. An index none of whose parts is present passes, because it belongs
    to a set of weights that is not used. Raises RunError model_invalid, naming the first part
    that is missing.
    """
    parts = parse_json(path.read_bytes(), str(path)).get("weight_map")
    present = {PurePosixPath(name).name for name in names if path.parent.name == PurePosixPath(name).parent.name}
    listed = set(parts.values()) if isinstance(parts, dict) else set()
    if listed & present and listed - present:
        raise RunError("model_invalid", f"{path.parent / min(listed - present)} is missing; {path.name} lists it")
