"""`soften`: which pixels, how strongly, how surely?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import pyarrow as pa

from operators.masks.geometry import bounding_box, grouped
from operators.masks.mask import BLEND, CONFIDENCE, CORE, STRUCTURE, dilated, empty_mask, moved
from operators.masks.stroke_mask import FOUND, GIVEN, POLYGON, StrokeMask, StrokeSource
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import ModelRecord, ProbabilityRecord, RegionRecord
from operators.rows.table import Additions, Row, map_rows
from operators.vision.stroke_network import LINE_HEIGHT, Line, stroke_network, stroke_network_identity


@dataclass(frozen=True)
class Strokes:
    """The strokes of one text, or one mask that the user gave.

    The three maps are uint8 0..255, `reach.height` x `reach.width`.
    """

    source: StrokeSource
    height: float
    """Height of the line of text in pixels; 1 for a given mask, which has no line."""
    reach: Box
    """The part of the picture that the maps cover."""
    pixels: Pixels
    """The strokes: 0 or 255 for a text, the user's weights for a given mask."""
    confidence: Pixels
    """How sure it is that each pixel belongs to the text."""
    certainty: Pixels
    """How strongly each pixel is replaced, for found strokes; else the same as `pixels`."""


@dataclass(frozen=True)
class Soften(Operator):
    """Mask the strokes of each text softly: which pixels to replace, how strongly, how surely.

    Inside each polygon, the stroke network separates the letters with their outline and shadow
    from the picture behind them. Neighbouring texts become one region, with one context crop and
    one four-channel mask; see `operators.masks.mask.CHANNELS`. The `core` of a region
    covers every stroke in its crop, also those of other regions, so that no fill copies letters.
    Its `blend` covers its own strokes only.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "bytes",
        "source_sha256",
        "regions.polygons",
        "regions.kind",
        "regions.probability",
    )
    adds: ClassVar[tuple[str, ...]] = (
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.strokes",
        "regions.passes",
        "regions.checks",
        "regions.state",
    )
    seen_height: int = LINE_HEIGHT
    """Height in pixels to which a line is scaled for the stroke network. A larger one makes finer
    masks, at a cost that grows with its square.
    """
    strokes: StrokeMask = StrokeMask()
    """How the network's probabilities become weights."""
    least_share: float = 0.02
    """Smallest share of a polygon that strokes may fill. Below it the network has found no
    strokes, and the whole polygon is masked.
    """
    most_share: float = 0.9
    """Largest share of a polygon that strokes may fill. Above it the network has not separated
    letters from picture, and the whole polygon is masked.
    """
    context: float = 1.5
    """Margin of the crop around the polygons, as a multiple of their line's height, within the
    two bounds in pixels.
    """
    least_context: int = 48
    most_context: int = 256
    largest_group: int = 768
    """Longest side in pixels of a crop that neighbours share."""
    limits: Limits = Limits()

    def models(self) -> list[ModelRecord]:
        """The stroke network."""
        return [stroke_network_identity()]

    def open(self) -> None:
        """Load the stroke network."""
        stroke_network()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Soften the regions of one batch."""
        return map_rows(batch, self.name, ("regions",), self._soften)

    def _soften(self, row: Row) -> Additions | None:
        if not row.regions:
            return None
        picture = FRAME_CACHE.picture(row, self.limits)
        return {"regions": self.soften(picture, [region.record() for region in row.regions])}

    def soften(self, picture: Picture, detected: Sequence[RegionRecord]) -> list[RegionRecord]:
        """The detected regions of a picture, grouped and with masks; REGION structs in and out."""
        frame = Box(0, 0, *picture.size)
        strokes = [self._find_strokes(record, picture, frame) for record in detected]
        crops = [self._crop(record, part.height, frame) for record, part in zip(detected, strokes, strict=True)]
        regions: list[RegionRecord] = []
        for members in grouped(crops, self.largest_group, frame):
            records = [detected[member] for member in members]
            crop = crops[members[0]]
            for member in members[1:]:
                crop = crop.union(crops[member])
            pixels = picture.rgb(crop.x, crop.y, crop.width, crop.height)
            mask = self._mask(strokes, members, crop, pixels)
            regions.append(
                {
                    **records[0],
                    "polygons": [polygon for record in records for polygon in record["polygons"]],
                    "score": min(record["score"] for record in records),
                    "probability": _merged([record["probability"] for record in records]),
                    "crop": crop.record(),
                    "pixels": pixels.tobytes(),
                    "mask": mask.tobytes(),
                    "strokes": "+".join(sorted({strokes[member].source for member in members})),
                    "passes": 0,
                    "checks": [],
                    "state": "open",
                }
            )
        return regions

    def _find_strokes(self, record: RegionRecord, picture: Picture, frame: Box) -> Strokes:
        """The user's mask; else what the stroke network finds; else the polygons as a whole."""
        if record["kind"] == "mask":
            box = bounding_box(record["polygons"], frame.width, frame.height)
            weights = _resampled(record["probability"], box)
            return Strokes(GIVEN, 1.0, box, weights, confidence=weights, certainty=weights)
        line = Line.of(record["polygons"], frame.width, frame.height)
        rgb = picture.rgb(line.reach.x, line.reach.y, line.reach.width, line.reach.height)
        probability = stroke_network().line_probability(rgb, line, self.seen_height)
        touched, inside = self.strokes.touched(probability), line.inside > 0
        share = float(touched[inside].mean()) if inside.any() else 0.0
        if self.least_share <= share <= self.most_share:
            return Strokes(
                FOUND,
                line.height,
                line.reach,
                pixels=np.where(touched, 255, 0).astype(np.uint8),
                confidence=np.rint(probability * 255).astype(np.uint8),
                certainty=self.strokes.certainty(probability),
            )
        confidence = np.minimum(_resampled(record["probability"], line.reach), line.inside)
        return Strokes(POLYGON, line.height, line.reach, line.inside, confidence, certainty=line.inside)

    def _crop(self, record: RegionRecord, line_height: float, frame: Box) -> Box:
        margin = round(min(max(self.context * line_height, self.least_context), self.most_context))
        return bounding_box(record["polygons"], frame.width, frame.height).grown(margin, frame.width, frame.height)

    def _mask(self, strokes: Sequence[Strokes], members: Sequence[int], crop: Box, pixels: Pixels) -> Pixels:
        """The mask of one crop; `members` are the indices of its own strokes in `strokes`."""
        mask = empty_mask(crop)
        for number, part in enumerate(strokes):
            if not part.reach.overlaps(crop):
                continue
            core = self._core(part, crop)
            np.maximum(mask[:, :, CORE], core, out=mask[:, :, CORE])
            if number in members:
                blend = self._blend(part, core, crop)
                confidence = moved(part.confidence, part.reach, crop)
                np.maximum(mask[:, :, BLEND], blend, out=mask[:, :, BLEND])
                np.maximum(mask[:, :, CONFIDENCE], confidence, out=mask[:, :, CONFIDENCE])
        mask[:, :, STRUCTURE] = _edges(pixels, dilated(np.maximum(mask[:, :, CORE], mask[:, :, BLEND]), 1))
        return mask

    def _core(self, part: Strokes, crop: Box) -> Pixels:
        """The pixels of a crop that must be regenerated, 0 or 255.

        A given mask is taken as it is; strokes of text grow over their faint edges.
        """
        pixels = moved(part.pixels, part.reach, crop)
        if part.source == GIVEN:
            return np.where(pixels > 0, 255, 0).astype(np.uint8)
        return self.strokes.grown(pixels, part.height)

    def _blend(self, part: Strokes, core: Pixels, crop: Box) -> Pixels:
        """The weights at paste-back: those of a given mask, or the faded core of found strokes."""
        if part.source == GIVEN:
            return moved(part.pixels, part.reach, crop)
        return self.strokes.weight(core, moved(part.certainty, part.reach, crop), part.source)


def _resampled(probability: ProbabilityRecord, crop: Box) -> Pixels:
    """A PROBABILITY struct resampled to source pixels and cut to the crop; zero outside its box."""
    data = np.frombuffer(probability["data"], np.uint8).reshape(probability["height"], probability["width"])
    box = Box(**probability["box"])
    if data.shape != (box.height, box.width):
        data = cv2.resize(data, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
    return moved(data, box, crop)


def _merged(probabilities: Sequence[ProbabilityRecord]) -> ProbabilityRecord:
    """One map of a group, in source pixels, over the union of its boxes.

    A single map stays as it is.
    """
    if len(probabilities) == 1:
        return probabilities[0]
    boxes = [Box(**probability["box"]) for probability in probabilities]
    union = boxes[0]
    for box in boxes[1:]:
        union = union.union(box)
    data = np.zeros((union.height, union.width), np.uint8)
    for probability in probabilities:
        np.maximum(data, _resampled(probability, union), out=data)
    return {"data": data.tobytes(), "width": union.width, "height": union.height, "box": union.record()}


def _edges(pixels: Pixels, hidden: Pixels) -> Pixels:
    """Gradient magnitude of the crop's luma (Scharr, scaled to 0..255); zero where `hidden`."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    across, down = cv2.Scharr(luma, cv2.CV_32F, 1, 0), cv2.Scharr(luma, cv2.CV_32F, 0, 1)
    magnitude: Pixels = np.clip(np.hypot(across, down) / 16, 0, 255).astype(np.uint8)
    magnitude[hidden > 0] = 0
    return magnitude
