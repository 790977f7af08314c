"""The text detector of RapidOCR at its defaults in the place of `detect`, as one would use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.find import packaged
from operators.detect import Detect
from operators.masks.geometry import Polygon, bounding_box
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels
from operators.rows.records import RegionRecord
from operators.rows.regions import new_region

find = cache(packaged)
"""The detector, once per process."""


@dataclass(frozen=True)
class PackagedDetect(Detect):
    """Everything that the packaged detector finds is text; nothing is confirmed."""

    def open(self) -> None:
        """Load the detector."""
        find()

    def regions(self, picture: Picture) -> list[RegionRecord]:
        """The texts of a picture as REGION structs."""
        width, height = picture.size
        detector: Callable[[Pixels], list[Polygon]] = find()
        rgb = next(iter(picture.views()))
        scale = width / rgb.shape[1]
        found = [[[x * scale, y * scale] for x, y in polygon] for polygon in detector(rgb)]
        sure = np.full((1, 1), 255, np.uint8)
        return [new_region([polygon], 1.0, "text", sure, bounding_box([polygon], width, height)) for polygon in found]
