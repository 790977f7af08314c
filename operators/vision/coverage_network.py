"""The coverage network: how much of each pixel does a translucent overlay cover?

The network belongs to this project; the model card in `operators/models/weights/coverage` says how
it was trained. It sees a line of text twice: as it is, and as it would look below an overlay of
known opacity and colour that covered all of it. Where a pixel is covered, the second picture goes
on from the first one beside it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.records import ModelRecord
from operators.rows.timing import timed
from operators.vision.stroke_network import MOST_PIXELS, MULTIPLE, Line

Plane = npt.NDArray[np.float32]

PATH = Path(__file__).parents[1] / "models" / "weights" / "coverage" / "coverage.onnx"
LINE_HEIGHT = 62
"""Height in pixels of a line's polygon when the network sees it."""
STEEP_TURNS = (1, 3)
"""The quarters by which a steep line is turned. The network knows lines that run across."""
DARKEST, BRIGHTEST = -2.0, 2.0
"""Bounds of the picture below, whose values are -1..1 where the overlay covers a pixel in full."""


class CoverageNetwork:
    """The network on one thread, so that the same pixels always give the same map."""

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path)

    def coverage(self, rgb: Pixels, line: Line, opacity: float, colour: Plane) -> Plane:
        """The coverage of each pixel of a line's `reach`, 0..1, float32 height x width.

        `rgb` holds these pixels (uint8 height x width x 3), `opacity` is below 1, and `colour` the
        overlay's three values, 0..255.
        """
        looks = []
        for turns in STEEP_TURNS if line.is_steep else (0,):
            turned, inside = (np.ascontiguousarray(np.rot90(plane, turns)) for plane in (rgb, line.inside))
            looks.append(np.rot90(self._level(turned, inside, line.height, opacity, colour), -turns))
        mean: Plane = np.mean(looks, axis=0, dtype=np.float32)
        return mean

    def _level(self, rgb: Pixels, inside: Pixels, line_height: float, opacity: float, colour: Plane) -> Plane:
        height, width = rgb.shape[:2]
        factor = min(LINE_HEIGHT / line_height, (MOST_PIXELS / (height * width)) ** 0.5)
        small_height, small_width = max(MULTIPLE, round(height * factor)), max(MULTIPLE, round(width * factor))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        planes = np.dstack([rgb, inside]).astype(np.float32) / 255
        planes = cv2.resize(planes, (small_width, small_height), interpolation=method)
        planes = cv2.copyMakeBorder(planes, 0, -small_height % MULTIPLE, 0, -small_width % MULTIPLE, cv2.BORDER_REPLICATE)
        seen = planes[:, :, :3]
        below = (seen - np.float32(opacity) * colour.astype(np.float32) / 255) / np.float32(1 - opacity)
        values = np.dstack([seen * 2 - 1, np.clip(below * 2 - 1, DARKEST, BRIGHTEST), planes[:, :, 3]])
        with timed("model"):
            output: Plane = self._session.run(None, {"crop": values.transpose(2, 0, 1)[None]})[0][0, 0]
        unpadded = np.ascontiguousarray(output[:small_height, :small_width])
        result: Plane = cv2.resize(unpadded, (width, height), interpolation=cv2.INTER_LINEAR)
        return result


def coverage_network() -> CoverageNetwork:
    """The process's coverage network."""
    return load_once("coverage", "shipped", "cpu", lambda: CoverageNetwork(PATH))


def coverage_network_identity() -> ModelRecord:
    """What run.json records of the network."""
    return {"alias": "coverage", "licence": "Apache-2.0", "sha256": file_sha256(PATH)}
