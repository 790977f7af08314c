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
from operators.masks.stroke_mask import StrokeMask
from operators.operator import Operator
from operators.pictures.codec import FRAMES, Limits
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import (
    ModelRecord,
    ProbabilityRecord,
    RegionRecord,
)
from operators.rows.table import Additions, Row, map_rows
from operators.vision.stroke_network import LINE_HEIGHT, Line, stroke_network, stroke_network_identity


@dataclass(frozen=True)
class Part:
    """One detected region as it is softened.

    `weights` (0..255, on `reach`) says which pixels are its strokes: the user's own mask, what
    the stroke network found, or its filled polygons; `confidence` how surely, `certainty` how
    strongly found strokes are replaced, on the same grid.
    """

    record: RegionRecord
    height: float
    reach: Box
    weights: Pixels
    confidence: Pixels
    certainty: Pixels
    strokes: str


@dataclass(frozen=True)
class Soften(Operator):
    """Turn polygons into soft, four-channel masks on context crops, neighbours sharing one crop.

    Inside each polygon the stroke network tells the letters, their outline and shadow from the
    picture behind them. A group of neighbours becomes one region. Its `core` covers every stroke
    that reaches into its crop, also those of other regions, so that no fill copies letters; its
    `blend` covers its own strokes only.
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
    """Pixels that a line is high when the stroke network sees it: the cost grows with its square,
    the mask gets finer.
    """
    strokes: StrokeMask = StrokeMask()
    """How the network's probabilities become weights."""
    least_share: float = 0.02
    """Smallest share of a polygon that its strokes may fill; with less of it no strokes were
    told.
    """
    most_share: float = 0.9
    """Largest share of a polygon that its strokes may fill; with more of it letters and picture
    were not told apart.
    """
    context: float = 1.5
    """What a fill sees round the strokes, as a multiple of their line's height, within the two
    bounds in pixels.
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
        picture = FRAMES.picture(row, self.limits)
        return {"regions": self.soften(picture, [region.record() for region in row.regions])}

    def soften(self, picture: Picture, detected: Sequence[RegionRecord]) -> list[RegionRecord]:
        """What `detect` found in a picture as regions to be worked, REGION structs both:
        neighbours joined, masks made.
        """
        frame = Box(0, 0, *picture.size)
        parts = [self._part(record, picture, frame) for record in detected]
        crops = [self._crop(part, frame) for part in parts]
        regions: list[RegionRecord] = []
        for members in grouped(crops, self.largest_group, frame):
            crop = crops[members[0]]
            for member in members[1:]:
                crop = crop.union(crops[member])
            group = [parts[member] for member in members]
            pixels = picture.rgb(crop.x, crop.y, crop.width, crop.height)
            mask = self._mask(group, parts, crop, pixels)
            regions.append(
                {
                    **group[0].record,
                    "polygons": [polygon for part in group for polygon in part.record["polygons"]],
                    "score": min(part.record["score"] for part in group),
                    "probability": _joined([part.record["probability"] for part in group]),
                    "crop": crop.record(),
                    "pixels": pixels.tobytes(),
                    "mask": mask.tobytes(),
                    "strokes": "+".join(sorted({part.strokes for part in group})),
                    "passes": 0,
                    "checks": [],
                    "state": "open",
                }
            )
        return regions

    def _part(self, record: RegionRecord, picture: Picture, frame: Box) -> Part:
        box = bounding_box(record["polygons"], frame.width, frame.height)
        if record["kind"] == "mask":
            weights = _placed(record["probability"], box)
            return Part(record, 1.0, box, weights, weights, weights, "given")
        line = Line.of(record["polygons"], frame.width, frame.height)
        height, reach, polygon = line.height, line.reach, line.inside
        rgb = picture.rgb(reach.x, reach.y, reach.width, reach.height)
        probability = stroke_network().line_probability(rgb, line, self.seen_height)
        touched = self.strokes.touched(probability)
        share = float(touched[polygon > 0].mean()) if (polygon > 0).any() else 0.0
        if not self.least_share <= share <= self.most_share:
            confidence = np.minimum(_placed(record["probability"], reach), polygon)
            return Part(record, height, reach, polygon, confidence, polygon, "polygon")
        weights = np.where(touched, 255, 0).astype(np.uint8)
        confidence = np.rint(probability * 255).astype(np.uint8)
        return Part(record, height, reach, weights, confidence, self.strokes.certainty(probability), "found")

    def _crop(self, part: Part, frame: Box) -> Box:
        margin = round(min(max(self.context * part.height, self.least_context), self.most_context))
        box = bounding_box(part.record["polygons"], frame.width, frame.height)
        return box.grown(margin, frame.width, frame.height)

    def _mask(self, group: Sequence[Part], everyone: Sequence[Part], crop: Box, pixels: Pixels) -> Pixels:
        mask = empty_mask(crop)
        for part in everyone:
            if not part.reach.overlaps(crop):
                continue
            weights = moved(part.weights, part.reach, crop)
            given = part.strokes == "given"
            core = np.where(weights > 0, 255, 0).astype(np.uint8) if given else self.strokes.grown(weights, part.height)
            np.maximum(mask[:, :, CORE], core, out=mask[:, :, CORE])
            if any(part is member for member in group):
                confidence = moved(part.confidence, part.reach, crop)
                blend = weights if given else self.strokes.weight(core, moved(part.certainty, part.reach, crop), part.strokes)
                np.maximum(mask[:, :, BLEND], blend, out=mask[:, :, BLEND])
                np.maximum(mask[:, :, CONFIDENCE], confidence, out=mask[:, :, CONFIDENCE])
        mask[:, :, STRUCTURE] = _edges(pixels, dilated(np.maximum(mask[:, :, CORE], mask[:, :, BLEND]), 1))
        return mask


def _placed(probability: ProbabilityRecord, crop: Box) -> Pixels:
    """A PROBABILITY struct resampled to source pixels and cut to the crop; zero outside its box."""
    data = np.frombuffer(probability["data"], np.uint8).reshape(probability["height"], probability["width"])
    box = Box(**probability["box"])
    if data.shape != (box.height, box.width):
        data = cv2.resize(data, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
    return moved(data, box, crop)


def _joined(probabilities: Sequence[ProbabilityRecord]) -> ProbabilityRecord:
    """The maps of a group on the source's pixel grid, over the box that holds them all; a single
    one stays as it is.
    """
    if len(probabilities) == 1:
        return probabilities[0]
    boxes = [Box(**probability["box"]) for probability in probabilities]
    union = boxes[0]
    for box in boxes[1:]:
        union = union.union(box)
    data = np.zeros((union.height, union.width), np.uint8)
    for probability in probabilities:
        np.maximum(data, _placed(probability, union), out=data)
    return {"data": data.tobytes(), "width": union.width, "height": union.height, "box": union.record()}


def _edges(pixels: Pixels, hidden: Pixels) -> Pixels:
    """Gradient magnitude of the crop's luma (Scharr, scaled to 0..255), zero where the text hides
    the picture.
    """
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    across, down = cv2.Scharr(luma, cv2.CV_32F, 1, 0), cv2.Scharr(luma, cv2.CV_32F, 0, 1)
    magnitude: Pixels = np.clip(np.hypot(across, down) / 16, 0, 255).astype(np.uint8)
    magnitude[hidden > 0] = 0
    return magnitude
