"""The first look: where in a picture may text be, how high are its letters, and how is it turned?

The network belongs to this project; the model card in `operators/models/weights/first_look` says
how it was trained. It sees the whole picture in cells, costs a fraction of the text detector, and
says where the detector is to look. It finds letters of 6 to 96 pixels; higher ones are found in
reduced copies of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon, rasterised
from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import ModelRecord
from operators.rows.timing import timed

PATH = Path(__file__).parents[1] / "models" / "weights" / "first_look" / "first_look.onnx"
CELL = 8
"""Side of a cell in pixels of what the network sees."""
MULTIPLE = 32
"""The network halves its input five times, so sides are padded to this multiple."""
TILE, AROUND = 1536, 192
"""Side of the part of a picture that is seen at a time, and what is seen around it, in pixels."""
REDUCTION = 4
"""How much smaller each reduced copy is than the one before."""
LEAST_COPY = 48
"""Shorter side in pixels of the smallest copy that is looked at."""
UNIT = 16.0
"""Height in pixels of letters whose predicted height is 0."""

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """The size of a picture when the first look sees it; the longer side has no bound."""

    least_side: int = 512
    """Shorter side in pixels below which a picture is enlarged."""
    most_side: int = 1440
    """Shorter side in pixels above which a picture is reduced."""
    most_enlarged: float = 2.0
    """How much a picture is enlarged at most."""

    def factor(self, width: int, height: int) -> float:
        """Pixels of the view per pixel of a width x height picture."""
        shorter = min(width, height)
        if shorter > self.most_side:
            return self.most_side / shorter
        return min(self.most_enlarged, max(1.0, self.least_side / shorter))


@dataclass(frozen=True)
class Cells:
    """What the first look says of each cell of a picture; the planes are rows x columns."""

    side: float
    """Side of a cell in pixels of the picture."""
    text: Plane
    """The probability of text, 0..1."""
    height: Plane
    """Height of the letters in pixels of the picture, if there are any."""
    cosine: Plane
    sine: Plane
    """Cosine and sine of twice the angle of the line, anticlockwise."""

    def part(self, place: tuple[slice, slice]) -> Cells:
        """The cells of some rows and columns."""
        planes = (self.text, self.height, self.cosine, self.sine)
        return Cells(self.side, *(plane[place] for plane in planes))


def likelihood(copies: Iterable[Cells], polygon: Polygon) -> float:
    """The mean probability of text in a polygon, 0..1, in the copy that is surest."""
    best = 0.0
    for cells in copies:
        rows, columns = cells.text.shape
        corners = np.asarray(polygon, np.float64) / cells.side - 0.5
        left, top = np.clip(np.floor(corners.min(axis=0)), 0, [columns - 1, rows - 1]).astype(int)
        right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, [columns - 1, rows - 1]).astype(int)
        inside = rasterised([corners.tolist()], Box(int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)) > 0
        values = cells.text[top : bottom + 1, left : right + 1]
        best = max(best, float(values[inside].mean() if inside.any() else values.max()))
    return best


class FirstLook:
    """The network on one thread, so that the same pixels always give the same cells."""

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path)

    def cells(self, rgb: Pixels, width: int, height: int, factor: float) -> list[Cells]:
        """The cells of a width x height picture at `factor` times its size and of reduced copies.

        `rgb` is the picture, perhaps decoded at a reduced scale.
        """
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        seen = rgb
        if size != rgb.shape[1::-1]:
            reduced = size[0] < rgb.shape[1]
            seen = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if reduced else cv2.INTER_LINEAR)
        copies = []
        while True:
            copies.append(self._see(np.ascontiguousarray(seen), width / seen.shape[1]))
            if min(seen.shape[:2]) < REDUCTION * LEAST_COPY:
                return copies
            size = (seen.shape[1] // REDUCTION, seen.shape[0] // REDUCTION)
            seen = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)

    def _see(self, rgb: Pixels, scale: float) -> Cells:
        """The cells of one copy; `scale` is pixels of the picture per pixel of the copy."""
        height, width = rgb.shape[:2]
        rows, columns = -(-height // CELL), -(-width // CELL)
        planes = np.zeros((5, rows, columns), np.float32)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                above, before = min(top, AROUND), min(left, AROUND)
                part = rgb[top - above : top + TILE + AROUND, left - before : left + TILE + AROUND]
                cells = self._run(np.ascontiguousarray(part))[:, above // CELL :, before // CELL :]
                place = planes[:, top // CELL : (top + TILE) // CELL, left // CELL : (left + TILE) // CELL]
                place[:] = cells[:, : place.shape[1], : place.shape[2]]
        text, _, octave, cosine, sine = planes
        letters = np.asarray(np.exp2(np.clip(octave, -2, 3)) * UNIT * scale, np.float32)
        return Cells(CELL * scale, text, letters, cosine, sine)

    def _run(self, rgb: Pixels) -> Plane:
        height, width = rgb.shape[:2]
        padded = cv2.copyMakeBorder(rgb, 0, -height % MULTIPLE, 0, -width % MULTIPLE, cv2.BORDER_REPLICATE)
        values = padded.transpose(2, 0, 1)[None].astype(np.float32)
        values /= 127.5
        values -= 1
        with timed("model"):
            result: Plane = self._session.run(None, {"picture": values})[0][0]
        return result


def first_look() -> FirstLook:
    """The process's first look."""
    return load_once("first-look", "shipped", "cpu", lambda: FirstLook(PATH))


def first_look_identity() -> ModelRecord:
    """What run.json records of the network."""
    return {"alias": "first-look", "licence": "Apache-2.0", "sha256": file_sha256(PATH)}
