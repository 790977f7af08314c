"""Edited colours as indices into a palette, as long as they fit.

An edited pixel takes the nearest of the colours that the picture uses. A palette fits if at least
95% of the edited pixels are within 6 CIELAB units of their entry, a difference that is hardly
visible in a picture of so few colours. If it does not fit, unused entries take the colours that
are farthest off, reduced by median cut. If there are too few of them, the format decides: PNG
leaves the palette, the others use the nearest colours.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from operators.pictures.picture import Edited, Indexed
from operators.rows.arrays import Pixels
from operators.rows.transparency import lay

NEAR = 6.0
"""CIELAB distance (CIE 1976) within which an entry represents a colour."""
SHARE = 0.95
"""Share of the edited pixels that must be near their entry."""
CHUNK = 4096
"""Colours that are compared with the palette at once."""


class Nearest(NamedTuple):
    """For each of several colours, the nearest palette entry."""

    entries: npt.NDArray[np.intp]
    """Numbers of the entries."""
    distances: npt.NDArray[np.float32]
    """CIELAB distance of each colour from its entry."""


def indexed_of(file: Image.Image) -> Indexed:
    """Indices and entries of a palette picture that is loaded.

    Indices beyond the palette become black entries.
    """
    indices = np.asarray(file)
    colours = np.array(file.getpalette() or [], np.uint8).reshape(-1, 3)
    entries = np.zeros((max(len(colours), int(indices.max(initial=0)) + 1), 4), np.uint8)
    entries[: len(colours), :3] = colours
    entries[:, 3] = 255
    transparency = file.info.get("transparency")
    if isinstance(transparency, bytes):
        alphas = np.frombuffer(transparency, np.uint8)[: len(entries)]
        entries[: len(alphas), 3] = alphas
    elif isinstance(transparency, int) and transparency < len(entries):
        entries[transparency, 3] = 0
    return Indexed(indices, entries)


def looked_up(indexed: Indexed) -> Pixels:
    """The picture's colours, height x width x 3, or x 4 if an entry is not opaque."""
    channels = 3 if (indexed.entries[:, 3] == 255).all() else 4
    return indexed.entries[:, :channels][indexed.indices]


def not_opaque(entries: Pixels) -> tuple[int, ...]:
    """Numbers of the entries that are not opaque, whose alpha a PNG states elsewhere."""
    return tuple(np.flatnonzero(entries[:, 3] < 255).tolist())


def depth_of(entries: int) -> int:
    """The bits (1, 2, 4 or 8) of an index into a palette of this many entries."""
    return next(bits for bits in (1, 2, 4, 8) if entries <= 2**bits)


def refitted(indexed: Indexed, edited: Edited, room: int | None = None, reserved: tuple[int, ...] = ()) -> Indexed | None:
    """The edited picture as indices; unchanged pixels keep their index.

    With `room`, the palette may grow to this many entries, and the result is None if the colours
    do not fit even then. Without it, the palette keeps its length and the nearest colours are
    used where they do not fit. `reserved` entries keep their colours.
    """
    indices, entries = indexed.indices.copy(), indexed.entries.copy()
    before, pixels = entries[indices[edited.changed], 3], edited.stored[edited.changed]
    pixels = pixels if pixels.shape[1] == 4 else np.concatenate([pixels, before[:, None]], axis=1)
    wanted, inverse, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    counts = np.where(wanted[:, 3] > 0, counts, 0)
    used = np.bincount(indices.ravel(), minlength=len(entries))[: len(entries)] > 0
    nearest = _nearest(wanted, entries, used)
    if not _fits(nearest, counts):
        far = (nearest.distances > NEAR) & (wanted[:, 3] == 255)
        free = [number for number in np.flatnonzero(~used).tolist() if number not in reserved]
        free += list(range(len(entries), room or 0))
        new = _reduced(wanted[far], counts[far], len(free))
        slots = free[: len(new)]
        added = max([0, *[slot + 1 - len(entries) for slot in slots]])
        entries, used = np.pad(entries, ((0, added), (0, 0))), np.pad(used, (0, added))
        entries[slots], used[slots] = new, True
        nearest = _nearest(wanted, entries, used)
        if room is not None and not _fits(nearest, counts):
            return None
    chosen = nearest.entries[inverse.ravel()]
    clear = (before == 0) & (pixels[:, 3] == 0)
    indices[edited.changed] = np.where(clear, indices[edited.changed], chosen)
    return Indexed(indices, entries)


def _fits(nearest: Nearest, counts: npt.NDArray[np.int64]) -> bool:
    """Whether enough pixels are near their entry; `counts` are the pixels of each colour."""
    return bool(counts[nearest.distances > NEAR].sum() <= (1 - SHARE) * counts.sum())


def _nearest(wanted: Pixels, entries: Pixels, used: npt.NDArray[np.bool_]) -> Nearest:
    """For each colour (RGBA), the nearest used entry of the same alpha.

    If none has this alpha, it is the entry that looks most alike on black and on white.
    """
    nearest = Nearest(np.zeros(len(wanted), np.intp), np.zeros(len(wanted), np.float32))
    for alpha in np.unique(wanted[:, 3]):
        group, same = np.flatnonzero(wanted[:, 3] == alpha), used & (entries[:, 3] == alpha)
        lab = _lab if same.any() else _lab_on_grounds
        choice = np.flatnonzero(same if same.any() else used)
        choice_lab = lab(entries[choice])
        for start in range(0, len(group), CHUNK):
            part = group[start : start + CHUNK]
            distances = np.linalg.norm(lab(wanted[part])[:, None] - choice_lab[None], axis=2)
            best = distances.argmin(axis=1)
            nearest.entries[part], nearest.distances[part] = choice[best], distances[np.arange(len(part)), best]
    return nearest


def _reduced(colours: Pixels, counts: npt.NDArray[np.int64], number: int) -> Pixels:
    """At most `number` opaque colours that represent the given ones, weighted by their counts."""
    if number == 0 or len(colours) == 0:
        return np.zeros((0, 4), np.uint8)
    if len(colours) <= number:
        return colours
    weights = np.maximum(1, np.rint(counts * min(1.0, 1e6 / counts.sum()))).astype(np.int64)
    line = np.repeat(colours[:, :3], weights, axis=0)[None]
    small = Image.fromarray(line).quantize(number, Image.Quantize.MEDIANCUT)
    table = np.array(small.getpalette() or [], np.uint8).reshape(-1, 3)[:number]
    return np.concatenate([table, np.full((len(table), 1), 255, np.uint8)], axis=1)


def _lab(colours: Pixels) -> npt.NDArray[np.float32]:
    """Colours (uint8 RGBA, number x 4) in CIELAB, without their alpha."""
    lab: npt.NDArray[np.float32] = cv2.cvtColor(colours[None, :, :3].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return lab


def _lab_on_grounds(colours: Pixels) -> npt.NDArray[np.float32]:
    """Colours (uint8 RGBA, number x 4) in CIELAB as seen on black and on white, number x 6."""
    return np.concatenate([_lab(lay(colours[None, :, :3], colours[None, :, 3], ground)[0]) for ground in (0, 255)], axis=1)
