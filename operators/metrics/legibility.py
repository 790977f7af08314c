"""Can what was erased still be found or read? The detector's and the recogniser's second look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from operators.masks.geometry import Polygon, bounding_box, rasterised
from operators.models.in_process import load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.vision.text_detector import Scale, text_detector


@dataclass(frozen=True)
class Eraseness:
    """Detection on an edited picture against the texts that were there, net of what the clean
    picture gives.

    Lower is better for all three, 0..1: a text counts as found if a detected polygon overlaps it
    by more than half of the smaller area. A detector that fires on the clean picture at the same
    place does not count against the edit.
    """

    precision: float
    recall: float
    f: float


def _found(polygons: Sequence[Polygon], texts: Sequence[Polygon], frame: Box) -> tuple[list[bool], list[bool]]:
    """Which texts are found by some polygon, and which polygons find some text."""
    texts_found, polygons_found = [False] * len(texts), [False] * len(polygons)
    for number, text in enumerate(texts):
        text_box = bounding_box([text], frame.width, frame.height)
        for index, polygon in enumerate(polygons):
            box = bounding_box([polygon], frame.width, frame.height)
            if not box.overlaps(text_box):
                continue
            union = box.union(text_box)
            one, other = rasterised([text], union) > 0, rasterised([polygon], union) > 0
            if (one & other).sum() > 0.5 * min(one.sum(), other.sum()):
                texts_found[number] = polygons_found[index] = True
    return texts_found, polygons_found


def detected(rgb: Pixels, scale: Scale = Scale()) -> list[Polygon]:
    """The text polygons that the detector sees in a picture (uint8 height x width x 3)."""
    height, width = rgb.shape[:2]
    detector = text_detector()
    polygons, _ = detector.polygons(detector.probability(rgb, scale.factor(width, height)), width, height)
    return list(polygons)


def eraseness(edited: Pixels, texts: Sequence[Polygon], clean: Pixels | None = None) -> Eraseness:
    """How well the detector still finds `texts` in the edited picture; see Eraseness. NaN
    throughout without texts.
    """
    if not texts:
        return Eraseness(*[float("nan")] * 3)
    frame = Box(0, 0, edited.shape[1], edited.shape[0])
    seen = detected(edited)
    found, finders = _found(seen, texts, frame)
    excused, excusers = [False] * len(texts), [False] * len(seen)
    if clean is not None:
        there = detected(clean)
        excused, _ = _found(there, texts, frame)
        excusers = _found(there, seen, frame)[0]
    counted = [hit and not excuse for hit, excuse in zip(found, excused, strict=True)]
    shown = [finder for finder, excuse in zip(finders, excusers, strict=True) if not excuse]
    recall = sum(counted) / len(texts)
    precision = sum(shown) / len(shown) if shown else 0.0
    return Eraseness(precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0)


def recogniser_path() -> Path:
    """The recogniser's weights (PP-OCRv6 rec small, Apache-2.0) inside the installed `rapidocr`
    package.
    """
    return Path(str(files("rapidocr"))) / "models" / "PP-OCRv6_rec_small.onnx"


class Recogniser:
    """Reads one line of text: PP-OCRv6 with greedy CTC decoding, on one computing thread."""

    HEIGHT = 48

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path)
        self._input = self._session.get_inputs()[0].name
        characters = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = ["", *characters, " "]

    def read(self, line: Pixels) -> tuple[str, float]:
        """The text of an upright line (uint8 height x width x 3) and the mean probability of its
        characters, 0..1.
        """
        width = max(8, min(2400, round(self.HEIGHT * line.shape[1] / line.shape[0])))
        seen = cv2.resize(line[:, :, ::-1], (width, self.HEIGHT), interpolation=cv2.INTER_LINEAR)
        values = (seen.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        scores: Any = self._session.run(None, {self._input: values})[0][0]
        best, sure = scores.argmax(axis=1), scores.max(axis=1)
        kept = (best > 0) & np.concatenate([[True], best[1:] != best[:-1]])
        text = "".join(self._characters[index] for index in best[kept])
        return text, float(sure[kept].mean()) if kept.any() else 0.0


def recogniser() -> Recogniser:
    """The process's recogniser."""
    return load_once("pp-ocr-v6-rec-small", "rapidocr", "cpu", lambda: Recogniser(recogniser_path()))


def straightened(rgb: Pixels, polygon: Polygon) -> Pixels:
    """What lies under a polygon, turned upright: the smallest rectangle round it, its long side
    across.
    """
    (centre, (width, height), angle) = cv2.minAreaRect(np.asarray(polygon, np.float32).reshape(-1, 2))
    if width < height:
        width, height, angle = height, width, angle - 90
    angle = (angle + 90) % 180 - 90
    turn = cv2.getRotationMatrix2D(centre, angle, 1.0)
    turn[:, 2] += [width / 2 - centre[0], height / 2 - centre[1]]
    size = (max(1, round(width)), max(1, round(height)))
    result: Pixels = cv2.warpAffine(rgb, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return result


def characters_read(rgb: Pixels, polygon: Polygon, least_confidence: float = 0.5) -> int:
    """How many characters the recogniser still reads under a polygon; 0 if it is less than
    `least_confidence` sure.
    """
    text, sure = recogniser().read(straightened(rgb, polygon))
    return len(text.replace(" ", "")) if sure >= least_confidence else 0
