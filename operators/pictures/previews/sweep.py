"""What becomes of the second pictures of a file: drawn again, dropped with a note, or kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from operators.pictures.formats import gif
from operators.pictures.formats.header import open_image
from operators.pictures.formats.jpeg_markers import FRAMES, START_OF_SCAN, end_of_image
from operators.pictures.picture import Edited
from operators.pictures.previews.pictures import Draw, redrawn
from operators.pictures.previews.table import SIGNATURES

REDRAW, DROP, KEEP = "redraw", "drop", "keep"
POLICIES = (REDRAW, DROP, KEEP)
"""What to do with second pictures; REDRAW drops what cannot be drawn again."""
SEARCH = re.compile(b"|".join(b"(?P<%s>%s)" % (name.encode(), pattern) for name, pattern in SIGNATURES.items()), re.DOTALL)
Span = tuple[int, int]
NOT_DRAWN = ("film", "archive", "tiff", "bmp")
"""Kinds of SIGNATURES that are dropped, not drawn again."""
MOST_STARTS = 2048
"""How many first bytes of pictures are looked at in one content."""
MOST_SEGMENTS = 1000
"""How many segments a JPEG has before its scan at most."""
WINDOW = 256 * 1024
"""Bytes in which the end of a picture is looked for first."""


@dataclass
class Sweep:
    """One pass over the places of a file.

    Every function keeps the length of what it gets, so that offsets stay valid.
    """

    draw: Draw
    policy: str = REDRAW
    notes: list[str] = field(default_factory=list)
    """One line for every kind of place that was dropped, each once."""
    edited: Edited | None = None
    """The edit, for pictures that show something else than a copy, such as a gain map."""
    renamed: dict[bytes, bytes] = field(default_factory=dict)
    """New digests of extended XMP by the old ones."""
    _made: set[bytes] = field(default_factory=set)

    def note(self, line: str) -> None:
        """Add a line, once."""
        if line not in self.notes:
            self.notes.append(line)

    def dropped(self, place: str) -> None:
        """Note that the picture at a place was dropped."""
        self.note(f"preview_dropped: {place}")

    def picture(self, old: bytes, place: str) -> tuple[bytes, int]:
        """A picture for one in a known place, of the same length, and how many bytes of it count.

        Zeros, and 0, for one that is dropped.
        """
        if self.policy == KEEP or old in self._made or not any(old):
            return old, len(old)
        new = redrawn(old, self.draw) if self.policy == REDRAW else None
        if new is None:
            self.dropped(place)
            return bytes(len(old)), 0
        result = new.ljust(len(old), b"\0")
        self._made |= {result, new}
        return result, len(new)

    def search(self, content: bytes, place: str) -> bytes:
        """Content of the same length in which every picture is new that its first bytes show.

        A film or an archive is dropped.
        """
        if self.policy == KEEP:
            return content
        result = bytearray(content)
        for kind, (start, end) in find_pictures(content):
            old = content[start:end]
            if kind in NOT_DRAWN:
                self.dropped(f"{kind} in {place}")
                result[start:end] = bytes(end - start)
            else:
                result[start:end] = self.picture(old, place)[0]
        return bytes(result)


def find_pictures(content: bytes) -> list[tuple[str, Span]]:
    """Kind and place of every picture, film and archive in some bytes, outermost ones only.

    A picture whose header cannot be read is none. After MOST_STARTS first bytes of pictures, the
    rest counts as an archive, so that no content takes long.
    """
    found: list[tuple[str, Span]] = []
    position = starts = 0
    while match := SEARCH.search(content, position):
        kind, start = str(match.lastgroup), match.start()
        starts += 1
        if starts > MOST_STARTS:
            return [*found, ("archive", (start, len(content)))]
        end = start + _size(kind, content, start)
        if end > start:
            found.append((kind, (start, end)))
        position = max(end, start + 2)
    return found


def _size(kind: str, content: bytes, start: int) -> int:
    """The bytes of what may start at a place; 0 for a coincidence."""
    if kind == "jpeg" and not _is_jpeg(content, start):
        return 0
    near = content[start : start + WINDOW]
    size = ENDS[kind](near)
    return ENDS[kind](content[start:]) if size >= len(near) == WINDOW else size


def _is_jpeg(content: bytes, start: int) -> bool:
    """Whether a JPEG starts at a place: its segments follow each other, a frame before a scan."""
    position, has_frame = start + 2, False
    for _ in range(MOST_SEGMENTS):
        while content[position : position + 2] == b"\xff\xff":
            position += 1
        if content[position : position + 1] != b"\xff" or position + 4 > len(content):
            return False
        marker = content[position + 1]
        if marker == START_OF_SCAN:
            return has_frame
        has_frame |= marker in FRAMES
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return False


def _end_of_gif(data: bytes) -> int:
    """The end of a GIF that has a block after its header; 0 for other bytes."""
    blocks, end = gif.blocks(data) if len(data) > 13 else ([], 0)
    return end if blocks else 0


def _end_of_tiff(data: bytes) -> int:
    """The end of the data if a picture starts there; 0 if not."""
    try:
        return len(data) if min(open_image(data, "TIFF").size) > 0 else 0
    except Exception:
        return 0


def _end_of_png(data: bytes) -> int:
    end = data.find(b"IEND")
    return len(data) if end < 0 else min(len(data), end + 8)


def _end_of_webp(data: bytes) -> int:
    return min(len(data), 8 + int.from_bytes(data[4:8], "little"))


def end_of_film(data: bytes) -> int:
    """The end of a film's boxes (ISO 14496-12); the end of the data for another container."""
    if data[4:8] != b"ftyp":
        return len(data)
    position = 0
    while position + 8 <= len(data) and data[position + 4 : position + 8].isalnum():
        size = int.from_bytes(data[position : position + 4], "big")
        if size == 1 and position + 16 <= len(data):
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if size == 0 or position + size > len(data):
            return len(data)
        if size < 8:
            break
        position += size
    return position


ENDS: dict[str, Callable[[bytes], int]] = {
    "jpeg": end_of_image,
    "png": _end_of_png,
    "gif": _end_of_gif,
    "webp": _end_of_webp,
    "tiff": _end_of_tiff,
    "film": end_of_film,
    "archive": len,
    "bmp": lambda data: min(len(data), max(26, int.from_bytes(data[2:6], "little"))),
}
"""Where each kind of SIGNATURES ends, relative to its first byte; 0 for a coincidence."""
