"""Measure the loss of storing an embedding, and which parts of a picture it sees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.audit.boundaries.crossing import BAND_NAMES, Crossing, compare_values
from flows.audit.boundaries.sample import Sample
from operators.masks.geometry import bounding_box, stroke_height
from operators.rows.arrays import Pixels
from operators.rows.schema import SCHEMA

Vector = npt.NDArray[np.float32]
STORED_TYPE: Any = SCHEMA.field("embedding").type.value_type.to_pandas_dtype()
"""The NumPy type of a stored embedding's values."""

LEAST_REMOVED = 0.5
"""Root mean square in grey levels below which the removal of a thing is invisible."""


def as_row(vector: Vector) -> Vector:
    """The embedding as the row returns it."""
    column = pa.array([vector.astype(STORED_TYPE)], SCHEMA.field("embedding").type)
    return np.array(column[0].as_py(), np.float32)


def as_float16(vector: Vector) -> Vector:
    """The embedding at half precision."""
    return vector.astype(np.float16).astype(np.float32)


def as_uint8(vector: Vector) -> Vector:
    """The embedding in 255 even steps from its smallest to its largest value."""
    low, high = float(vector.min()), float(vector.max())
    step = (high - low) / 255 or 1.0
    result: Vector = (np.rint((vector - low) / step) * step + low).astype(np.float32)
    return result


STORAGE_TYPES = {"stored type": as_row, "float16": as_float16, "uint8": as_uint8}


def embedding_stored(sample: Sample) -> Iterator[Crossing]:
    """Compare the output of the encoder with its stored form, and with smaller types.

    Errors are relative to the largest value of the output.
    """
    if sample.embed is None:
        return
    vector = sample.embed(sample.rgb)
    full_range = float(np.abs(vector).max()) or 1.0
    for name, store in STORAGE_TYPES.items():
        yield compare_values(f"embedding to {name}", vector, store(vector), full_range)


@dataclass(frozen=True)
class Sight:
    """How far an embedding moves when one thing is blurred away."""

    thing: str
    """The name of an octave band, or `text`."""
    removed: float
    """Root mean square of the removed part, in grey levels."""
    moved: float
    """Euclidean move of the embedding, as a share of its length."""


def measure_sights(sample: Sample) -> Iterator[Sight]:
    """Measure how the embedding moves without each octave band, and without the text."""
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
    """The picture without each octave band of `octave_bands`, in every channel, by band name."""
    level, pictures = rgb.astype(np.float32), {}
    for octave, name in enumerate(BAND_NAMES):
        smooth = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 0.8 * 2**octave, borderType=cv2.BORDER_REFLECT_101)
        pictures[name] = np.clip(np.rint(rgb - (level - smooth)), 0, 255).astype(np.uint8)
        level = smooth
    return pictures


def _without_text(sample: Sample) -> dict[str, Pixels]:
    """The picture with every text blurred beyond legibility: by half the height of its line."""
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


def visibility(sights: Sequence[Sight]) -> dict[str, float]:
    """How well the embedding sees each thing: its move per removed grey level, the best at 1."""
    moved, removed = defaultdict[str, float](float), defaultdict[str, float](float)
    for sight in sights:
        moved[sight.thing] += sight.moved
        removed[sight.thing] += sight.removed
    gains = {thing: moved[thing] / removed[thing] for thing in moved}
    best = max(gains.values(), default=0.0) or 1.0
    return {thing: gain / best for thing, gain in gains.items()}
