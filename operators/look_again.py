"""`look_again`: which letters are still there?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from operators.masks.alpha import lift_fill
from operators.masks.geometry import bounding_box, covers, stroke_height
from operators.masks.mask import BLEND, pasted
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import ModelRecord, RegionRecord
from operators.rows.regions import ACCEPTED, OPEN, REFUSED, new_region
from operators.rows.table import Additions, Region, Row, map_rows
from operators.rows.transparency import lay
from operators.vision.close_look import FoundText
from operators.vision.find_texts import find_texts
from operators.vision.first_look import View, first_look, first_look_identity
from operators.vision.line_network import line_network, line_network_identity
from operators.vision.recogniser import recogniser, recogniser_identity
from operators.vision.text_confirmation import Confirmation
from operators.vision.text_detector import check_detector, text_detector, text_detector_identity

CUT = 3
"""Pixels from the edge of the part that is looked at within which a text may have been cut."""
MOST_GROWTHS = 4
"""How often that part grows at most."""


@dataclass(frozen=True)
class LookAgain(Operator):
    """Look at the picture as it would be delivered, and find the letters that are still there.

    The detector's box may have ended in the middle of a word, or a letter may have been hidden by
    its neighbours. What the detector still sees becomes new regions for a second, short ladder.
    The detector looks only at the surroundings of accepted fills; an image without any passes at
    no cost. Regions that are still open have had their turn and are refused, so that the second
    ladder does not fill them again.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = (
        "bytes",
        "source_sha256",
        "width",
        "height",
        "regions.polygons",
        "regions.kind",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.transparency",
        "regions.fill",
        "regions.state",
    )
    adds: ClassVar[tuple[str, ...]] = ("regions.state",)
    view: View = View()
    """The size of the picture at the first look."""
    detector: str = ""
    """Path or URL of the text detector, an ONNX file; the packaged one if empty."""
    least_score: float = 0.5
    """Score (0..1) below which a polygon is dropped."""
    surroundings: float = 2.0
    """How far from an erased text the detector looks, in heights of its line."""
    most_growth: float = 1.5
    """Highest new text, in heights of the highest erased one: what is left is of the same kind."""
    most_overlap: float = 0.3
    """Share of a new polygon that a known text may cover."""
    confirmation: Confirmation = Confirmation(
        sure_score=1.01, proven_score=1.01, low_score=1.01, tallest_share=1.0, largest_area=1.0, most_area=float("inf")
    )
    """Every text must be read, both in the source and in the picture as it would be delivered,
    because fills mislead the detector more than pictures do. The parts that are looked at hold
    little but text, so shares of their size have no bounds.
    """
    limits: Limits = Limits()

    @property
    def name(self) -> str:
        """`look_again`."""
        return "look_again"

    def check(self) -> None:
        """Raise RunError unless the user's detector can be loaded."""
        if self.detector:
            check_detector(self.detector)

    def models(self) -> list[ModelRecord]:
        """The first look, the text detector, the line network and the recogniser."""
        return [
            first_look_identity(),
            text_detector_identity(self.detector),
            line_network_identity(),
            recogniser_identity(),
        ]

    def open(self) -> None:
        """Load the first look, the text detector, the line network and the recogniser."""
        first_look()
        text_detector(self.detector)
        line_network()
        recogniser()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Look at the images of one batch again."""
        return map_rows(batch, self.name, ("regions",), self._look)

    def _look(self, row: Row) -> Additions | None:
        regions = row.regions
        if not any(region["state"] in (ACCEPTED, OPEN) for region in regions):
            return None
        known = [region.record() for region in regions]
        for record in known:
            record["state"] = REFUSED if record["state"] == OPEN else record["state"]
        return {"regions": [*known, *self._find_remaining(row, regions)]}

    def _find_remaining(self, row: Row, regions: list[Region]) -> list[RegionRecord]:
        """The texts that the detector sees near accepted fills, without those that were kept."""
        frame = Box(0, 0, row["width"], row["height"])
        erased = [region for region in regions if region["state"] == ACCEPTED and region["kind"] == "text"]
        if not erased:
            return []
        source = FRAME_CACHE.picture(row, self.limits).rgb()
        delivered = self._delivered(row, source, erased)
        highest = self.most_growth * max(_line_height(region) for region in erased)
        factor = self.view.factor(frame.width, frame.height)
        known = [polygon for region in regions if region["state"] != ACCEPTED for polygon in region["polygons"]]
        found = []
        for near in _joined([self._near(region, frame) for region in erased]):
            place, texts = self._find_whole(delivered, near, frame, factor)
            part, before = (np.ascontiguousarray(rgb[place.inside(frame)]) for rgb in (delivered, source))
            texts = [text for text in texts if stroke_height(text.polygon) <= highest]
            verdicts = (self.confirmation.verdicts(rgb, texts, place.width, place.height) for rgb in (part, before))
            for text, now, then in zip(texts, *verdicts, strict=True):
                here = text.moved(place.x, place.y)
                covered = any(covers(other, here.polygon, self.most_overlap) for other in known)
                if now.confirmed and then.confirmed and not covered:
                    found.append(new_region([here.polygon], here.score, "text", here.cells, here.box, origin=self.name))
                    known.append(here.polygon)
        return found

    def _find_whole(self, rgb: Pixels, place: Box, frame: Box, factor: float) -> tuple[Box, list[FoundText]]:
        """The texts of a part of the picture, and that part, grown until it cuts none of them.

        It grows MOST_GROWTHS times at most.
        """
        for _ in range(MOST_GROWTHS):
            part = np.ascontiguousarray(rgb[place.inside(frame)])
            texts = find_texts(part, place.width, place.height, factor, self.least_score, self.detector)
            grown = place
            for text in texts:
                box = bounding_box([text.polygon], place.width, place.height)
                right, bottom = place.width - box.x - box.width, place.height - box.y - box.height
                if min(box.x, box.y, right, bottom) < CUT:
                    margin = round(2 * self.surroundings * stroke_height(text.polygon))
                    moved = Box(box.x + place.x, box.y + place.y, box.width, box.height)
                    grown = grown.union(moved.grown(margin, frame.width, frame.height))
            if grown == place:
                return place, texts
            place = grown
        part = np.ascontiguousarray(rgb[place.inside(frame)])
        return place, find_texts(part, place.width, place.height, factor, self.least_score, self.detector)

    def _near(self, region: Region, frame: Box) -> Box:
        height = _line_height(region)
        box = bounding_box(region["polygons"], frame.width, frame.height)
        return box.grown(round(self.surroundings * height) + 8, frame.width, frame.height)

    def _delivered(self, row: Row, source: Pixels, erased: list[Region]) -> Pixels:
        """The whole picture `source` with the accepted fills in it, uint8 height x width x 3."""
        rgb, below = source.copy(), FRAME_CACHE.picture(row, self.limits).transparency()
        frame = Box(0, 0, rgb.shape[1], rgb.shape[0])
        for region in erased:
            fill, seen = region.fill(), region.transparency()
            if fill is not None:
                place, mask = region.crop.inside(frame), region.array("mask", 4)
                if seen is not None and below is not None:
                    fill = lay(*lift_fill(region.array("pixels", 3), fill, mask, seen), below.ground)
                rgb[place] = pasted(rgb[place], fill, mask[:, :, BLEND])
        return rgb


def _line_height(region: Region) -> float:
    """The height in pixels of a region's highest line."""
    return max(stroke_height(polygon) for polygon in region["polygons"])


def _joined(boxes: list[Box]) -> list[Box]:
    """Boxes that overlap, joined until none do, so that no pixel is looked at twice."""
    joined: list[Box] = []
    for box in boxes:
        union = box
        while overlapping := next((other for other in joined if other.overlaps(union)), None):
            joined.remove(overlapping)
            union = union.union(overlapping)
        joined.append(union)
    return joined
