"""`detect`: where is the text?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa

from operators.image import FRAMES, Limits
from operators.mask import Box, bounding_box
from operators.operator import Operator
from operators.table import Additions, Pixels, Row, map_rows
from operators.text_detector import Probability, Scale, has_contrast, text_detector

LEAST_SIDE = 8
"""Pictures with a side below this many pixels hold no legible text and are not shown to the detector."""


FOUND_COLUMNS = ("width", "height", "mode", "regions")
"""The columns that a detection replaces as a whole."""
DETECTED = (
    "width",
    "height",
    "mode",
    "regions.polygons",
    "regions.score",
    "regions.kind",
    "regions.probability",
)
"""What stands in the row after a detection, given masks included."""


def region(polygons: list[list[list[float]]], score: float, kind: str, data: Pixels, box: Box) -> dict[str, Any]:
    """A new region as a REGION struct: its polygons, and the uint8 probability `data` that spans `box`."""
    return {
        "polygons": polygons,
        "score": score,
        "kind": kind,
        "probability": {
            "data": data.tobytes(),
            "width": data.shape[1],
            "height": data.shape[0],
            "box": {"x": box.x, "y": box.y, "width": box.width, "height": box.height},
        },
    }


@dataclass(frozen=True)
class Detect(Operator):
    """Find text: its polygons, its scores, and the detector's own probability map over each of them.

    Large JPEGs are decoded at the reduced scale that the detector looks at, so a picture without text never costs a
    full decode.
    """

    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256")
    adds: ClassVar[tuple[str, ...]] = DETECTED
    scale: Scale = Scale()
    least_score: float = 0.5
    limits: Limits = Limits()

    def open(self) -> None:
        """Load the text detector."""
        text_detector()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Detect on the rows of one batch."""
        return map_rows(batch, self.name, FOUND_COLUMNS, self._detect)

    def _detect(self, row: Row) -> Additions:
        data = row.data("bytes") or b""
        picture = FRAMES.at_least(row["source_sha256"], data, self.limits, self.scale.factor)
        width, height = picture.size
        found: dict[str, Any] = {"width": width, "height": height, "mode": picture.mode, "regions": []}
        if min(width, height) < LEAST_SIDE:
            return found
        rgb = picture.rgb()
        detector = text_detector()
        factor = self.scale.factor(width, height)
        probability = detector.probability(rgb, factor * width / rgb.shape[1])
        polygons, scores = detector.polygons(probability, width, height)
        found["regions"] = [
            region([polygon], score, "text", *_sampled(probability, polygon, width, height))
            for polygon, score in zip(polygons, scores, strict=True)
            if score >= self.least_score and _shows_anything(rgb, polygon, width)
        ]
        return found


def _shows_anything(rgb: Pixels, polygon: list[list[float]], width: int) -> bool:
    """Whether a polygon, in pixels of a picture that is `width` wide, has any contrast in it as the detector saw it."""
    scale = rgb.shape[1] / width
    box = bounding_box([[[x * scale, y * scale] for x, y in polygon]], rgb.shape[1], rgb.shape[0])
    return bool(has_contrast(np.ascontiguousarray(rgb[box.y : box.y + box.height, box.x : box.x + box.width])).any())


def _sampled(probability: Probability, polygon: list[list[float]], width: int, height: int) -> tuple[Pixels, Box]:
    """The map over a polygon's bounding box, at the map's own resolution, as uint8; and that box in source pixels."""
    box = bounding_box([polygon], width, height)
    across, down = probability.shape[1] / width, probability.shape[0] / height
    columns, rows = max(1, round(box.width * across)), max(1, round(box.height * down))
    step_x, step_y = box.width * across / columns, box.height * down / rows
    grid_x = (box.x * across + (np.arange(columns) + 0.5) * step_x - 0.5).astype(np.float32)
    grid_y = (box.y * down + (np.arange(rows) + 0.5) * step_y - 0.5).astype(np.float32)
    sampled = cv2.remap(
        probability,
        np.tile(grid_x, (rows, 1)),
        np.tile(grid_y[:, None], (1, columns)),
        interpolation=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.clip(np.rint(sampled * 255), 0, 255).astype(np.uint8), box
