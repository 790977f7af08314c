"""A decoded source: its stored samples, how operators see them, and how edits change them.

Operators see a picture upright and in 8-bit sRGB. Edits are soft replacements of upright
rectangles, which are blended in the source's colour space and depth. A sample to which no edit
gives weight keeps its value exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from operators.pictures.colour import Floats, Samples, Space
from operators.pictures.grounds import choose_grounds
from operators.pictures.pages import Page, settle
from operators.rows.arrays import Pixels
from operators.rows.transparency import Transparency, lay

LEAST_SHARE = 1e-4
"""What alpha 0 counts for when colours are blended, so that such colours are blended too."""
BAND = 256
"""Rows that are converted or blended at once; it bounds the memory that floats take."""


class Turn(NamedTuple):
    """How stored pixels are viewed upright."""

    swap_axes: bool
    down: int
    """Step along the upright rows: 1, or -1 to reverse them."""
    right: int
    """Step along the upright columns: 1, or -1 to reverse them."""


TURNS = {
    1: Turn(False, 1, 1),
    2: Turn(False, 1, -1),
    3: Turn(False, -1, -1),
    4: Turn(False, -1, 1),
    5: Turn(True, 1, 1),
    6: Turn(True, 1, -1),
    7: Turn(True, -1, -1),
    8: Turn(True, -1, 1),
}
"""The turn for each EXIF orientation (EXIF 2.32, tag 0x0112)."""
Array = TypeVar("Array", bound=npt.NDArray[Any])


@dataclass(frozen=True)
class Edit:
    """A soft replacement of an upright rectangle."""

    x: int
    """Left edge of the rectangle in upright pixels."""
    y: int
    """Top edge of the rectangle in upright pixels."""
    fill: Pixels
    """uint8 sRGB, height x width x 3."""
    weight: npt.NDArray[np.float32]
    """How much of the fill replaces the source, height x width, 0..1."""
    alpha: Pixels | None = None
    """The alpha of the fill, uint8 height x width; None leaves the source's alpha unchanged."""


class Mixture(NamedTuple):
    """The sum of several edits, float32 height x width x 1, and x colours for the colours."""

    colours: Floats
    """Colour samples, by weight and alpha."""
    share: Floats
    """The sum of what the colours were multiplied with."""
    alpha: Floats
    """The alpha 0..1, by weight."""
    weight: Floats
    strongest: Floats
    """The largest weight."""


@dataclass(frozen=True)
class Indexed:
    """A palette picture as stored."""

    indices: Pixels
    """Numbers of entries, uint8, height x width."""
    entries: Pixels
    """The palette, uint8 RGBA, number of entries x 4."""


@dataclass(frozen=True)
class Picture:
    """A decoded source."""

    format: str
    """The key in `operators.pictures.codec.FORMATS`."""
    mode: str
    """Pillow's mode of the samples, or its raw mode (`RGB;16`, `L;4`) if there is no mode."""
    stored: Samples
    """Height x width x samples, interpreted by `space`, not turned, a palette looked up."""
    space: Space
    orientation: int
    """The EXIF orientation, 1..8."""
    size: tuple[int, int]
    """Upright width and height of the whole picture, even if it was decoded at reduced scale."""
    indexed: Indexed | None = None
    """The palette and its indices; None for a picture without a palette."""
    note: str | None = None
    """Why a part of the source was ignored: a broken colour profile."""
    losses: tuple[str, ...] = ()
    """What the file holds that an edit does not keep, one line each."""
    pages: tuple[Page, ...] = ()
    """Where the pages of a file of several are; empty for a file of one picture."""
    frames: tuple[int, ...] = ()
    """The number of the page that each frame of an animation shows; empty for any other file.

    Frames that look alike are one page. If only the first frame is edited, it is the only one.
    """
    parts: tuple[Picture, ...] = ()
    """The pages as pictures of their own if they are of several kinds, which `stored` shows."""

    @property
    def upright(self) -> Samples:
        """The stored samples as a viewer shows them; a view, not a copy."""
        return turned(self.stored, self.orientation)

    def pixels_sha256(self) -> str | None:
        """A hash that is the same for files of the same pixels, whatever else they hold.

        It covers all that says what the pixels look like, and the format. None for a file of
        several pages or frames.
        """
        if self.pages or self.parts:
            return None
        meaning = f"{self.format} {self.mode} {self.orientation} {self.stored.dtype} {self.stored.shape} {self.space}"
        digest = hashlib.sha256(meaning.encode())
        digest.update(np.ascontiguousarray(self.stored).data)
        return digest.hexdigest()

    def edited_like(self, other: Picture, file: bytes) -> Edited:
        """The picture with the samples of another one that was edited from the same pixels.

        `file` is the file of the other one. Raises ValueError if the other one has another size,
        depth or number of samples.
        """
        if (self.stored.shape, self.stored.dtype) != (other.stored.shape, other.stored.dtype):
            raise ValueError(f"samples of shape {other.stored.shape}, not {self.stored.shape}")
        return Edited(self, other.stored, (self.stored != other.stored).any(axis=2), file=file)

    def rgb(self, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None) -> Pixels:
        """An upright rectangle as it is seen, uint8 sRGB, height x width x 3.

        Where it is not opaque it lies on the ground of its `transparency`; grey is repeated.
        Without a width or height the rectangle extends to the picture's edge.
        """
        colours, seen = self.colours(x, y, width, height), self.transparency(x, y, width, height)
        return colours if seen is None else _lay_in_bands(colours, seen.alpha, seen.ground)

    def colours(self, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None) -> Pixels:
        """The colours of an upright rectangle without their alpha, uint8 sRGB, like `rgb`."""
        part = self.upright[_rectangle(x, y, width, height)]
        result = np.empty((*part.shape[:2], 3), np.uint8)
        for top in range(0, part.shape[0], BAND):
            result[top : top + BAND] = self.space.to_srgb(part[top : top + BAND])
        return result

    def transparency(self, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None) -> Transparency | None:
        """The alpha of an upright rectangle, and the ground that shows its colours best.

        None if the rectangle is opaque.
        """
        alpha = self._alpha(_rectangle(x, y, width, height))
        if alpha is None:
            return None
        return Transparency(alpha, choose_grounds(self.colours(x, y, width, height), alpha)[0])

    def views(self) -> list[Pixels]:
        """The whole picture on as many grounds as it takes to see all of it, each like `rgb`."""
        colours, alpha = self.colours(), self._alpha(_rectangle(0, 0, None, None))
        if alpha is None:
            return [colours]
        return [_lay_in_bands(colours, alpha, ground) for ground in choose_grounds(colours, alpha)]

    def _alpha(self, place: tuple[slice, slice]) -> Pixels | None:
        """The alpha of a rectangle, uint8 height x width; None if the rectangle is opaque."""
        if not self.is_transparent:
            return None
        part = self.upright[place]
        alpha, opaque = np.empty(part.shape[:2], np.uint8), True
        for top in range(0, part.shape[0], BAND):
            opacity = self._opacity(part[top : top + BAND])
            opaque = opaque and bool((opacity == 1).all())
            alpha[top : top + BAND] = np.rint(opacity * 255)
        return None if opaque else alpha

    def _opacity(self, samples: Samples) -> Floats:
        opacity = self.space.opacity(samples)
        return np.ones(samples.shape[:2], np.float32) if opacity is None else opacity

    @cached_property
    def is_transparent(self) -> bool:
        """Whether the picture's alpha says anything.

        It does not if no pixel is opaque to any degree: some programs write such an alpha into
        BMP files and leave it unused.
        """
        if not self.space.alpha and self.space.key is None:
            return False
        least, most = 1.0, 0.0
        for top in range(0, self.stored.shape[0], BAND):
            opacity = self._opacity(self.stored[top : top + BAND])
            least, most = min(least, float(opacity.min())), max(most, float(opacity.max()))
        return least < 1 and most > 0

    def edited(self, edits: Sequence[Edit]) -> Edited:
        """The picture with all edits applied; samples without weight stay unchanged.

        So does the alpha, except under edits that have an alpha of their own. There, colours count
        by their alpha, and a pixel that becomes fully transparent takes the colour that is
        stored in the nearest transparent pixel, so that no program that ignores alpha shows the
        shape of the edit.

        Where edits overlap, each contributes by its weight, and the largest weight decides how
        much of the source remains; so their order does not matter. Each sample is rounded once.
        """
        if self.parts:
            return self._edited_parts(edits)
        stored = self.stored.copy()
        changed = np.zeros(stored.shape[:2], bool)
        upright, marked = turned(stored, self.orientation), turned(changed, self.orientation)
        ordered = sorted(edits, key=lambda edit: (edit.x, edit.y, edit.fill.tobytes(), edit.weight.tobytes()))
        for top in range(0, upright.shape[0], BAND):
            self._blend(upright[top : top + BAND], marked[top : top + BAND], ordered, top)
        if self.space.alpha and not self.space.premultiplied:
            for edit in ordered:
                if edit.alpha is not None:
                    place = _rectangle(edit.x, edit.y, edit.fill.shape[1], edit.fill.shape[0])
                    _spread_clear_colours(upright[place], marked[place], self.space.colours)
        if self.pages:
            outside = np.ones(changed.shape, bool)
            for page in self.pages:
                outside[page.area] = False
            stored[outside], changed[outside] = self.stored[outside], False
        if self.frames:
            settle(self.stored, stored, changed, self.pages, self.space.peak)
        return Edited(self, stored, changed)

    def _edited_parts(self, edits: Sequence[Edit]) -> Edited:
        """The picture with the edits applied to its pages, each in its own colours and depth."""
        stored, changed, parts = self.stored.copy(), np.zeros(self.stored.shape[:2], bool), []
        for page, part in zip(self.pages, self.parts, strict=True):
            done = part.edited([own for edit in edits if (own := _on_page(edit, page)) is not None])
            upright = turned(done.changed, part.orientation)
            view = replace(part, stored=done.stored, indexed=None).rgb() if upright.any() else self.stored[page.area]
            stored[page.area], changed[page.area] = np.where(upright[:, :, None], view, self.stored[page.area]), upright
            parts.append(done)
        return Edited(self, stored, changed, tuple(parts))

    def _blend(self, band: Samples, marked: npt.NDArray[np.bool_], edits: Sequence[Edit], top: int) -> None:
        """Blend edits into a band of upright rows that starts at row `top`.

        Writes to `band` in place and sets `marked` for the pixels that change.
        """
        bottom = top + band.shape[0]
        touching = [edit for edit in edits if edit.y < bottom and edit.y + edit.fill.shape[0] > top]
        if not touching:
            return
        left = min(edit.x for edit in touching)
        right = min(band.shape[1], max(edit.x + edit.fill.shape[1] for edit in touching))
        if any(edit.alpha is not None for edit in touching):
            self._blend_layers(band[:, left:right], marked[:, left:right], touching, top, left)
            return
        total = np.zeros((band.shape[0], right - left, 1), np.float32)
        strongest = np.zeros_like(total)
        mixed = np.zeros((band.shape[0], right - left, self.space.colours), np.float32)
        for edit in touching:
            first, last = max(0, edit.y - top), min(bottom, edit.y + edit.fill.shape[0]) - top
            area = np.s_[first:last, edit.x - left : edit.x - left + edit.fill.shape[1]]
            rows = np.s_[first + top - edit.y : last + top - edit.y]
            weight = edit.weight[rows, :, None]
            source = band[first:last, edit.x : edit.x + edit.fill.shape[1]]
            mixed[area] += weight * self.space.from_srgb(edit.fill[rows], source)
            total[area] += weight
            strongest[area] = np.maximum(strongest[area], weight)
        target = band[:, left:right, : self.space.colours]
        blended = target * (1 - strongest) + strongest * mixed / np.maximum(total, 1e-6)
        result = np.clip(np.rint(blended), 0, self.space.peak).astype(band.dtype)
        if self.space.key is not None:
            self._apply_key(result, (target == np.array(self.space.key, target.dtype)).all(axis=2))
        marked[:, left:right] |= (result != target).any(axis=2)
        target[...] = result

    def _blend_layers(self, part: Samples, marked: npt.NDArray[np.bool_], edits: Sequence[Edit], top: int, left: int) -> None:
        """Blend edits, some with an alpha, into a part of the picture that starts at `top`, `left`.

        Writes to `part` in place and sets `marked` for the pixels that change. Alpha is blended
        by weight, colours by weight times alpha (Porter and Duff, "Compositing Digital Images",
        1984). A pixel that is fully transparent before and after stays unchanged.
        """
        opacity = self._opacity(part)[:, :, None]
        mixture = self._mix(part, opacity, edits, top, left)
        colours = part[:, :, : self.space.colours].astype(np.float32)
        if self.space.premultiplied:
            colours /= np.maximum(opacity, 1e-6)
        kept, added = 1 - mixture.strongest, mixture.strongest / np.maximum(mixture.weight, 1e-6)
        alpha = kept * opacity + added * mixture.alpha
        share = kept * (opacity + LEAST_SHARE)
        blended = (share * colours + added * mixture.colours) / np.maximum(share + added * mixture.share, 1e-6)
        result = part.copy()
        if self.space.alpha:
            alpha = np.rint(alpha * self.space.peak)
            result[:, :, self.space.colours] = alpha[:, :, 0]
            alpha /= self.space.peak
        if self.space.premultiplied:
            blended *= alpha
        result[:, :, : self.space.colours] = np.clip(np.rint(blended), 0, self.space.peak)
        self._apply_key(result, alpha[:, :, 0] < 0.5)
        changed = (mixture.strongest > 0) & ((opacity > 0) | (alpha > 0)) & (result != part)
        changed = changed.any(axis=2)
        part[changed] = result[changed]
        marked |= changed

    def _mix(self, part: Samples, opacity: Floats, edits: Sequence[Edit], top: int, left: int) -> Mixture:
        """What edits put into a part of the picture that starts at `top`, `left`."""
        mixture = Mixture(
            np.zeros((*part.shape[:2], self.space.colours), np.float32), *(np.zeros_like(opacity) for _ in range(4))
        )
        straight = replace(self.space, premultiplied=False)
        for edit in edits:
            first, last = max(0, edit.y - top), min(top + part.shape[0], edit.y + edit.fill.shape[0]) - top
            start, end = edit.x - left, min(part.shape[1], edit.x - left + edit.fill.shape[1])
            area, rows = np.s_[first:last, start:end], np.s_[first + top - edit.y : last + top - edit.y, : end - start]
            weight = edit.weight[rows][:, :, None]
            alpha = opacity[area] if edit.alpha is None else edit.alpha[rows][:, :, None] / np.float32(255)
            share = weight * (alpha + LEAST_SHARE)
            mixture.colours[area] += share * straight.from_srgb(edit.fill[rows], part[area])
            mixture.share[area] += share
            mixture.alpha[area] += weight * alpha
            mixture.weight[area] += weight
            mixture.strongest[area] = np.maximum(mixture.strongest[area], weight)
        return mixture

    def _apply_key(self, samples: Samples, clear: npt.NDArray[np.bool_]) -> None:
        """In a picture with a key, give it to the clear pixels and to no other.

        Writes to `samples` in place. A pixel that is not clear and has the key's colour gets a
        last sample that differs by one.
        """
        if self.space.key is None:
            return
        key = np.array(self.space.key, samples.dtype)
        colliding = ~clear & (samples == key).all(axis=2)
        last = int(key[-1])
        samples[colliding, -1] = last - 1 if last == self.space.peak else last + 1
        samples[clear] = key


def _on_page(edit: Edit, page: Page) -> Edit | None:
    """The part of an edit that is on a page, in pixels of the page; None if there is none."""
    top, bottom = max(edit.y, page.top), min(edit.y + edit.fill.shape[0], page.top + page.height)
    right = min(edit.fill.shape[1], page.width - edit.x)
    if top >= bottom or right <= 0:
        return None
    rows = np.s_[top - edit.y : bottom - edit.y, :right]
    alpha = None if edit.alpha is None else edit.alpha[rows]
    return Edit(edit.x, top - page.top, edit.fill[rows], edit.weight[rows], alpha)


def _rectangle(x: int, y: int, width: int | None, height: int | None) -> tuple[slice, slice]:
    """The rows and columns of a rectangle that may extend to the picture's edge."""
    return slice(y, None if height is None else y + height), slice(x, None if width is None else x + width)


def _lay_in_bands(colours: Pixels, alpha: Pixels, ground: int) -> Pixels:
    """Colours laid on a ground, see `lay`, without floats of the whole picture."""
    result = np.empty_like(colours)
    for top in range(0, len(colours), BAND):
        result[top : top + BAND] = lay(colours[top : top + BAND], alpha[top : top + BAND], ground)
    return result


def _spread_clear_colours(part: Samples, marked: npt.NDArray[np.bool_], colours: int) -> None:
    """Give pixels that became clear the colours of the nearest clear pixel that is unchanged."""
    clear = part[:, :, colours] == 0
    known = clear & ~marked
    if not known.any() or not (clear & marked).any():
        return
    _, labels = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.zeros((int(labels.max()) + 1, colours), part.dtype)
    nearest[labels[known]] = part[known][:, :colours]
    part[clear & marked, :colours] = nearest[labels[clear & marked]]


@dataclass(frozen=True)
class Edited:
    """A picture after its edits."""

    picture: Picture
    """The picture before its edits."""
    stored: Samples
    """The new samples, laid out as `picture.stored`."""
    changed: npt.NDArray[np.bool_]
    """Stored pixels that differ from the source, height x width."""
    parts: tuple[Edited, ...] = ()
    """The pages after their edits, if the picture has `parts`."""
    file: bytes | None = None
    """A file of the new samples in the same format, if there is one already."""

    def preview(self, width: int, height: int) -> Pixels:
        """The edited picture scaled to fit width x height, uint8 sRGB, not turned.

        It is centred on black. The proportions are kept, except that a difference of up to 2% is
        stretched to fill the preview. Of several pages it shows the first.
        """
        stored = self.stored[self.picture.pages[0].area] if self.picture.pages else self.stored
        rows, columns = stored.shape[:2]
        across, down = width, height
        if abs(width * rows / (height * columns) - 1) > 0.02:
            scale = min(width / columns, height / rows)
            across, down = max(1, round(columns * scale)), max(1, round(rows * scale))
        small = cv2.resize(stored, (across, down), interpolation=cv2.INTER_AREA)
        canvas = np.zeros((height, width, 3), np.uint8)
        top, left = (height - down) // 2, (width - across) // 2
        canvas[top : top + down, left : left + across] = self.picture.space.to_srgb(small.reshape(down, across, -1))
        return canvas


def turned(pixels: Array, orientation: int) -> Array:
    """Stored pixels (height x width, with or without channels) viewed upright.

    The result is a view: writing to it writes to `pixels`.
    """
    turn = TURNS[orientation]
    return (pixels.swapaxes(0, 1) if turn.swap_axes else pixels)[:: turn.down, :: turn.right]  # type: ignore[return-value]


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Upright width and height of a picture whose stored size is given."""
    return (height, width) if TURNS[orientation].swap_axes else (width, height)
