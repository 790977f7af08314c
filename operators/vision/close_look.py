"""The close look: the text detector on one area of a picture, upright and at a good scale."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon, bounding_box
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.vision.areas import Area, turned
from operators.vision.text_detector import LEAST_CONTRAST, Probability, TextDetector, has_contrast, local_contrast

LEAST_HEIGHT, GOOD_LOW = 11.0, 15.0
"""An area whose letters are lower than the first height, in pixels, is enlarged to the second."""
MOST_HEIGHT, GOOD_HIGH = 56.0, 40.0
"""An area whose letters are higher than the first height, in pixels, is reduced to the second."""
MOST_ENLARGED = 2.0
"""How much an area is enlarged at most."""
SECOND_HEIGHT, LEAST_PEAK, LEAST_LARGER = 32.0, 0.6, 1.3
"""Height in pixels of the letters at a second look, the probability of text at the first look from
which there is one, and how much larger the letters are at least than before.
"""
VERY_HIGH, SECOND_VERY_HIGH = 112.0, 60.0
"""Height of letters, in pixels of the picture, above which that second look is at letters of the
second height: so much was lost when the area was reduced for them.
"""
LARGE_HEIGHT, MOST_LARGER = 48.0, 4.0
"""Height in pixels of the letters when the detector looks at a small area, and how much that area
is enlarged at most.
"""
LONGEST = 1280
"""Longer side in pixels of what the detector sees at a time; longer areas are seen in pieces."""
OVERLAP = 4.0
"""How far such pieces overlap, in heights of letters."""
FAINT = 56.0
"""Grey levels by which an area varies locally, below which its contrast is stretched."""
STRONGEST = 99.5
"""The percentile of the contrasts within an area that counts as that of its letters."""
MOST_STRETCHED = 5.0
"""How much the contrast of a faint area is stretched at most."""


@dataclass(frozen=True)
class FoundText:
    """One text that the detector sees."""

    polygon: list[list[float]]
    """Four corners (x, y) in pixels of the picture."""
    score: float
    """0..1."""
    probability: Probability
    """The detector's map over the polygon, upright; every cell is some whole pixels wide."""
    box: Box
    """The pixels of the picture that `probability` spans."""
    likelihood: float = 0.0
    """What the first look says of the polygon: its mean probability of text, 0..1."""
    covered: tuple[FoundText, ...] = field(default=(), compare=False, repr=False)
    """Smaller texts that were seen in its place, see `operators.vision.find_texts`."""
    in_doubt: bool = False
    """Whether it stands for a larger text that was not confirmed."""

    @property
    def cells(self) -> Pixels:
        """The map in 255 steps, uint8."""
        return np.clip(np.rint(self.probability * 255), 0, 255).astype(np.uint8)

    def moved(self, x: int, y: int) -> FoundText:
        """The same text in a picture that has more pixels to the left and above."""
        polygon, box = [[px + x, py + y] for px, py in self.polygon], replace(self.box, x=self.box.x + x, y=self.box.y + y)
        return replace(self, polygon=polygon, box=box, covered=tuple(text.moved(x, y) for text in self.covered))


class ImagePyramid:
    """A picture and reduced copies of it, each half as large, from which areas are cut.

    `rgb` may be a reduced decode of the width x height picture.
    """

    def __init__(self, rgb: Pixels, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._copies = [rgb]

    def cut(self, area: Area, scale: float) -> tuple[Pixels, npt.NDArray[np.float64]]:
        """An area of the picture, upright, at `scale` times its size, and the 2 x 3 matrix that
        takes its pixels (x, y) to those of the picture.
        """
        level = 0
        while self._at(level) * 0.5 >= scale and min(self._copies[level].shape[:2]) >= 64:
            level += 1
            if level == len(self._copies):
                above = self._copies[-1]
                size = (max(1, above.shape[1] // 2), max(1, above.shape[0] // 2))
                self._copies.append(cv2.resize(above, size, interpolation=cv2.INTER_AREA))
        copy = self._copies[level]
        width, height = (max(1, round(side * scale)) for side in (area.right - area.left, area.bottom - area.top))
        back = turned(area.angle).T
        to_picture = np.column_stack([back / scale, back @ [area.left, area.top]])
        ratio = np.array([[copy.shape[1] / self.width], [copy.shape[0] / self.height]])
        # Pixel centres lie at whole numbers on both sides, corners half a pixel before them.
        centred = to_picture.copy()
        centred[:, 2] += centred[:, :2] @ [0.5, 0.5]
        to_copy = centred * ratio
        to_copy[:, 2] -= 0.5
        part = cv2.warpAffine(
            copy, to_copy, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        return part, to_picture

    def _at(self, level: int) -> float:
        """Pixels of a copy per pixel of the picture."""
        return float(self._copies[level].shape[1] / self.width)


def look_at(pyramid: ImagePyramid, area: Area, detector: TextDetector, least_score: float) -> list[FoundText]:
    """The texts of an area with at least this score (0..1).

    Where the first look is sure of text and the detector sees none, it looks again at letters of
    SECOND_HEIGHT: it sees faint and slanted ones better at that height. Very high ones that are
    thin it sees better if they are reduced less.
    """
    scale = scale_of(area.height)
    texts = _look_once(pyramid, area, detector, least_score, scale)
    larger = SECOND_VERY_HIGH / area.height if area.height > VERY_HIGH else min(MOST_ENLARGED, SECOND_HEIGHT / area.height)
    if texts or area.peak < LEAST_PEAK or larger < LEAST_LARGER * scale:
        return texts
    return _look_once(pyramid, area, detector, least_score, larger)


def look_larger(pyramid: ImagePyramid, area: Area, detector: TextDetector, least_score: float) -> list[FoundText]:
    """The texts of a small area at letters of LARGE_HEIGHT, at which the detector sees most."""
    return _look_once(pyramid, area, detector, least_score, min(MOST_LARGER, LARGE_HEIGHT / area.height))


def _look_once(pyramid: ImagePyramid, area: Area, detector: TextDetector, least_score: float, scale: float) -> list[FoundText]:
    """The texts of an area, seen at `scale` times its size.

    Of a part of a bent line the detector sees a few letters, so that part is one text as a whole if
    the detector sees any there.
    """
    if area.angle == 0:
        area = replace(
            area,
            left=float(max(0, math.floor(area.left))),
            top=float(max(0, math.floor(area.top))),
            right=float(min(pyramid.width, math.ceil(area.right))),
            bottom=float(min(pyramid.height, math.ceil(area.bottom))),
        )
    texts: list[FoundText] = []
    for piece in _pieces(area, scale):
        part, to_picture = pyramid.cut(piece, scale)
        contrast = local_contrast(part)
        if contrast.max() <= LEAST_CONTRAST:
            continue
        probability = detector.probability(stretched(part, contrast), 1.0)
        polygons, scores = detector.polygons(probability, part.shape[1], part.shape[0])
        if area.bent and max(scores, default=0.0) >= least_score:
            polygons, scores = [_without_margin(part, area.margin * scale)], [max(scores)]
        for polygon, score in zip(polygons, scores, strict=True):
            if score >= least_score and has_contrast(_around(part, polygon)).any():
                corners = np.asarray(polygon) @ to_picture[:, :2].T + to_picture[:, 2]
                corners = np.clip(corners, 0, [pyramid.width - 1, pyramid.height - 1])
                text = _found(corners, float(score), probability, to_picture, pyramid.width, pyramid.height)
                texts += [text] if text is not None else []
    return texts


def _without_margin(part: Pixels, margin: float) -> list[list[float]]:
    """The rectangle of a part without the margin around it."""
    right, bottom = part.shape[1] - 1 - margin, part.shape[0] - 1 - margin
    return [[margin, margin], [right, margin], [right, bottom], [margin, bottom]]


def scale_of(height: float) -> float:
    """The detector's pixels per pixel of the picture for letters of this height."""
    if height < LEAST_HEIGHT:
        return min(MOST_ENLARGED, GOOD_LOW / height)
    return GOOD_HIGH / height if height > MOST_HEIGHT else 1.0


def _pieces(area: Area, scale: float) -> Iterator[Area]:
    """The area in pieces of at most LONGEST pixels a side at this scale, which overlap."""
    most, overlap = LONGEST / scale, OVERLAP * area.height
    for top, bottom in _spans(area.top, area.bottom, most, overlap):
        for left, right in _spans(area.left, area.right, most, overlap):
            yield replace(area, left=left, top=top, right=right, bottom=bottom)


def _spans(start: float, end: float, most: float, overlap: float) -> list[tuple[float, float]]:
    """A span in equal parts of at most `most`, which overlap."""
    if end - start <= most:
        return [(start, end)]
    overlap = min(overlap, most / 2)
    count = math.ceil((end - start - overlap) / (most - overlap))
    length = (end - start + (count - 1) * overlap) / count
    return [(start + number * (length - overlap), start + number * (length - overlap) + length) for number in range(count)]


def stretched(part: Pixels, contrast: Pixels) -> Pixels:
    """The pixels with more contrast if they have little; `contrast` is their local contrast."""
    strongest = float(np.percentile(contrast, STRONGEST))
    if strongest >= FAINT:
        return part
    gain = min(MOST_STRETCHED, FAINT / max(1.0, strongest))
    middle = part.reshape(-1, 3).mean(axis=0)
    result: Pixels = np.clip(np.rint((part - middle) * gain + 128), 0, 255).astype(np.uint8)
    return result


def _around(part: Pixels, polygon: Polygon) -> Pixels:
    box = bounding_box([polygon], part.shape[1], part.shape[0])
    return np.ascontiguousarray(part[box.y : box.y + box.height, box.x : box.x + box.width])


def _found(
    corners: npt.NDArray[np.float64],
    score: float,
    probability: Probability,
    to_picture: npt.NDArray[np.float64],
    width: int,
    height: int,
) -> FoundText | None:
    """A text with the detector's probability in pixels of the picture; None if it has no extent."""
    polygon = [[float(round(x)), float(round(y))] for x, y in corners]
    box = bounding_box([polygon], width, height)
    if min(box.width, box.height) < 2:
        return None
    side = max(1, math.floor(math.hypot(*to_picture[:, 0])))
    columns, rows = -(-box.width // side), -(-box.height // side)
    if columns * side > width or rows * side > height:
        side, columns, rows = 1, box.width, box.height
    left, top = min(box.x, width - columns * side), min(box.y, height - rows * side)
    to_part = cv2.invertAffineTransform(to_picture)
    # The middle of each cell of the result, in pixels of the part that the detector saw.
    matrix = np.column_stack([to_part[:, :2] * side, to_part @ [left + side / 2, top + side / 2, 1] - 0.5])
    seen = cv2.warpAffine(
        probability, matrix, (columns, rows), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
    )
    return FoundText(polygon, score, seen, Box(left, top, columns * side, rows * side))
