"""Animated PNG: every chunk of the source, unchanged, but for the frames that must be drawn anew.

Source: W3C PNG, third edition, 11.3.6. A frame that is drawn anew keeps its delay and what becomes
of it, and replaces what is below it. A picture that only viewers without animations show is edited
like a frame. A palette stays if the new colours of all frames fit into it; otherwise every frame
becomes RGB or RGBA.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from operators.pictures.colour import Samples, Space
from operators.pictures.formats import animation, palette
from operators.pictures.formats.animation import CLEAR, KEEP, RESTORE, Frame, Patch
from operators.pictures.formats.header import Header
from operators.pictures.pages import stacked
from operators.pictures.picture import Edited, Indexed, Picture
from operators.rows.timing import timed

Chunk = tuple[bytes, bytes]
CONTROL, FRAME_DATA, DATA = b"fcTL", b"fdAT", b"IDAT"
DISPOSALS = {0: KEEP, 1: CLEAR, 2: RESTORE}
OF_PIXELS = (b"PLTE", b"tRNS", b"iCCP", b"gAMA", b"cHRM", b"sRGB")
"""Chunks that say how the pixels of every frame are read."""
MOST_ENTRIES = 256


@dataclass(frozen=True)
class Stored:
    """A frame as the file holds it."""

    control: bytes | None
    """The content of its control; None for a picture that is not in the animation."""
    data: bytes
    """Its compressed pixels."""
    width: int
    height: int
    left: int = 0
    top: int = 0
    disposal: int = CLEAR
    over: bool = False


def stored_frames(parts: Sequence[Chunk]) -> list[Stored]:
    """The frames of a PNG in order, first the picture that is not in the animation, if any.

    Raises ValueError for frames that are damaged, incomplete or out of order.
    """
    width, height = struct.unpack_from(">2I", parts[0][1])
    numbers = [int.from_bytes(content[:4], "big") for name, content in parts if name in (CONTROL, FRAME_DATA)]
    if numbers != list(range(len(numbers))):
        raise ValueError("frames out of order")
    controls: list[bytes | None] = []
    data: list[list[bytes]] = []
    for name, content in parts:
        if name == CONTROL:
            controls.append(content)
            data.append([])
        elif name == DATA:
            if not controls:
                controls.append(None)
                data.append([])
            data[-1].append(content)
        elif name == FRAME_DATA and data:
            data[-1].append(content[4:])
    if not all(data):
        raise ValueError("a frame without pixels")
    return [_stored(control, b"".join(part), width, height) for control, part in zip(controls, data, strict=True)]


def _stored(control: bytes | None, data: bytes, width: int, height: int) -> Stored:
    if control is None:
        return Stored(None, data, width, height)
    if len(control) < 26:
        raise ValueError("a damaged frame control")
    across, down, left, top = struct.unpack_from(">4I", control, 4)
    if min(across, down) < 1 or left + across > width or top + down > height:
        raise ValueError("a frame beyond the picture")
    return Stored(control, data, across, down, left, top, DISPOSALS.get(control[24], KEEP), control[25] == 1)


def header(frames: list[Stored], width: int, height: int, upright: bool) -> Header:
    """The header of a PNG with several frames; see `operators.pictures.formats.png.header`."""
    reason = None if upright else "PNG, an animation that is not upright"
    pages = stacked([(height, width)] * len(frames))
    first = Header(width, height, frames[:1], unsupported=reason)
    return Header(width, pages[-1].top + height, frames, unsupported=reason, first=first)


class Reader:
    """Reads single frames of a file as pictures of their own."""

    def __init__(self, parts: Sequence[Chunk], decode: Callable[[bytes], Picture], assemble: Callable[[list[Chunk]], bytes]):
        self._head = parts[0][1]
        self._common = [part for part in parts if part[0] in OF_PIXELS]
        self._decode, self._assemble = decode, assemble

    def picture(self, frame: Stored) -> Picture:
        """A frame alone. Raises Failure."""
        head = struct.pack(">2I", frame.width, frame.height) + self._head[8:]
        return self._decode(self._assemble([(b"IHDR", head), *self._common, (DATA, frame.data), (b"IEND", b"")]))

    def frame(self, stored: Stored) -> Frame:
        """A frame as it is drawn, with alpha. Raises Failure."""
        return Frame(stored.left, stored.top, _with_alpha(self.picture(stored)), stored.over, stored.disposal)

    def views(self, frames: Sequence[Stored]) -> Iterator[Samples]:
        """What a viewer shows of each frame, with alpha. Raises Failure."""
        width, height = struct.unpack_from(">2I", self._head)
        peak = self.picture(frames[0]).space.peak
        yield from animation.shown(map(self.frame, frames), height, width, peak)


def _with_alpha(picture: Picture) -> Samples:
    """The samples with their alpha as the last channel; a colour that means clear becomes alpha."""
    space, samples = picture.space, picture.stored
    if space.alpha:
        return samples
    alpha = np.full((*samples.shape[:2], 1), space.peak, samples.dtype)
    if space.key is not None:
        alpha[(samples == np.array(space.key, samples.dtype)).all(axis=2)] = 0
    return np.concatenate([samples, alpha], axis=2)


def decode(frames: list[Stored], reader: Reader) -> Picture:
    """The picture of the frames. Raises Failure truncated or corrupt."""
    with timed("codec"):
        one = reader.picture(frames[0])
        space = replace(one.space, alpha=False, key=None)
        return animation.sheet("PNG", one.mode, space, reader.views(frames), one.note)


@dataclass(frozen=True)
class Drawn:
    """The new pixels of a frame."""

    left: int
    top: int
    samples: Samples
    """As the file stores them, without looking a palette up."""
    over: bool


def redrawn(edited: Edited, frames: Sequence[Stored], reader: Reader) -> tuple[list[Drawn | None], Indexed | None]:
    """The frames that must be drawn anew, and the palette of all.

    Without a palette in the file, or if the new colours do not fit into it, the palette is None;
    then all frames are drawn anew if the file had one. Raises ValueError.
    """
    one = reader.picture(frames[0])
    peak = one.space.peak
    views = animation.views_of(edited, list(reader.views(frames)))
    patches = list(animation.patches(map(reader.frame, frames), views, peak))
    if one.indexed is None:
        return [None if patch is None else _stored_again(patch, one.space) for patch in patches], None
    fitted = _indexed(edited, frames, patches, reader)
    if fitted is not None:
        return fitted
    channels = one.stored.shape[2]
    return [_looked_up(patch, stored, reader, channels) for patch, stored in zip(patches, frames, strict=True)], None


def _stored_again(patch: Patch, space: Space) -> Drawn:
    """A patch as samples of the file. Raises ValueError where it must be clear and cannot be."""
    samples = patch.pixels
    if not space.alpha:
        clear = samples[:, :, -1] <= space.peak // 2
        samples = samples[:, :, :-1].copy()
        if space.key is None and clear.any():
            raise ValueError("a frame without alpha cannot be clear")
        if space.key is not None:
            key = np.array(space.key, samples.dtype)
            colliding = ~clear & (samples == key).all(axis=2)
            samples[colliding, -1] = int(key[-1]) - 1 if key[-1] == space.peak else int(key[-1]) + 1
            samples[clear] = key
    return Drawn(patch.left, patch.top, samples, False)


def as_stored(stored: Stored, reader: Reader) -> Drawn:
    """A frame that is written again without any change. Raises Failure."""
    picture = reader.picture(stored)
    samples = picture.stored if picture.indexed is None else picture.indexed.indices[:, :, None]
    return Drawn(stored.left, stored.top, samples, stored.over)


def _looked_up(patch: Patch | None, stored: Stored, reader: Reader, channels: int) -> Drawn:
    """A frame in colours instead of indices of a palette."""
    if patch is None:
        return Drawn(stored.left, stored.top, reader.picture(stored).stored, stored.over)
    if channels == 3 and (patch.pixels[:, :, 3] < 255).any():
        raise ValueError("a frame without alpha cannot be clear")
    return Drawn(patch.left, patch.top, patch.pixels[:, :, :channels], False)


def _indexed(
    edited: Edited, frames: Sequence[Stored], patches: Sequence[Patch | None], reader: Reader
) -> tuple[list[Drawn | None], Indexed] | None:
    """The frames as indices of one palette that holds the colours of all; None if it cannot."""
    lines: list[tuple[Samples, Samples, Samples]] = []
    entries = None
    for stored, patch in zip(frames, patches, strict=True):
        indexed = reader.picture(stored).indexed
        assert indexed is not None
        entries = indexed.entries if entries is None or len(indexed.entries) > len(entries) else entries
        colours = indexed.entries[indexed.indices]
        if patch is None:
            lines.append((indexed.indices, np.zeros(indexed.indices.shape, bool), colours))
            continue
        indices, right = np.zeros(patch.wrong.shape, np.uint8), np.zeros(patch.wrong.shape, bool)
        down, across = stored.top - patch.top, stored.left - patch.left
        within = np.s_[down : down + stored.height, across : across + stored.width]
        indices[within], right[within] = indexed.indices, (colours == patch.pixels[within]).all(axis=2)
        lines.append((indices, ~right, patch.pixels))
    assert entries is not None
    columns = zip(*lines, strict=True)
    flat = [np.concatenate([part.reshape(1, -1, *part.shape[2:]) for part in column], axis=1) for column in columns]
    asked = replace(edited, stored=flat[2], changed=flat[1])
    new = palette.refitted(Indexed(flat[0], entries), asked, MOST_ENTRIES, palette.not_opaque(entries))
    if new is None:
        return None
    result: list[Drawn | None] = []
    start = 0
    for (indices, _, _), patch in zip(lines, patches, strict=True):
        part = new.indices[0, start : start + indices.size].reshape(*indices.shape, 1)
        start += indices.size
        result.append(None if patch is None else Drawn(patch.left, patch.top, part, False))
    return result, new


def control_of(stored: Stored, drawn: Drawn) -> bytes:
    """The content of the control of a frame that is drawn anew, numbered as in the source."""
    assert stored.control is not None
    height, width = drawn.samples.shape[:2]
    place = struct.pack(">4I", width, height, drawn.left, drawn.top)
    return stored.control[:4] + place + stored.control[20:25] + bytes([drawn.over]) + stored.control[26:]


def rebuilt(
    parts: Sequence[Chunk], frames: Sequence[Stored], drawn: Sequence[Drawn | None], pack: Callable[[Samples], bytes]
) -> list[Chunk]:
    """The chunks with the frames that are drawn anew, and all frames numbered again.

    `pack` compresses the samples of a frame.
    """
    result: list[Chunk] = []
    number, sequence, written = -1, 0, False
    for name, content in parts:
        if name not in (CONTROL, DATA, FRAME_DATA):
            result.append((name, content))
            continue
        if name == CONTROL or number < 0:
            number, written = number + 1, False
        new = drawn[number]
        if new is None:
            body = content if name == DATA else content[4:]
        elif name == CONTROL:
            body = control_of(frames[number], new)[4:]
        elif written:
            continue
        else:
            body, written = pack(new.samples), True
        if name != DATA:
            body, sequence = struct.pack(">I", sequence) + body, sequence + 1
        result.append((name, body))
    return result


def laid(picture: Picture, frames: list[Stored], reader: Reader) -> Samples:
    """The frames of a file as the pages of a picture. Raises Failure or ValueError."""
    return animation.laid(picture, list(reader.views(frames[: len(picture.frames)])))
