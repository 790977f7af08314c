"""The line network: does a straightened rectangle of a picture hold a line of text?

The network belongs to this project; the model card in `operators/models/weights/lines` says how it
was trained. It knows no letters, so it judges scripts that the recogniser does not read, and it
costs about a tenth of a reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon, straightened, stroke_height
from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.records import ModelRecord
from operators.rows.timing import timed

PATH = Path(__file__).parents[1] / "models" / "weights" / "lines" / "lines.onnx"
HEIGHT, WIDTH = 32, 128
"""The sides in pixels of what the network sees."""
MARGIN = 0.25
"""What it sees around the polygon, in heights of the line."""
MOST_PARTS = 3
"""Parts of a long line that are looked at: both ends and the middle."""
SQUARISH = 2.5
"""Ratio of sides below which the text may run along the shorter side."""


class LineNetwork:
    """The network on one thread, so that the same pixels always give the same answer."""

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path)

    def logit(self, line: Pixels) -> float:
        """How likely a straightened line with its margin is text; from 0 on more likely than not.

        `line` is uint8, height x width x 3. Of a long line the mean over its parts counts, of a
        squarish one the direction that looks more like text.
        """
        height, width = line.shape[:2]
        turns = (0, 1) if width < SQUARISH * height else (0,)
        return max(self._mean(np.ascontiguousarray(np.rot90(line, turn))) for turn in turns)

    def _mean(self, line: Pixels) -> float:
        factor = HEIGHT / line.shape[0]
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        scaled = cv2.resize(line, (max(6, round(line.shape[1] * factor)), HEIGHT), interpolation=method)
        return float(np.mean([self._see(part) for part in _parts(scaled)]))

    def _see(self, part: Pixels) -> float:
        values = part.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
        with timed("model"):
            output: npt.NDArray[np.float32] = self._session.run(None, {"line": values})[0]
        return float(output[0])

    def logit_at(self, rgb: Pixels, polygon: Polygon) -> float:
        """The same for a polygon in the pixels of `rgb`."""
        return self.logit(straightened(rgb, polygon, round(MARGIN * stroke_height(polygon))))


def _parts(scaled: Pixels) -> Iterator[Pixels]:
    """The parts of WIDTH pixels of a line that is HEIGHT pixels high; a short line is filled up."""
    width = scaled.shape[1]
    if width < WIDTH:
        before = (WIDTH - width) // 2
        yield cv2.copyMakeBorder(scaled, 0, 0, before, WIDTH - width - before, cv2.BORDER_REPLICATE)
        return
    count = min(MOST_PARTS, -(-width // WIDTH))
    for start in np.linspace(0, width - WIDTH, count) if count > 1 else [(width - WIDTH) / 2]:
        yield scaled[:, round(start) : round(start) + WIDTH]


def line_network() -> LineNetwork:
    """The process's line network."""
    return load_once("lines", "shipped", "cpu", lambda: LineNetwork(PATH))


def line_network_identity() -> ModelRecord:
    """What run.json records of the network."""
    return {"alias": "lines", "licence": "Apache-2.0", "sha256": file_sha256(PATH)}
