"""The stroke network: which pixels near a polygon has the text touched?

The network belongs to this project; the model card in `operators/models/weights/strokes` says how
it was trained. It is a U-Net of 0.37 million weights, trained on rendered text of which every
pixel is known. It sees each line at a fixed height, so its cost grows with the length of the text
and not with the size of its letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon, bounding_box, rasterised, stroke_height, upright_turn
from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import ModelRecord
from operators.rows.timing import timed

PATH = Path(__file__).parents[1] / "models" / "weights" / "strokes" / "strokes.onnx"
LINE_HEIGHT = 62
"""Height in pixels of a line's polygon when the network sees it."""
MULTIPLE = 16
"""The network halves its input four times, so sides are padded to this multiple."""
STEEP_TURNS = (0, 1, 3)
"""The quarters by which a steep line is turned."""
LEAST_LENGTH = 1.4
"""Length of a line in heights from which its direction is clear."""
MOST_PIXELS = 1 << 20
"""Largest input in pixels; a line that would exceed it is scaled down further."""


class StrokeNetwork:
    """The network on one thread, so that the same pixels always give the same map."""

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path)

    def probability(
        self, rgb: Pixels, polygon: Pixels, line_height: float, seen_height: int = LINE_HEIGHT
    ) -> npt.NDArray[np.float32]:
        """The probability that text has touched each pixel, 0..1, float32 height x width.

        `rgb` is uint8 height x width x 3 around one line, and `polygon` the detector's polygon on
        the same pixels (0 or 255). `line_height` is the polygon's height in pixels, and
        `seen_height` the height to which it is scaled for the network.
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
            output: npt.NDArray[np.float32] = self._session.run(None, {"crop": values})[0][0, 0]
        unpadded = output[:small_height, :small_width]
        result: npt.NDArray[np.float32] = cv2.resize(unpadded, (width, height), interpolation=cv2.INTER_LINEAR)
        return result

    def line_probability(self, rgb: Pixels, line: Line, seen_height: int = LINE_HEIGHT) -> npt.NDArray[np.float32]:
        """The same for a `Line`; `rgb` holds the pixels of its `reach`.

        The network knows level lines best. A steep line is seen as it is and turned by a quarter
        to both sides, and the mean counts.
        """

        looks = []
        for turns in STEEP_TURNS if line.is_steep else (0,):
            turned, inside = (np.ascontiguousarray(np.rot90(plane, turns)) for plane in (rgb, line.inside))
            looks.append(np.rot90(self.probability(turned, inside, line.height, seen_height), -turns))
        mean: npt.NDArray[np.float32] = np.mean(looks, axis=0, dtype=np.float32)
        return mean


@dataclass(frozen=True)
class Line:
    """One text as the network sees it."""

    height: float
    """The line's height in pixels; the smallest if the text has several polygons; at least 1."""
    reach: Box
    """The pixels that the network sees; see `around_line`."""
    inside: Pixels
    """The filled polygons (0 or 255) on `reach`."""
    is_steep: bool = False
    """Whether its first polygon is clearly longer than high and runs rather up than across."""

    @classmethod
    def of(cls, polygons: Sequence[Polygon], width: int, height: int) -> Line:
        """The line with these polygons in a width x height picture."""
        line_height = max(1.0, min(stroke_height(polygon) for polygon in polygons))
        reach = around_line(bounding_box(polygons, width, height), line_height, width, height)
        return cls(line_height, reach, rasterised(polygons, reach), _is_steep(polygons[0]))

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns of `reach`, as an index into the picture."""
        box = self.reach
        return np.s_[box.y : box.y + box.height, box.x : box.x + box.width]


def _is_steep(polygon: Polygon) -> bool:
    turn, (length, height) = upright_turn(polygon)
    return length > LEAST_LENGTH * height and abs(turn[0, 1]) > abs(turn[0, 0])


def stroke_network() -> StrokeNetwork:
    """The process's stroke network."""
    return load_once("strokes", "shipped", "cpu", lambda: StrokeNetwork(PATH))


def stroke_network_identity() -> ModelRecord:
    """What run.json records of the network."""
    return {"alias": "strokes", "licence": "Apache-2.0", "sha256": file_sha256(PATH)}


def around_line(box: Box, line_height: float, width: int, height: int) -> Box:
    """A line's box, grown by 0.6 of its height and 2 pixels on each side, cut to the picture."""
    return box.grown(round(0.6 * line_height) + 2, width, height)
