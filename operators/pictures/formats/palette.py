"""Palettes: edited colours as indices, as long as they fit.

An edited pixel takes the nearest of the colours that the picture uses. A palette fits if at least
95% of the edited pixels are within 6 CIELAB units of theirs, a step that is hardly seen in a
picture of so few colours. Where it does not, entries that no pixel uses take the colours that are
farthest off (median cut); where they are too few, it is for the format to say what happens: PNG
leaves the palette, the others take the nearest colours.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from operators.pictures.picture import Edited, Indexed
from operators.rows.arrays import Pixels

NEAR = 6.0
"""CIELAB distance (CIE 1976) within which an entry stands for a colour."""
SHARE = 0.95
"""Share of the edited pixels that have to be near their entry."""
CHUNK = 4096


def of(file: Image.Image) -> Indexed:
    """A loaded palette picture's indices and entries; indices beyond the palette are looked up as
    black.
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
    """The picture's colours, height x width x 3, or x 4 where an entry is transparent."""
    channels = 3 if (indexed.entries[:, 3] == 255).all() else 4
    return indexed.entries[:, :channels][indexed.indices]


def depth_of(entries: int) -> int:
    """The bits of an index into so many entries."""
    return next(bits for bits in (1, 2, 4, 8) if entries <= 2**bits)


def refitted(indexed: Indexed, edited: Edited, room: int | None = None, reserved: tuple[int, ...] = ()) -> Indexed | None:
    """The edited picture in its palette, unchanged pixels with their index; alpha stays.

    With `room`, the palette may grow to so many entries, and None says that even then it does not
    fit; without, it keeps its length, and the nearest colours have to do. `reserved` entries are
    not given other colours.
    """
    indices, entries = indexed.indices.copy(), indexed.entries.copy()
    alpha = entries[indices[edited.changed], 3]
    pixels = np.concatenate([edited.stored[edited.changed][:, :3], alpha[:, None]], axis=1)
    wanted, inverse, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    counts = np.where(wanted[:, 3] > 0, counts, 0)
    used = np.bincount(indices.ravel(), minlength=len(entries))[: len(entries)] > 0
    nearest, distance = _nearest(wanted, entries, used)
    far = (distance > NEAR) & (wanted[:, 3] == 255)
    if counts[distance > NEAR].sum() > (1 - SHARE) * counts.sum():
        free = [number for number in np.flatnonzero(~used).tolist() if number not in reserved]
        free += list(range(len(entries), room or 0))
        new = _few(wanted[far], counts[far], len(free))
        slots = free[: len(new)]
        added = max([0, *[slot + 1 - len(entries) for slot in slots]])
        entries, used = np.pad(entries, ((0, added), (0, 0))), np.pad(used, (0, added))
        entries[slots], used[slots] = new, True
        nearest, distance = _nearest(wanted, entries, used)
        if room is not None and counts[distance > NEAR].sum() > (1 - SHARE) * counts.sum():
            return None
    chosen = nearest[inverse.ravel()]
    indices[edited.changed] = np.where(alpha > 0, chosen, indices[edited.changed])
    return Indexed(indices, entries)


def _nearest(
    wanted: Pixels, entries: Pixels, used: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """For each colour the used entry of its alpha that is nearest in CIELAB, and how far that is."""
    found = np.zeros(len(wanted), np.intp)
    distance = np.zeros(len(wanted), np.float32)
    for alpha in np.unique(wanted[:, 3]):
        group, choice = np.flatnonzero(wanted[:, 3] == alpha), np.flatnonzero(used & (entries[:, 3] == alpha))
        there = _lab(entries[choice, :3])
        for start in range(0, len(group), CHUNK):
            part = group[start : start + CHUNK]
            apart = np.linalg.norm(_lab(wanted[part, :3])[:, None] - there[None], axis=2)
            best = apart.argmin(axis=1)
            found[part], distance[part] = choice[best], apart[np.arange(len(part)), best]
    return found, distance


def _few(colours: Pixels, counts: npt.NDArray[np.int64], number: int) -> Pixels:
    """At most `number` opaque colours that stand for the given ones, those that are seen more
    often counting more.
    """
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
    lab: npt.NDArray[np.float32] = cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return lab
