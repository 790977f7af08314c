"""Animations: what each frame shows, and the least that must be drawn anew to show something else.

A frame is a patch that is drawn over what the frames before have left. So the frames are shown one
after the other, as a viewer does it, and each different view is a page of one tall picture, see
`operators.pictures.pages`. After an edit, frames are drawn again one after the other; a frame whose
own patch still gives the right view keeps its bytes.

Canvases and patches have an alpha channel as their last one. A canvas starts clear, as in every
viewer, whatever colour a file names as its ground.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.pictures.colour import Samples, Space
from operators.pictures.pages import extend_edges, stacked
from operators.pictures.picture import Edited, Picture

KEEP, CLEAR, RESTORE = 0, 1, 2
"""What becomes of a frame's rectangle before the next frame is drawn."""
ALIKE = 2.0
"""Mean difference, in levels of 255, of frames that were one page and may differ after coding."""


@dataclass(frozen=True)
class Frame:
    """A patch and how it is drawn."""

    left: int
    top: int
    pixels: Samples
    """Height x width x channels, the last of which is alpha."""
    over: bool
    """Whether it is laid over the canvas by its alpha; otherwise it replaces what is there."""
    disposal: int
    """KEEP, CLEAR or RESTORE."""

    @property
    def area(self) -> tuple[slice, slice]:
        """Its rows and columns on the canvas."""
        height, width = self.pixels.shape[:2]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class Patch(NamedTuple):
    """What a frame draws so that it shows a new view."""

    left: int
    top: int
    pixels: Samples
    """The new view under the patch, height x width x channels with alpha."""
    base: Samples
    """What is there before the frame is drawn, like `pixels`."""
    wrong: npt.NDArray[np.bool_]
    """Where the frame's own patch would show something else, height x width."""


def shown(frames: Iterable[Frame], height: int, width: int, peak: int) -> Iterator[Samples]:
    """What a viewer shows of each frame, height x width x channels with alpha."""
    canvas: Samples | None = None
    for frame in frames:
        canvas = _clear(frame, height, width) if canvas is None else canvas
        view = _drawn(canvas, frame, peak)
        yield view
        canvas = _disposed(canvas, view, frame)


def patches(frames: Iterable[Frame], views: Iterable[Samples], peak: int, even: bool = False) -> Iterator[Patch | None]:
    """For each frame, what it must draw to show its new view; None if its own patch does it.

    `views` are what the frames are to show, height x width x channels with alpha. With `even`,
    patches start at even rows and columns. A patch covers at least what the frame covered.
    """
    canvas: Samples | None = None
    for frame, view in zip(frames, views, strict=True):
        canvas = _clear(frame, *view.shape[:2]) if canvas is None else canvas
        wrong = (_drawn(canvas, frame, peak) != view).any(axis=2)
        patch, drawn = None, frame
        if wrong.any():
            patch = _patch(frame, canvas, view, wrong, even)
            drawn = replace(frame, left=patch.left, top=patch.top, pixels=patch.pixels)
        yield patch
        canvas = _disposed(canvas, view, drawn)


def _patch(frame: Frame, canvas: Samples, view: Samples, wrong: npt.NDArray[np.bool_], even: bool) -> Patch:
    rows, columns = np.flatnonzero(wrong.any(axis=1)), np.flatnonzero(wrong.any(axis=0))
    old_rows, old_columns = frame.area
    top, bottom = min(int(rows[0]), old_rows.start), max(int(rows[-1]) + 1, old_rows.stop)
    left, right = min(int(columns[0]), old_columns.start), max(int(columns[-1]) + 1, old_columns.stop)
    if even:
        top, left = top // 2 * 2, left // 2 * 2
    area = np.s_[top:bottom, left:right]
    return Patch(left, top, view[area], canvas[area], wrong[area])


def _clear(frame: Frame, height: int, width: int) -> Samples:
    return np.zeros((height, width, frame.pixels.shape[2]), frame.pixels.dtype)


def _drawn(canvas: Samples, frame: Frame, peak: int) -> Samples:
    """The canvas with a frame drawn on it; the canvas itself stays unchanged."""
    view = canvas.copy()
    view[frame.area] = _over(canvas[frame.area], frame.pixels, peak) if frame.over else frame.pixels
    return view


def _over(below: Samples, above: Samples, peak: int) -> Samples:
    """Pixels laid over others by their alpha (Porter and Duff, 1984)."""
    alpha = above[:, :, -1:]
    result = np.where(alpha == 0, below, above)
    partly = (alpha[:, :, 0] > 0) & (alpha[:, :, 0] < peak)
    if partly.any():
        top, bottom = above[partly].astype(np.float64) / peak, below[partly].astype(np.float64) / peak
        share = bottom[:, -1:] * (1 - top[:, -1:])
        total = top[:, -1:] + share
        colours = (top[:, :-1] * top[:, -1:] + bottom[:, :-1] * share) / np.maximum(total, 1e-9)
        result[partly] = np.rint(np.concatenate([colours, total], axis=1) * peak).astype(above.dtype)
    return result


def _disposed(before: Samples, view: Samples, frame: Frame) -> Samples:
    """The canvas on which the next frame is drawn."""
    if frame.disposal == RESTORE:
        return before
    canvas = view.copy()
    if frame.disposal == CLEAR:
        canvas[frame.area] = 0
    return canvas


def sheet(format: str, mode: str, space: Space, views: Iterable[Samples], note: str | None = None) -> Picture:
    """The picture of all different views of an animation, one below the other.

    `views` have alpha, `space` has none: the picture gets one if any view is not opaque.
    """
    different: dict[bytes, int] = {}
    kept: list[Samples] = []
    frames = []
    for view in views:
        number = different.setdefault(view.tobytes(), len(kept))
        if number == len(kept):
            kept.append(view)
        frames.append(number)
    different.clear()
    clear = any((view[:, :, -1] != space.peak).any() for view in kept)
    channels = kept[0].shape[2] - (not clear)
    pages = stacked([view.shape[:2] for view in kept])
    height, width = pages[-1].top + pages[-1].height, pages[0].width
    stored = np.empty((height, width, channels), kept[0].dtype)
    for page, view in zip(pages, kept, strict=True):
        stored[page.area] = view[:, :, :channels]
    extend_edges(stored, pages)
    space = replace(space, alpha=clear)
    return Picture(format, mode, stored, space, 1, (width, height), note=note, pages=pages, frames=tuple(frames))


def views_of(edited: Edited, source: Sequence[Samples]) -> list[Samples]:
    """What each frame is to show after an edit, with alpha.

    `source` is what they show before it; frames that are not in the picture go on showing it.
    """
    result = list(source)
    for number, page in enumerate(edited.picture.frames):
        area = edited.picture.pages[page].area
        if edited.changed[area].any():
            result[number] = with_alpha(edited.stored[area], source[number].shape[2], edited.picture.space.peak)
    return result


def with_alpha(samples: Samples, channels: int, peak: int) -> Samples:
    """Samples with an opaque alpha as their last channel, unless they have one."""
    if samples.shape[2] == channels:
        return samples
    return np.concatenate([samples, np.full((*samples.shape[:2], 1), peak, samples.dtype)], axis=2)


def laid(picture: Picture, views: Sequence[Samples]) -> Samples:
    """Views of a file laid out as the pages of a picture, to be compared with it.

    Raises ValueError if their number or size is another one, if one is clear where the picture
    has no alpha, or if frames that were alike are no longer.
    """
    if len(views) < len(picture.frames):
        raise ValueError(f"{len(views)} frames instead of {len(picture.frames)}")
    stored, channels, known = picture.stored.copy(), picture.stored.shape[2], set[int]()
    for number, page in enumerate(picture.frames):
        area = picture.pages[page].area
        view = views[number][:, :, :channels]
        if view.shape != stored[area].shape:
            raise ValueError(f"frame {number} has {view.shape} samples")
        if page not in known:
            known.add(page)
            stored[area] = view
        elif np.abs(view.astype(np.int32) - stored[area]).mean() * 255 > ALIKE * picture.space.peak:
            raise ValueError(f"frame {number} is not like the frames that it was like")
    return stored
