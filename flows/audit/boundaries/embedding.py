"""What an image's embedding keeps: its stored type, and which parts of the picture it still sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.audit.boundaries.crossing import BAND_NAMES, Crossing, of_values
from flows.audit.boundaries.sample import Sample
from operators.masks.geometry import bounding_box, stroke_height
from operators.rows.arrays import Pixels
from operators.rows.schema import SCHEMA

Vector = npt.NDArray[np.float32]
STORED_TYPE: Any = SCHEMA.field("embedding").type.value_type.to_pandas_dtype()
"""The NumPy type of a stored embedding's values."""

LEAST_REMOVED = 0.5
"""Root mean square in grey levels below which nothing was removed that anybody could see."""


def as_row(vector: Vector) -> Vector:
    """The embedding as the row gives it back."""
    column = pa.array([vector.astype(STORED_TYPE)], SCHEMA.field("embedding").type)
    return np.array(column[0].as_py(), np.float32)


def as_float16(vector: Vector) -> Vector:
    """The embedding at half precision."""
    return vector.astype(np.float16).astype(np.float32)


def as_uint8(vector: Vector) -> Vector:
    """The embedding in 255 even steps from its least to its greatest value."""
    low, high = float(vector.min()), float(vector.max())
    step = (high - low) / 255 or 1.0
    result: Vector = (np.rint((vector - low) / step) * step + low).astype(np.float32)
    return result


STORED = {"stored type": as_row, "float16": as_float16, "uint8": as_uint8}


def embedding_stored(sample: Sample) -> Iterator[Crossing]:
    """The model's output against what the row keeps of it, and what smaller types would; errors
    against its largest value.
    """
    if sample.embed is None:
        return
    vector = sample.embed(sample.rgb)
    full_range = float(np.abs(vector).max()) or 1.0
    for name, stored in STORED.items():
        yield of_values(f"embedding to {name}", vector, stored(vector), full_range)


@dataclass(frozen=True)
class Sight:
    """How far an embedding moves when one thing is blurred away.

    `removed` is the root mean square of what was removed, in grey levels; `moved` the embedding's
    relative change (Euclidean, as a share of its length).
    """

    thing: str
    removed: float
    moved: float


def sights(sample: Sample) -> Iterator[Sight]:
    """The embedding's change when each octave band, and the text alone, is taken out of the
    picture.
    """
    if sample.embed is None:
        return
    rgb = sample.rgb
    without = {**_without_bands(rgb), **_without_text(sample)}
    before = sample.embed(rgb)
    length = float(np.linalg.norm(before)) or 1.0
    for thing, picture in without.items():
        removed = float(np.sqrt(np.mean((rgb.astype(np.float64) - picture) ** 2)))
        if removed >= LEAST_REMOVED:
            yield Sight(thing, removed, float(np.linalg.norm(sample.embed(picture) - before)) / length)


def _without_bands(rgb: Pixels) -> dict[str, Pixels]:
    """The picture without one octave band (in every channel), by the band's name; the bands of
    `octave_bands`.
    """
    level, found = rgb.astype(np.float32), {}
    for octave, name in enumerate(BAND_NAMES):
        smooth = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 0.8 * 2**octave, borderType=cv2.BORDER_REFLECT_101)
        found[name] = np.clip(np.rint(rgb - (level - smooth)), 0, 255).astype(np.uint8)
        level = smooth
    return found


def _without_text(sample: Sample) -> dict[str, Pixels]:
    """The picture with every text blurred until no letter is left: by half its line's height."""
    if not sample.found:
        return {}
    picture = sample.rgb.copy()
    for region in sample.found:
        polygons = region["polygons"]
        box = bounding_box(polygons, *sample.picture.size)
        part = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
        sigma = max(1.0, max(stroke_height(polygon) for polygon in polygons) / 2)
        picture[part] = cv2.GaussianBlur(np.ascontiguousarray(picture[part]), (0, 0), sigma)
    return {"text": picture}


def seen(all_sights: list[Sight]) -> dict[str, float]:
    """How well each thing is seen, 0..1: the embedding's move for each grey level removed, best
    seen thing at 1.
    """
    sums: dict[str, list[float]] = {}
    for sight in all_sights:
        total = sums.setdefault(sight.thing, [0.0, 0.0])
        total[0], total[1] = total[0] + sight.moved, total[1] + sight.removed
    gains = {thing: moved / removed for thing, (moved, removed) in sums.items()}
    best = max(gains.values(), default=0.0) or 1.0
    return {thing: gain / best for thing, gain in gains.items()}
