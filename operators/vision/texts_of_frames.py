"""The texts of an animation: every frame is seen, and what stands still is one text.

A frame is looked at where it differs from the frame before. A text whose surroundings repeat those
of a text of an earlier frame is not listed again, because its edit is repeated with them, see
`operators.pictures.pages`. A text whose letters stand still while the ground moves is listed on
every frame, also on those where the detector or the recogniser misses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.masks.geometry import bounding_box, covers, rasterised, stroke_height
from operators.pictures.pages import stands_still
from operators.pictures.picture import Picture
from operators.rows.arrays import LUMA_WEIGHTS, Pixels
from operators.rows.box import Box
from operators.vision.close_look import FoundText
from operators.vision.seen import Seen, judged
from operators.vision.text_confirmation import Confirmation

AROUND = 32
"""Pixels around what has changed that are looked at too."""
MOST_PART = 0.6
"""Share of a frame from which the whole frame is looked at."""
SAME = 0.7
"""Share of a text's polygon that another one covers if both are one text."""
SURROUNDINGS = 0.5
"""Heights of a line around a text that stand still if its edit is to be repeated."""
LEVELS = 5
"""Bits by which colours are made coarser to be counted."""
MORE_FREQUENT = 2.0
"""How much more frequent a colour is within a text than beside it if letters have it."""
LEAST_STROKES = 0.04
"""Share of a text's polygon that its letters take at least."""
STEADY, STEADY_SHARE = 32, 0.85
"""Levels by which letters that stand still may differ, and the share of them that may not more."""
LEAST_CONTRAST = 24.0
"""Levels of luma between the letters and what is beside them where the text can be read."""

Find = Callable[[Pixels, int, int, float | None], list[FoundText]]
Mask = npt.NDArray[np.bool_]


class Placed(NamedTuple):
    """A text on a page, in pixels of the page."""

    page: int
    seen: Seen


def texts_of_frames(picture: Picture, rgb: Pixels, find: Find, confirmation: Confirmation) -> list[Seen]:
    """The texts of an animation with their verdicts, in pixels of the picture of all its pages.

    `rgb` is that picture on one ground. `find(rgb, width, height, factor)` finds the texts of a
    part, at the scale for its size if `factor` is None.
    """
    views = [np.ascontiguousarray(rgb[page.area]) for page in picture.pages]
    every = _seen_on_pages(views, find, confirmation)
    listed: list[Placed] = []
    for number, seen in enumerate(every):
        for one in seen:
            if not any(_is_repeated(picture, known, number, one) for known in listed):
                listed.append(Placed(number, one))
    listed += [twin for known in listed for twin in _twins(picture, views, known, every)]
    return [Seen(one.text.moved(0, picture.pages[page].top), one.verdict) for page, one in listed]


def _seen_on_pages(views: list[Pixels], find: Find, confirmation: Confirmation) -> list[list[Seen]]:
    """The texts of every page, in pixels of the page."""
    result: list[list[Seen]] = []
    for number, view in enumerate(views):
        height, width = view.shape[:2]
        before = result[-1] if result else []
        place = _changed(views[number - 1], view, before) if number else Box(0, 0, width, height)
        if place is None:
            result.append(before)
            continue
        part = np.ascontiguousarray(view[place.y : place.y + place.height, place.x : place.x + place.width])
        texts = [text.moved(place.x, place.y) for text in find(part, place.width, place.height, None)]
        kept = [one for one in before if not one.text.box.overlaps(place)]
        result.append([*kept, *judged(confirmation, view, texts, width, height)])
    return result


def _changed(before: Pixels, after: Pixels, texts: list[Seen]) -> Box | None:
    """What is to be looked at of a page after another one; None if nothing.

    It cuts none of the texts of the page before.
    """
    different = (before != after).any(axis=2)
    rows, columns = np.flatnonzero(different.any(axis=1)), np.flatnonzero(different.any(axis=0))
    if not len(rows):
        return None
    height, width = different.shape
    tight = Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)
    place = tight.grown(AROUND, width, height)
    waiting = [bounding_box([one.text.polygon], width, height).grown(AROUND // 2, width, height) for one in texts]
    while cut := [box for box in waiting if box.overlaps(place)]:
        waiting = [box for box in waiting if not box.overlaps(place)]
        for box in cut:
            place = place.union(box)
    return Box(0, 0, width, height) if place.area > MOST_PART * width * height else place


def _is_repeated(picture: Picture, known: Placed, number: int, one: Seen) -> bool:
    """Whether a text of a page is one of an earlier page, with all that is around it."""
    other = known.seen
    if known.page == number or other.verdict.confirmed != one.verdict.confirmed:
        return False
    if not other.text.box.overlaps(one.text.box) or not covers(other.text.polygon, one.text.polygon, SAME):
        return False
    return _stands_still(picture, known.page, number, other.text)


def _stands_still(picture: Picture, one: int, other: int, text: FoundText) -> bool:
    """Whether the surroundings of a text are the same on two pages."""
    pages = picture.pages
    margin = max(4, round(SURROUNDINGS * stroke_height(text.polygon)))
    box = bounding_box([text.polygon], pages[one].width, pages[one].height).grown(margin, pages[one].width, pages[one].height)
    return stands_still(picture.stored, picture.space.peak, pages[one], pages[other], box)


def _twins(picture: Picture, views: list[Pixels], known: Placed, every: list[list[Seen]]) -> list[Placed]:
    """A text on the other pages on which its letters are and on which it was not seen."""
    if not known.seen.verdict.confirmed:
        return []
    text, result = known.seen.text, []
    letters, beside, place = _letters(views[known.page], text)
    if letters.sum() < LEAST_STROKES * letters.size:
        return []
    for number, view in enumerate(views):
        if number == known.page or _is_seen(text, every[number]):
            continue
        here, there = views[known.page][place].astype(np.int16), view[place].astype(np.int16)
        steady = np.abs(here - there).max(axis=2)[letters] <= STEADY
        luma = there @ np.array(LUMA_WEIGHTS, np.float32)
        contrast = abs(float(luma[letters].mean()) - float(luma[beside].mean())) if beside.any() else 0.0
        if steady.mean() < STEADY_SHARE or contrast < LEAST_CONTRAST:
            continue
        if not _stands_still(picture, known.page, number, text):
            result.append(Placed(number, known.seen))
            every[number] = [*every[number], known.seen]
    return result


def _is_seen(text: FoundText, seen: list[Seen]) -> bool:
    return any(one.verdict.confirmed and covers(one.text.polygon, text.polygon, SAME) for one in seen)


def _letters(view: Pixels, text: FoundText) -> tuple[Mask, Mask, tuple[slice, slice]]:
    """Which pixels are letters and which are beside the text, and the place of both on the page.

    Letters have the colours that are more frequent within the text than beside it.
    """
    height, width = view.shape[:2]
    margin = max(4, round(stroke_height(text.polygon) / 2))
    box = bounding_box([text.polygon], width, height).grown(margin, width, height)
    place = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
    inside = rasterised([text.polygon], box) > 0
    colours = (view[place] >> LEVELS).astype(np.int32) @ np.array([64, 8, 1])
    within, without = (np.bincount(colours[part], minlength=512) / max(1, part.sum()) for part in (inside, ~inside))
    letters = inside & (within > MORE_FREQUENT * without)[colours]
    return letters, ~inside, place
