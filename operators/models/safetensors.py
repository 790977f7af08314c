"""What a safetensors file says of itself, checked without reading its weights."""

from __future__ import annotations

import struct
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from operators.models.documents import parse_json
from operators.rows.failure import RunError


def check_safetensors(path: Path) -> None:
    """The header (format: 8 bytes of length, JSON with the tensors' offsets, then the tensors)
    against the file's size.
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
        raise RunError("model_invalid", f"{path}: its header is not one of safetensors") from None
    wanted = 8 + length + max(ends, default=0)
    if size < wanted:
        raise RunError("model_invalid", f"{path} is truncated: {size} bytes of {wanted}")
    if size > wanted:
        raise RunError("model_invalid", f"{path} has {size} bytes, its header tells of {wanted}")


def check_parts(path: Path, names: Collection[str]) -> None:
    """Weights in several files: an index whose parts are here must not miss any."""
    parts = parse_json(path.read_bytes(), str(path)).get("weight_map")
    here = {PurePosixPath(name).name for name in names if (path.parent.name == PurePosixPath(name).parent.name)}
    wanted = set(parts.values()) if isinstance(parts, dict) else set()
    if wanted & here and wanted - here:
        raise RunError("model_invalid", f"{path.parent / min(wanted - here)} is missing; {path.name} lists it")
