"""Measure whether erased text can still be found or read, by the detector and the recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from operators.masks.geometry import Polygon, bounding_box, rasterised, straightened
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.vision.recogniser import recogniser
from operators.vision.text_detector import Scale, text_detector


@dataclass(frozen=True)
class Eraseness:
    """Detections on an edited picture compared with the texts that were on it, each 0..1.

    Lower is better for all three. A text counts as found if a detected polygon overlaps it by
    more than half of the smaller area. Detections at the same place on the clean picture do not
    count against the edit.
    """

    precision: float
    recall: float
    f: float


def _match(polygons: Sequence[Polygon], texts: Sequence[Polygon], frame: Box) -> tuple[list[bool], list[bool]]:
    """Which texts any polygon finds, and which polygons find any text."""
    texts_found, polygons_found = [False] * len(texts), [False] * len(polygons)
    for number, text in enumerate(texts):
        text_box = bounding_box([text], frame.width, frame.height)
        for index, polygon in enumerate(polygons):
            box = bounding_box([polygon], frame.width, frame.height)
            if not box.overlaps(text_box):
                continue
            union = box.union(text_box)
            text_area, polygon_area = rasterised([text], union) > 0, rasterised([polygon], union) > 0
            if (text_area & polygon_area).sum() > 0.5 * min(text_area.sum(), polygon_area.sum()):
                texts_found[number] = polygons_found[index] = True
    return texts_found, polygons_found


def detect_text(rgb: Pixels, scale: Scale = Scale()) -> list[Polygon]:
    """The text polygons that the detector sees in a picture (uint8 height x width x 3)."""
    height, width = rgb.shape[:2]
    detector = text_detector()
    polygons, _ = detector.polygons(detector.probability(rgb, scale.factor(width, height)), width, height)
    return list(polygons)


def eraseness(edited: Pixels, texts: Sequence[Polygon], clean: Pixels | None = None) -> Eraseness:
    """How well the detector still finds `texts` in the edited picture, see Eraseness.

    All three are NaN without texts. `clean` is the true picture without text, if it is known.
    """
    if not texts:
        return Eraseness(*[float("nan")] * 3)
    frame = Box(0, 0, edited.shape[1], edited.shape[0])
    polygons = detect_text(edited)
    texts_found, polygons_hit = _match(polygons, texts, frame)
    texts_excused, polygons_excused = [False] * len(texts), [False] * len(polygons)
    if clean is not None:
        clean_polygons = detect_text(clean)
        texts_excused, _ = _match(clean_polygons, texts, frame)
        polygons_excused = _match(clean_polygons, polygons, frame)[0]
    texts_counted = [found and not excused for found, excused in zip(texts_found, texts_excused, strict=True)]
    polygons_counted = [hit for hit, excused in zip(polygons_hit, polygons_excused, strict=True) if not excused]
    recall = sum(texts_counted) / len(texts)
    precision = sum(polygons_counted) / len(polygons_counted) if polygons_counted else 0.0
    return Eraseness(precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0)


def characters_read(rgb: Pixels, polygon: Polygon, least_confidence: float = 0.5) -> int:
    """How many characters the recogniser still reads under a polygon, without spaces.

    0 if the mean probability of the characters is below `least_confidence`.
    """
    text, confidence = recogniser().read(straightened(rgb, polygon))
    return len(text.replace(" ", "")) if confidence >= least_confidence else 0
