"""`soften`: which pixels, how strongly, how surely?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.masks.geometry import Polygon, bounding_box, covers, rasterised, upright_turn
from operators.masks.letter_parts import with_letters_colour
from operators.masks.mask import BLEND, CHANNELS, CONFIDENCE, CORE, STRUCTURE, dilated, empty_mask, moved, scaled
from operators.masks.page_lines import page_lines
from operators.masks.panel import letters_of_panel, panel_of_text
from operators.masks.passing_curves import passing_curves
from operators.masks.protection import beside, whole_letters
from operators.masks.stroke_mask import FOUND, GIVEN, POLYGON, StrokeMask, StrokeSource
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels, Selection
from operators.rows.box import Box
from operators.rows.records import ModelRecord, ProbabilityRecord, RegionRecord
from operators.rows.regions import ACCEPTED, KEPT, OPEN
from operators.rows.table import Additions, Row, map_rows
from operators.vision.line_ends import LONGEST_EXTENSION, whole_line
from operators.vision.stroke_network import LINE_HEIGHT, Line, stroke_network, stroke_network_identity
from operators.vision.symbols import words_alone

CROOKED = math.radians(10)
"""How much a detection in doubt is turned against a text at least if it lies across its line."""
FINDERS = ("detect", "look_again")
"""The origins of regions whose lines may go on beyond their polygons."""


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
    """The strokes with all that belongs to them, 0 or 255 for a text; else the user's weights."""
    confidence: Pixels
    """How sure it is that each pixel belongs to the text."""
    certainty: Pixels
    """How strongly each pixel is replaced, for found strokes; else the same as `pixels`."""

    def cut_to(self, box: Box) -> Strokes:
        """The strokes on `box`, or on `reach` if they have pixels beyond the box."""
        inside = moved(self.pixels, self.reach, box)
        if np.count_nonzero(inside) < np.count_nonzero(self.pixels):
            return self
        confidence, certainty = (moved(plane, self.reach, box) for plane in (self.confidence, self.certainty))
        return replace(self, reach=box, pixels=inside, confidence=confidence, certainty=certainty)


@dataclass(frozen=True)
class Look:
    """What the stroke network sees of one text, in the polygon that is masked."""

    number: int
    """The place of the text among the regions of its picture."""
    record: RegionRecord
    """The text with that polygon, which may be longer or shorter than the detector's."""
    line: Line
    probability: npt.NDArray[np.float32]
    """How surely text has touched each pixel of the line's reach, 0..1."""


@dataclass(frozen=True)
class Staying:
    """A text that the user's rules keep, near one that is erased."""

    polygons: list[list[list[float]]]
    strokes: Strokes
    letters: Pixels
    """Its strokes (0 or 255), not grown, on the reach of `strokes`."""


@dataclass(frozen=True)
class Soften(Operator):
    """Mask the strokes of each text softly: which pixels to replace, how strongly, how surely.

    Inside each polygon, the stroke network separates the letters with their outline and shadow
    from the picture behind them. Each text gets a context crop and a four-channel mask; see
    `operators.masks.mask.CHANNELS`. The `core` of a region covers every stroke in its crop, also
    those of other regions, so that no fill copies letters. Its `blend` covers its own strokes
    only, and nothing of a text that a rule of the user keeps, even if that text was found after the
    fill. Otherwise regions that are kept, or have a crop already, pass unchanged.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = (
        "bytes",
        "source_sha256",
        "regions.polygons",
        "regions.kind",
        "regions.probability",
        "regions.state",
        "regions.origin",
    )
    adds: ClassVar[tuple[str, ...]] = (
        "regions.polygons",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.transparency",
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
    context: float = 1.0
    """Margin of the crop around the polygon, as a multiple of the line's height, within the two
    bounds in pixels.
    """
    least_context: int = 32
    most_context: int = 160
    dense_context: int = 16
    """Bounds of the margin in pixels where the crops of all texts would otherwise cover more
    pixels than the picture has.
    """
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
        """The detected regions of a picture with crops and masks; REGION structs in and out."""
        frame = Box(0, 0, *picture.size)
        records = list(detected)
        given = [number for number, record in enumerate(records) if _is_new(record) and _is_given(record)]
        parts = {number: _given(records[number], frame) for number in given}
        for look in self.looks(picture, records):
            records[look.number], parts[look.number] = look.record, self._find_strokes(look, picture, frame)
        chosen = sorted(parts)
        strokes = [parts[number] for number in chosen]
        known = [_strokes_of(record) for record in detected if record.get("crop") is not None]
        crops = self._crops(strokes, frame)
        filled = [number for number, record in enumerate(records) if _is_shown_over(record, records)]
        near = [*crops, *(Box(**records[number]["crop"]) for number in filled)]
        stays = [self._staying(record, picture, frame) for record in records if _stays_near(record, near, frame)]
        everything = [*strokes, *known, *(text.strokes for text in stays)]
        for number, own, crop in zip(chosen, strokes, crops, strict=True):
            masked = self._mask_region(records[number], own, crop, everything, picture)
            records[number] = _without(masked, stays, crop) if stays else masked
        for number in filled:
            records[number] = _without(records[number], stays, Box(**records[number]["crop"]))
        return records

    def _staying(self, record: RegionRecord, picture: Picture, frame: Box) -> Staying:
        """A text that the user's rules keep, with its strokes."""
        line, probability = self._look_at(record["polygons"], picture, frame)
        found = np.where(self.strokes.touched(probability), 255, 0).astype(np.uint8)
        pixels = self.strokes.grown(found, line.height)
        strokes = Strokes(FOUND, line.height, line.reach, pixels, confidence=pixels, certainty=pixels)
        return Staying(record["polygons"], strokes, found)

    def _crops(self, strokes: Sequence[Strokes], frame: Box) -> list[Box]:
        """The context crop of each text; narrow ones if wide ones covered more than the frame."""
        crops = [self._crop(part, self.least_context, self.most_context, frame) for part in strokes]
        if sum(crop.area for crop in crops) <= frame.area:
            return crops
        return [self._crop(part, self.dense_context, self.dense_context, frame) for part in strokes]

    def _crop(self, part: Strokes, least: int, most: int, frame: Box) -> Box:
        margin = round(min(max(self.context * part.height, least), most))
        return part.reach.grown(margin, frame.width, frame.height)

    def _mask_region(
        self, record: RegionRecord, own: Strokes, crop: Box, strokes: Sequence[Strokes], picture: Picture
    ) -> RegionRecord:
        """The record with its crop, its mask and no fill yet."""
        pixels = picture.rgb(crop.x, crop.y, crop.width, crop.height)
        seen = picture.transparency(crop.x, crop.y, crop.width, crop.height)
        return {
            **record,
            "crop": crop.record(),
            "pixels": pixels.tobytes(),
            "mask": self._mask(strokes, own, crop, pixels).tobytes(),
            "transparency": None if seen is None else {"alpha": seen.alpha.tobytes(), "ground": seen.ground},
            "strokes": own.source,
            "passes": 0,
            "checks": [],
        }

    def looks(self, picture: Picture, detected: Sequence[RegionRecord]) -> Iterator[Look]:
        """What the network sees of each text that gets a mask, one after the other.

        An earlier text's polygon is the extended one when the next one is looked at.
        """
        frame = Box(0, 0, *picture.size)
        records = list(detected)
        for number, record in enumerate(detected):
            if not _is_new(record) or _is_given(record):
                continue
            others = [
                polygon
                for other in records
                if other is not record and not _is_crooked_doubt(other, record)
                for polygon in other["polygons"]
            ]
            look = self._look_closely(number, record, picture, frame, others)
            records[number] = look.record
            yield look

    def _look_closely(self, number: int, record: RegionRecord, picture: Picture, frame: Box, others: Sequence[Polygon]) -> Look:
        """The text up to the ends of its line, without the symbols beside its words.

        An area that the user gives is taken as it is: what is beside it was not given.
        """
        line, probability = self._look_at(record["polygons"], picture, frame)
        if not _is_found(record):
            return Look(number, record, line, probability)
        polygon = self._whole_line(record["polygons"][0], line, probability, picture, others)
        if polygon is not record["polygons"][0]:
            record = {**record, "polygons": [polygon, *record["polygons"][1:]]}
            line, probability = self._look_at(record["polygons"], picture, frame)
        return Look(number, *self._without_symbols(record, line, probability, picture))

    def _find_strokes(self, look: Look, picture: Picture, frame: Box) -> Strokes:
        """The strokes that the stroke network sees in a text; else its polygons as a whole."""
        record, line, probability = look.record, look.line, look.probability
        # Shadows and glows reach farther than faint traces, and the ground beyond them is measured.
        reach = line.reach.grown(2 * self.strokes.reach, frame.width, frame.height)
        touched, inside = self.strokes.touched(probability), line.inside > 0
        share = float(touched[inside].mean()) if inside.any() else 0.0
        if self.least_share <= share <= self.most_share:
            rgb = picture.rgb(reach.x, reach.y, reach.width, reach.height)
            found = moved(np.where(touched, 255, 0).astype(np.uint8), line.reach, reach)
            polygon = moved(line.inside, line.reach, reach)
            found = with_letters_colour(rgb, found, polygon, line.height)
            panel = panel_of_text(rgb, found, polygon, line.height)
            found = found if panel is None else letters_of_panel(rgb, found, panel, polygon)
            confidence = moved(np.rint(probability * 255).astype(np.uint8), line.reach, reach)
            certainty = moved(self.strokes.certainty(probability), line.reach, reach)
            lines, underline = self._page_lines(picture, line, reach, found)
            underline &= True if panel is None else panel
            found = np.where(underline, 255, found).astype(np.uint8)
            core, full = self.strokes.traced(rgb, found, line.height, lines, moved(probability, line.reach, reach))
            strokes = Strokes(FOUND, line.height, reach, core, confidence, np.maximum(certainty, full))
            return strokes.cut_to(line.reach.grown(self.strokes.reach, frame.width, frame.height))
        confidence = np.minimum(_resampled(record["probability"], reach), moved(line.inside, line.reach, reach))
        whole = moved(line.inside, line.reach, reach)
        return Strokes(POLYGON, line.height, reach, whole, confidence, certainty=whole)

    def _page_lines(self, picture: Picture, line: Line, reach: Box, found: Pixels) -> tuple[Selection, Selection]:
        """The page's lines and curves, and the text's underline, on `reach`.

        They are looked for beyond it, to see how long they are.
        """
        wide = reach.grown(round(2 * line.height), *picture.size)
        rgb, strokes = picture.rgb(wide.x, wide.y, wide.width, wide.height), moved(found, reach, wide)
        lines, underline = page_lines(rgb, strokes, line.height)
        curves = passing_curves(rgb, strokes > 0, line.height)
        lines |= dilated(curves.astype(np.uint8), self.strokes.least_rim) > 0
        return lines[reach.inside(wide)], underline[reach.inside(wide)]

    def _look_at(self, polygons: Sequence[Polygon], picture: Picture, frame: Box) -> tuple[Line, npt.NDArray[np.float32]]:
        """The line with these polygons, and its stroke probabilities on its `reach`."""
        line = Line.of(polygons, frame.width, frame.height)
        rgb = picture.rgb(line.reach.x, line.reach.y, line.reach.width, line.reach.height)
        return line, stroke_network().line_probability(rgb, line, self.seen_height)

    def _whole_line(
        self,
        polygon: list[list[float]],
        line: Line,
        probability: npt.NDArray[np.float32],
        picture: Picture,
        others: Sequence[Polygon],
    ) -> list[list[float]]:
        """The polygon up to the ends of its line; see `whole_line`."""
        window = line.reach.grown(round(LONGEST_EXTENSION * line.height), *picture.size)
        rgb = picture.rgb(window.x, window.y, window.width, window.height)
        strokes = moved(np.where(self.strokes.touched(probability), 255, 0).astype(np.uint8), line.reach, window) > 0
        local = [[x - window.x, y - window.y] for x, y in polygon]
        near = [other for other in others if bounding_box([other], *picture.size).overlaps(window)]
        extended = whole_line(rgb, local, strokes, [[[x - window.x, y - window.y] for x, y in other] for other in near])
        return polygon if extended is local else [[x + window.x, y + window.y] for x, y in extended]

    def _without_symbols(
        self, record: RegionRecord, line: Line, probability: npt.NDArray[np.float32], picture: Picture
    ) -> tuple[RegionRecord, Line, npt.NDArray[np.float32]]:
        """The record, its line and its probabilities without the symbols beside the words."""
        box = line.reach
        rgb = picture.rgb(box.x, box.y, box.width, box.height)
        local = [[x - box.x, y - box.y] for x, y in record["polygons"][0]]
        words = words_alone(rgb, local, self.strokes.touched(probability))
        if words is None:
            return record, line, probability
        polygons = [[[x + box.x, y + box.y] for x, y in words.polygon], *record["polygons"][1:]]
        alone = replace(line, inside=rasterised(polygons, box))
        return {**record, "polygons": polygons}, alone, np.where(words.beyond, 0, probability).astype(np.float32)

    def _mask(self, strokes: Sequence[Strokes], own: Strokes, crop: Box, pixels: Pixels) -> Pixels:
        """The mask of one crop; `own` are its own strokes, `strokes` those of all texts."""
        mask = empty_mask(crop)
        for part in strokes:
            if not part.reach.overlaps(crop):
                continue
            core = self._core(part, crop)
            np.maximum(mask[:, :, CORE], core, out=mask[:, :, CORE])
            if part is own:
                blend = self._blend(part, core, crop)
                confidence = moved(part.confidence, part.reach, crop)
                np.maximum(mask[:, :, BLEND], blend, out=mask[:, :, BLEND])
                np.maximum(mask[:, :, CONFIDENCE], confidence, out=mask[:, :, CONFIDENCE])
        mask[:, :, STRUCTURE] = _edges(pixels, dilated(np.maximum(mask[:, :, CORE], mask[:, :, BLEND]), 1))
        return mask

    def _core(self, part: Strokes, crop: Box) -> Pixels:
        """The pixels of a crop that must be regenerated, 0 or 255.

        A given mask is taken as it is; a polygon grows over the faint edges of its letters.
        """
        pixels = moved(part.pixels, part.reach, crop)
        if part.source == POLYGON:
            return self.strokes.grown(pixels, part.height)
        return np.where(pixels > 0, 255, 0).astype(np.uint8)

    def _blend(self, part: Strokes, core: Pixels, crop: Box) -> Pixels:
        """The weights at paste-back: those of a given mask, or the faded core of found strokes."""
        if part.source == GIVEN:
            return moved(part.pixels, part.reach, crop)
        return self.strokes.weight(core, moved(part.certainty, part.reach, crop), part.source)


def _is_new(record: RegionRecord) -> bool:
    """Whether a region has no mask yet and gets one."""
    return record["state"] == OPEN and record.get("crop") is None


def _is_found(record: RegionRecord) -> bool:
    """Whether a detector has found a region, and not the user alone given it."""
    origin = record.get("origin")
    return origin is None or origin.split(" + ")[0] in FINDERS


def _is_given(record: RegionRecord) -> bool:
    """Whether the user's mask or a known mark says which pixels a region has."""
    return record["kind"] in ("mask", "mark")


def _given(record: RegionRecord, frame: Box) -> Strokes:
    """The strokes of such a region: its weights."""
    box = bounding_box(record["polygons"], frame.width, frame.height)
    weights = _resampled(record["probability"], box)
    return Strokes(GIVEN, 1.0, box, weights, confidence=weights, certainty=weights)


def _is_shown_over(record: RegionRecord, records: Sequence[RegionRecord]) -> bool:
    """Whether a fill would change a text that stays, because the text was found after the fill."""
    if record["state"] != ACCEPTED or record.get("crop") is None or record["kind"] != "text":
        return False
    crop = Box(**record["crop"])
    kept = [polygon for other in records if _stays(other) for polygon in other["polygons"]]
    mask = np.frombuffer(record["mask"], np.uint8).reshape(crop.height, crop.width, len(CHANNELS))
    return bool((mask[:, :, BLEND][beside(record["polygons"], kept, crop)] > 0).any())


def _stays(record: RegionRecord) -> bool:
    """Whether a rule of the user keeps a region."""
    return record["state"] == KEPT and record.get("rule") is not None


def _is_crooked_doubt(other: RegionRecord, record: RegionRecord) -> bool:
    """Whether a detection that nothing confirms lies across a text, turned otherwise.

    Such a detection is made of letters of several lines, so it is no end of the text's line.
    """
    if other["state"] != KEPT or other.get("rule") is not None:
        return False
    first, second = (upright_turn(one["polygons"][0])[0] for one in (other, record))
    between = abs(first[0, 0] * second[0, 1] - first[0, 1] * second[0, 0])
    return between > math.sin(CROOKED) and covers(record["polygons"][0], other["polygons"][0], 0)


def _stays_near(record: RegionRecord, crops: Sequence[Box], frame: Box) -> bool:
    """Whether a region is kept by a rule of the user and reaches into one of the crops."""
    if not _stays(record):
        return False
    box = bounding_box(record["polygons"], frame.width, frame.height)
    return any(box.overlaps(crop) for crop in crops)


def _without(record: RegionRecord, stays: Sequence[Staying], crop: Box) -> RegionRecord:
    """The record with a mask that leaves the texts that stay as they are."""
    mask = np.frombuffer(record["mask"], np.uint8).reshape(crop.height, crop.width, len(CHANNELS)).copy()
    near = [text for text in stays if text.strokes.reach.overlaps(crop)]
    protected = beside(record["polygons"], [polygon for text in near for polygon in text.polygons], crop)
    for text in near:
        protected = whole_letters(protected, moved(text.letters, text.strokes.reach, crop))
    for channel in (BLEND, CONFIDENCE):
        mask[:, :, channel][protected] = 0
    return {**record, "mask": mask.tobytes()}


def _strokes_of(record: RegionRecord) -> Strokes:
    """The strokes that an earlier pass has found, read from the region's mask."""
    crop = Box(**record["crop"])
    mask = np.frombuffer(record["mask"], np.uint8).reshape(crop.height, crop.width, len(CHANNELS))
    pixels = np.where(mask[:, :, BLEND] > 0, 255, 0).astype(np.uint8)
    return Strokes(FOUND, 1.0, crop, pixels, confidence=pixels, certainty=pixels)


def _resampled(probability: ProbabilityRecord, crop: Box) -> Pixels:
    """A PROBABILITY struct resampled to source pixels and cut to the crop; zero outside its box."""
    data = np.frombuffer(probability["data"], np.uint8).reshape(probability["height"], probability["width"])
    box = Box(**probability["box"])
    if data.shape != (box.height, box.width):
        data = scaled(data, box.width, box.height)
    return moved(data, box, crop)


def _edges(pixels: Pixels, hidden: Pixels) -> Pixels:
    """Gradient magnitude of the crop's luma (Scharr, scaled to 0..255); zero where `hidden`."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    across, down = cv2.Scharr(luma, cv2.CV_32F, 1, 0), cv2.Scharr(luma, cv2.CV_32F, 0, 1)
    magnitude: Pixels = np.clip(np.hypot(across, down) / 16, 0, 255).astype(np.uint8)
    magnitude[hidden > 0] = 0
    return magnitude
