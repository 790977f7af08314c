"""Which pixels the text has touched: a small network that looks at one line of text and its
polygon.

The network is this project's own (`operators/models/weights/strokes`, its model card says how it
was trained): a U-Net of 0.37 million weights that was shown rendered text whose every pixel is
known. It sees the line at a fixed height, so its cost follows the length of the text and not the
size of its letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon, bounding_box, rasterised, stroke_height
from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import (
    ModelRecord,
)
from operators.rows.timing import timed

PATH = Path(__file__).parents[1] / "models" / "weights" / "strokes" / "strokes.onnx"
LINE_HEIGHT = 62
"""Pixels that a line's polygon is high when the network sees it."""
MULTIPLE = 16
MOST_PIXELS = 1 << 20
"""Largest input; a line longer than that is shown smaller."""


class StrokeNetwork:
    """The network on one computing thread; the same map for the same pixels."""

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path)

    def probability(
        self, rgb: Pixels, polygon: Pixels, line_height: float, seen_height: int = LINE_HEIGHT
    ) -> npt.NDArray[np.float32]:
        """How likely text has changed each pixel, 0..1, float32 height x width.

        `rgb` is uint8 height x width x 3 round one line, `polygon` the detector's polygon on it
        (0 or 255), `line_height` the polygon's height in pixels, `seen_height` the one at which
        the network is shown it.
        """
        height, width = rgb.shape[:2]
        factor = min(seen_height / line_height, (MOST_PIXELS / (height * width)) ** 0.5)
        small_height, small_width = max(MULTIPLE, round(height * factor)), max(MULTIPLE, round(width * factor))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        seen = cv2.resize(np.dstack([rgb, polygon]), (small_width, small_height), interpolation=method)
        seen = cv2.copyMakeBorder(seen, 0, -small_height % MULTIPLE, 0, -small_width % MULTIPLE, cv2.BORDER_REPLICATE)
        values = seen.astype(np.float32).transpose(2, 0, 1)[None] / 255
        values[:, :3] = values[:, :3] * 2 - 1
        with timed("model"):
            found: npt.NDArray[np.float32] = self._session.run(None, {"crop": values})[0][0, 0]
        found = found[:small_height, :small_width]
        result: npt.NDArray[np.float32] = cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)
        return result

    def line_probability(self, rgb: Pixels, line: Line, seen_height: int = LINE_HEIGHT) -> npt.NDArray[np.float32]:
        """`probability` of the pixels `rgb` on the line's `reach`."""
        return self.probability(np.ascontiguousarray(rgb), line.inside, line.height, seen_height)


@dataclass(frozen=True)
class Line:
    """One text as the network is shown it."""

    height: float
    """The line's height in pixels; the lowest one where a text has several polygons."""
    reach: Box
    """Where the network looks: the polygons' bounding box and 0.6 of the line's height on each
    side, cut to the picture.
    """
    inside: Pixels
    """The filled polygons (0 or 255) on `reach`."""

    @classmethod
    def of(cls, polygons: Sequence[Polygon], width: int, height: int) -> Line:
        """From the polygons of a text in a width x height picture."""
        line_height = max(1.0, min(stroke_height(polygon) for polygon in polygons))
        reach = around_line(bounding_box(polygons, width, height), line_height, width, height)
        return cls(line_height, reach, rasterised(polygons, reach))

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of `reach` in the picture."""
        box = self.reach
        return np.s_[box.y : box.y + box.height, box.x : box.x + box.width]


def stroke_network() -> StrokeNetwork:
    """The process's stroke network."""
    return load_once("strokes", "shipped", "cpu", lambda: StrokeNetwork(PATH))


def stroke_network_identity() -> ModelRecord:
    """What run.json says of the network."""
    return {"alias": "strokes", "licence": "Apache-2.0", "sha256": file_sha256(PATH)}


def around_line(box: Box, line_height: float, width: int, height: int) -> Box:
    """A line's box and 0.6 of its height on each side, cut to the picture."""
    return box.grown(round(0.6 * line_height) + 2, width, height)
