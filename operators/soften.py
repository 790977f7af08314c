"""`soften`: which pixels, how strongly, how surely?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa

from operators.failure import Failure
from operators.image import FRAMES, Limits
from operators.mask import (
    BLEND,
    CONFIDENCE,
    CORE,
    STRUCTURE,
    Box,
    bounding_box,
    dilated,
    empty_mask,
    feathered,
    grouped,
    rasterised,
    stroke_height,
)
from operators.operator import Operator
from operators.table import Additions, Pixels, Region, Row, map_rows


@dataclass(frozen=True)
class Part:
    """One detected region as it is softened: its own pixels and how far they reach."""

    record: dict[str, Any]
    box: Box
    height: float

    @property
    def given(self) -> bool:
        """Whether the user drew the mask, so that its own weights count."""
        return bool(self.record["kind"] == "mask")


@dataclass(frozen=True)
class Soften(Operator):
    """Turn polygons into soft, four-channel masks on context crops, neighbours sharing one crop.

    A group of neighbours becomes one region. Its `core` covers every stroke that reaches into its crop, also those of
    other regions, so that no fill copies letters; its `blend` covers its own strokes only.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "bytes",
        "source_sha256",
        "width",
        "height",
        "regions.polygons",
        "regions.kind",
        "regions.probability",
    )
    adds: ClassVar[tuple[str, ...]] = (
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.passes",
        "regions.checks",
        "regions.state",
    )
    dilation: float = 0.08
    """Growth of the strokes before anything else, as a share of their line's height."""
    least_dilation: int = 2
    feather: int = 3
    """Pixels over which the paste-back fades, outside the dilated strokes."""
    context: float = 1.5
    """What a fill sees round the strokes, as a multiple of their line's height, within the two bounds in pixels."""
    least_context: int = 48
    most_context: int = 256
    largest_group: int = 768
    """Longest side in pixels of a crop that neighbours share."""
    limits: Limits = Limits()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Soften the regions of one batch."""
        return map_rows(batch, self.name, ("regions",), self._soften)

    def _soften(self, row: Row) -> Additions | None:
        if not row.regions:
            return None
        data = row.data("bytes")
        if data is None:
            raise Failure("file_empty", "0 bytes")
        picture = FRAMES.decoded(row["source_sha256"], data, self.limits)
        frame = Box(0, 0, row["width"], row["height"])
        parts = [self._part(region, frame) for region in row.regions]
        crops = [self._crop(part, frame) for part in parts]
        regions = []
        for members in grouped(crops, self.largest_group, frame):
            crop = crops[members[0]]
            for member in members[1:]:
                crop = crop.union(crops[member])
            group = [parts[member] for member in members]
            regions.append(
                {
                    **group[0].record,
                    "polygons": [polygon for part in group for polygon in part.record["polygons"]],
                    "score": min(part.record["score"] for part in group),
                    "probability": _joined([part.record["probability"] for part in group]),
                    "crop": {"x": crop.x, "y": crop.y, "width": crop.width, "height": crop.height},
                    "pixels": picture.rgb(crop.x, crop.y, crop.width, crop.height).tobytes(),
                    "mask": self._mask(group, parts, crop, picture.rgb(crop.x, crop.y, crop.width, crop.height)).tobytes(),
                    "passes": 0,
                    "checks": [],
                    "state": "open",
                }
            )
        return {"regions": regions}

    def _part(self, region: Region, frame: Box) -> Part:
        record = region.record()
        box = bounding_box(record["polygons"], frame.width, frame.height)
        height = min(stroke_height(polygon) for polygon in record["polygons"]) if record["kind"] == "text" else 0.0
        return Part(record, box, max(1.0, height))

    def _crop(self, part: Part, frame: Box) -> Box:
        margin = round(min(max(self.context * part.height, self.least_context), self.most_context))
        return part.box.grown(margin, frame.width, frame.height)

    def _mask(self, group: Sequence[Part], everyone: Sequence[Part], crop: Box, pixels: Pixels) -> Pixels:
        mask = empty_mask(crop)
        for part in everyone:
            if not part.box.overlaps(crop):
                continue
            weights, confidence = self._weights(part, crop)
            np.maximum(mask[:, :, CORE], np.where(weights > 0, 255, 0).astype(np.uint8), out=mask[:, :, CORE])
            if part in group:
                blend = weights if part.given else self._blend(weights, part)
                np.maximum(mask[:, :, BLEND], blend, out=mask[:, :, BLEND])
                np.maximum(mask[:, :, CONFIDENCE], confidence, out=mask[:, :, CONFIDENCE])
        mask[:, :, STRUCTURE] = _edges(pixels, dilated(np.maximum(mask[:, :, CORE], mask[:, :, BLEND]), 1))
        return mask

    def _weights(self, part: Part, crop: Box) -> tuple[Pixels, Pixels]:
        """A part's own weights (a given mask's, or its filled polygons) and its probability, on the crop's grid."""
        confidence = _placed(part.record["probability"], crop)
        if part.given:
            return confidence, confidence
        strokes = rasterised(part.record["polygons"], crop)
        return strokes, np.minimum(confidence, strokes)

    def _blend(self, strokes: Pixels, part: Part) -> Pixels:
        radius = max(self.least_dilation, round(self.dilation * part.height))
        return feathered(dilated(strokes, radius), self.feather)


def _placed(probability: dict[str, Any], crop: Box) -> Pixels:
    """A PROBABILITY struct resampled to source pixels and cut to the crop; zero outside its box."""
    data = np.frombuffer(probability["data"], np.uint8).reshape(probability["height"], probability["width"])
    box = Box(**probability["box"])
    if data.shape != (box.height, box.width):
        data = cv2.resize(data, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
    placed = np.zeros((crop.height, crop.width), np.uint8)
    left, top = max(box.x, crop.x), max(box.y, crop.y)
    right, bottom = min(box.x + box.width, crop.x + crop.width), min(box.y + box.height, crop.y + crop.height)
    if left < right and top < bottom:
        placed[top - crop.y : bottom - crop.y, left - crop.x : right - crop.x] = data[
            top - box.y : bottom - box.y, left - box.x : right - box.x
        ]
    return placed


def _joined(probabilities: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The maps of a group on the source's pixel grid, over the box that holds them all; a single one stays as it is."""
    if len(probabilities) == 1:
        return probabilities[0]
    boxes = [Box(**probability["box"]) for probability in probabilities]
    union = boxes[0]
    for box in boxes[1:]:
        union = union.union(box)
    data = np.zeros((union.height, union.width), np.uint8)
    for probability in probabilities:
        np.maximum(data, _placed(probability, union), out=data)
    spanned = {"x": union.x, "y": union.y, "width": union.width, "height": union.height}
    return {"data": data.tobytes(), "width": union.width, "height": union.height, "box": spanned}


def _edges(pixels: Pixels, hidden: Pixels) -> Pixels:
    """Gradient magnitude of the crop's luma (Scharr, scaled to 0..255), zero where the text hides the picture."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    across, down = cv2.Scharr(luma, cv2.CV_32F, 1, 0), cv2.Scharr(luma, cv2.CV_32F, 0, 1)
    magnitude: Pixels = np.clip(np.hypot(across, down) / 16, 0, 255).astype(np.uint8)
    magnitude[hidden > 0] = 0
    return magnitude
