"""Rows, regions, files and pictures that the operators' tests start from."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from operators.rows.schema import SCHEMA


def _saved(image: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def _rows(*records: dict[str, Any]) -> pa.Table:
    complete = [
        {"image_id": f"{number:032x}", "uri": f"/{number}.png", "shard": 0, "path": f"{number}.png", **record}
        for number, record in enumerate(records)
    ]
    for record in complete:
        if record.get("bytes") is not None:
            record.setdefault("source_sha256", hashlib.sha256(record["bytes"]).hexdigest())
    return pa.Table.from_pylist(complete, schema=SCHEMA)


def _box(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "width": width, "height": height}


def _text_region(x: int, y: int, width: int, height: int) -> dict[str, Any]:
    """A detected rectangle of text, the detector sure of every pixel."""
    corners = [[x, y], [x + width - 1, y], [x + width - 1, y + height - 1], [x, y + height - 1]]
    return {
        "polygons": [corners],
        "score": 0.9,
        "kind": "text",
        "probability": {
            "data": b"\xff" * (width * height),
            "width": width,
            "height": height,
            "box": _box(x, y, width, height),
        },
        "state": "open",
    }


def _open_region(x: int, y: int, pixels: np.ndarray, hole: np.ndarray, **more: Any) -> dict[str, Any]:
    """A softened region whose hard mask is `hole` (bool), still open."""
    height, width = hole.shape
    mask = np.zeros((height, width, 4), np.uint8)
    mask[hole] = (255, 255, 255, 0)
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    left, top = int(x + columns[0]), int(y + rows[0])
    return {
        **_text_region(left, top, int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)),
        "crop": _box(x, y, width, height),
        "pixels": pixels.tobytes(),
        "mask": mask.tobytes(),
        "passes": 0,
        "checks": [],
        **more,
    }


@pytest.fixture(scope="session")
def saved() -> Callable[..., bytes]:
    """A picture (array or Pillow image) as the bytes of a file of the given format."""
    return _saved


@pytest.fixture(scope="session")
def rows() -> Callable[..., pa.Table]:
    """A complete row table of the given records."""
    return _rows


@pytest.fixture(scope="session")
def box() -> Callable[[int, int, int, int], dict[str, int]]:
    """A BOX struct."""
    return _box


@pytest.fixture(scope="session")
def text_region() -> Callable[..., dict[str, Any]]:
    """A rectangle of text as `detect` leaves it."""
    return _text_region


@pytest.fixture(scope="session")
def open_region() -> Callable[..., dict[str, Any]]:
    """A region as `soften` leaves it."""
    return _open_region


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., str]:
    """Makes files of one byte each under a folder, and returns the folder."""

    def make(*names: str, folder: str = "source") -> str:
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return str(tmp_path / folder)

    return make
