"""Animated GIF: every block of the source, unchanged, but for the frames that must be drawn anew.

A frame keeps its delay, its disposal and its colour table. A frame that is drawn anew keeps the
indices of the pixels that stay, lets what is below shine through where that is right, and takes the
nearest colours of its table elsewhere. If they do not fit, it gets a table of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from operators.pictures.colour import Samples, Space
from operators.pictures.formats import animation, palette
from operators.pictures.formats.animation import CLEAR, KEEP, RESTORE, Frame, Patch
from operators.pictures.formats.header import Header, decoding_failure, load_pixels, open_image
from operators.pictures.pages import stacked
from operators.pictures.picture import Edited, Indexed, Picture
from operators.rows.arrays import Pixels
from operators.rows.timing import timed

EXTENSION, DESCRIPTOR, CONTROL, TABLE_FLAG, INTERLACED = 0x21, 0x2C, 0xF9, 0x80, 0x40
LEAST_INTERLACED = 16
"""Pillow's encoder does not interlace a picture with a side below this."""
MOST_ENTRIES = 256
Mask = npt.NDArray[np.bool_]
DISPOSALS = {2: CLEAR, 3: RESTORE}
"""What becomes of a frame, by the number in its control; any other number keeps it."""


@dataclass(frozen=True)
class Block:
    """A frame as the file holds it, by offsets."""

    control: int | None
    """Where its graphic control starts; None without one."""
    descriptor: int
    table: tuple[int, int]
    """Where its colour table starts and ends, local or global."""
    pixels: int
    """The compressed pixels, from their code size on."""
    end: int

    def rectangle(self, data: bytes) -> tuple[int, int, int, int]:
        """Left, top, width and height on the screen."""
        left, top, width, height = struct.unpack_from("<4H", data, self.descriptor + 1)
        return left, top, width, height

    def clear_index(self, data: bytes) -> int | None:
        """The index that means transparent."""
        if self.control is None or not data[self.control + 3] & 1:
            return None
        return data[self.control + 6]


def blocks_of(data: bytes) -> list[Block]:
    """The frames of a GIF, as far as they are complete."""
    start = 13 + _table_size(data[10])
    position, control, found = start, None, []
    while position + 10 < len(data) and data[position] in (EXTENSION, DESCRIPTOR):
        if data[position] == EXTENSION:
            if data[position + 1] == CONTROL and data[position + 2] == 4:
                control = position
            position = _end_of_sub_blocks(data, position + 2)
            continue
        size, pixels = _table_size(data[position + 9]), position + 10
        table = (pixels, pixels + size) if size else (13, start)
        end = _end_of_sub_blocks(data, pixels + size + 1)
        found.append(Block(control, position, table, pixels + size, min(end, len(data))))
        position, control = end, None
    return found


def _table_size(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & TABLE_FLAG else 0


def _end_of_sub_blocks(data: bytes, position: int) -> int:
    while position < len(data) and data[position]:
        position += 1 + data[position]
    return position + 1


def header(data: bytes, blocks: list[Block]) -> Header:
    """The header of a GIF with several frames; see `operators.pictures.formats.gif.header`."""
    width, height = struct.unpack_from("<2H", data, 6)
    beyond = next((number for number, block in enumerate(blocks) if _is_beyond(block.rectangle(data), width, height)), None)
    reason = None if beyond is None else f"GIF, frame {beyond} does not lie on the screen"
    first = Header(width, height, blocks[:1], unsupported=reason)
    pages = stacked([(height, width)] * len(blocks))
    return Header(width, pages[-1].top + height, blocks, unsupported=reason, first=first)


def _is_beyond(rectangle: tuple[int, int, int, int], width: int, height: int) -> bool:
    left, top, across, down = rectangle
    return min(across, down) < 1 or left + across > width or top + down > height


def decode(blocks: list[Block], data: bytes) -> Picture:
    """The picture of the frames. Raises Failure truncated or corrupt."""
    views = views_of(data, blocks)
    return animation.sheet("GIF", "P", Space("rgb"), views)


def views_of(data: bytes, blocks: list[Block]) -> Iterator[Pixels]:
    """What a viewer shows of each frame, uint8 RGBA. Raises Failure."""
    width, height = struct.unpack_from("<2H", data, 6)
    with timed("codec"):
        yield from animation.shown((_frame(data, block) for block in blocks), height, width, 255)


def _frame(data: bytes, block: Block) -> Frame:
    left, top, _, _ = block.rectangle(data)
    indexed = _indexed(data, block)
    disposal = KEEP if block.control is None else DISPOSALS.get(data[block.control + 3] >> 2 & 7, KEEP)
    return Frame(left, top, indexed.entries[indexed.indices], True, disposal)


def _indexed(data: bytes, block: Block) -> Indexed:
    """The indices of a frame and its colour table, RGBA. Raises Failure."""
    _, _, width, height = block.rectangle(data)
    table = data[slice(*block.table)] or bytes(level for level in range(256) for _ in range(3))
    bits = max(1, (len(table) // 3 - 1).bit_length())
    alone = b"GIF89a" + struct.pack("<2HBBB", width, height, TABLE_FLAG | bits - 1, 0, 0) + table
    flags = data[block.descriptor + 9] & INTERLACED
    alone += b"\x2c" + struct.pack("<4HB", 0, 0, width, height, flags) + data[block.pixels : block.end] + b"\x3b"
    try:
        indices = np.asarray(load_pixels(open_image(alone, "GIF")))
    except Exception as error:
        raise decoding_failure(error) from error
    colours = np.frombuffer(table, np.uint8).reshape(-1, 3)
    entries = np.zeros((max(len(colours), int(indices.max(initial=0)) + 1), 4), np.uint8)
    entries[: len(colours), :3], entries[:, 3] = colours, 255
    clear = block.clear_index(data)
    if clear is not None and clear < len(entries):
        entries[clear] = 0
    return Indexed(indices, entries)


def encode(edited: Edited, source: bytes) -> bytes:
    """The source with the frames drawn anew that must be.

    Raises ValueError if a frame would have to be clear where the frames before it are not.
    """
    blocks = blocks_of(source)
    before = list(views_of(source, blocks))
    views = animation.views_of(edited, before)
    for view in views:
        view[:, :, 3] = np.where(view[:, :, 3] < 128, 0, 255)
        view[view[:, :, 3] == 0] = 0
    result, position = [], 0
    with timed("codec"):
        frames = (_frame(source, block) for block in blocks)
        for number, patch in enumerate(animation.patches(frames, views, 255)):
            if patch is not None:
                block = blocks[number]
                start = block.descriptor if block.control is None else block.control
                height, width = patch.wrong.shape
                part = before[number][patch.top : patch.top + height, patch.left : patch.left + width]
                stays = patch.wrong & (part == patch.pixels).all(axis=2)
                result += [source[position:start], _redrawn(source, block, patch, stays, edited)]
                position = block.end
    return b"".join([*result, source[position:]])


def _redrawn(data: bytes, block: Block, patch: Patch, stays: Mask, edited: Edited) -> bytes:
    """The graphic control and everything else of a frame that draws a patch.

    `stays` are the pixels that the edit does not change and that must be drawn anew nevertheless,
    because the frames before left something else there. They need exactly their colours.
    """
    old = _indexed(data, block)
    left, top, _, _ = block.rectangle(data)
    height, width = patch.wrong.shape
    below = (patch.base == patch.pixels).all(axis=2)
    if (~below & (patch.pixels[:, :, 3] == 0)).any():
        raise ValueError("a frame cannot clear what the frames before it have drawn")
    indices, kept = np.zeros((height, width), np.uint8), np.zeros((height, width), bool)
    down, right = top - patch.top, left - patch.left
    within = np.s_[down : down + old.indices.shape[0], right : right + old.indices.shape[1]]
    kept[within] = ~patch.wrong[within]
    indices[within] = np.where(kept[within], old.indices, 0)
    entries, clear = _with_clear_entry(old.entries, indices[kept], block.clear_index(data))
    if clear is not None:
        indices[~kept & below] = clear
        kept |= below
    exact = stays & ~kept
    if exact.any():
        entries, indices[exact] = _with_exact_entries(entries, indices[kept], clear, patch.pixels[exact])
        kept |= exact
    reserved = () if clear is None else (clear,)
    new = _refitted(Indexed(indices, entries), replace(edited, stored=patch.pixels, changed=~kept), reserved)
    return _written(data, block, patch, new, clear)


def _with_exact_entries(entries: Pixels, used: Pixels, clear: int | None, pixels: Pixels) -> tuple[Pixels, Pixels]:
    """Entries that hold the colours of pixels (number x RGBA) exactly, and the pixels' indices.

    `used` are indices that stay. Raises ValueError if there is no room.
    """
    wanted, inverse = np.unique(pixels, axis=0, return_inverse=True)
    known = {entry.tobytes(): number for number, entry in reversed(list(enumerate(entries))) if number != clear}
    missing = [colour for colour in wanted if colour.tobytes() not in known]
    taken = {*used.tolist(), *(known[colour.tobytes()] for colour in wanted if colour.tobytes() in known), clear}
    free = [number for number in range(MOST_ENTRIES) if number not in taken]
    if len(missing) > len(free):
        raise ValueError("a frame has no room for the colours that stay")
    grown = max([len(entries), *(slot + 1 for slot in free[: len(missing)])])
    result = np.concatenate([entries, np.full((grown - len(entries), 4), (0, 0, 0, 255), np.uint8)])
    for slot, colour in zip(free, missing, strict=False):
        result[slot] = colour
        known[colour.tobytes()] = slot
    numbers = np.array([known[colour.tobytes()] for colour in wanted], np.uint8)
    return result, numbers[inverse.ravel()]


def _with_clear_entry(entries: Pixels, kept: Pixels, clear: int | None) -> tuple[Pixels, int | None]:
    """The entries with a clear one and its index; None if there is neither one nor room for it.

    `kept` are the indices that stay.
    """
    entries = entries.copy()
    if clear is not None and clear < len(entries):
        return entries, clear
    free = np.flatnonzero(np.bincount(kept, minlength=len(entries)) == 0)
    if len(free):
        entries[free[-1]] = 0
        return entries, int(free[-1])
    if len(entries) < MOST_ENTRIES:
        return np.concatenate([entries, np.zeros((1, 4), np.uint8)]), len(entries)
    return entries, None


def _refitted(indexed: Indexed, edited: Edited, reserved: tuple[int, ...]) -> Indexed:
    """The indices of a patch, with more entries only if its colours need them."""
    fitted = palette.refitted(indexed, edited, MOST_ENTRIES, reserved)
    if fitted is None:
        missing = MOST_ENTRIES - len(indexed.entries)
        room = np.concatenate([indexed.entries, np.full((missing, 4), (0, 0, 0, 255), np.uint8)])
        fitted = palette.refitted(Indexed(indexed.indices, room), edited, reserved=reserved)
        assert fitted is not None
    return fitted


def _written(data: bytes, block: Block, patch: Patch, new: Indexed, clear: int | None) -> bytes:
    """A frame as a file holds it, with a table of its own if the source's has other colours."""
    height, width = new.indices.shape
    control = data[block.control : block.descriptor] if block.control is not None else b""
    if clear is not None and clear != block.clear_index(data):
        control = control or b"\x21\xf9\x04\x00\x00\x00\x00\x00"
        control = control[:3] + bytes([control[3] | 1]) + control[4:6] + bytes([clear]) + control[7:]
    colours, table = new.entries[:, :3].copy(), data[slice(*block.table)]
    before = np.frombuffer(table, np.uint8).reshape(-1, 3)
    if clear is not None and clear < min(len(before), len(colours)):
        colours[clear] = before[clear]
    same = len(colours) <= len(before) and np.array_equal(colours, before[: len(colours)])
    bits = max(1, (max(len(colours), len(before) if same else 0) - 1).bit_length())
    flags = data[block.descriptor + 9]
    local = b"" if same and not flags & TABLE_FLAG else table if same else colours.tobytes().ljust(3 << bits, b"\0")
    interlaced = bool(flags & INTERLACED) and min(width, height) >= LEAST_INTERLACED
    flags = flags & ~(TABLE_FLAG | INTERLACED | 7) | INTERLACED * interlaced | (TABLE_FLAG | bits - 1 if local else 0)
    descriptor = b"\x2c" + struct.pack("<4HB", patch.left, patch.top, width, height, flags)
    code_size = max(2, bits)
    pixels: bytes = Image.fromarray(np.ascontiguousarray(new.indices)).tobytes("gif", "L", code_size, int(interlaced))
    return control + descriptor + local + bytes([code_size]) + pixels + b"\0"


def laid(picture: Picture, data: bytes) -> Samples:
    """The frames of a file as the pages of a picture. Raises Failure or ValueError."""
    return animation.laid(picture, list(views_of(data, blocks_of(data))))
