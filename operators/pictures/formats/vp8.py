"""How coarsely a lossy WebP is coded, and pixels coded again as finely (RFC 6386, libwebp).

A lossy WebP cannot be spliced: VP8 predicts every block from its decoded neighbours, so that a
changed block changes those that follow. Its pixels are coded again as a whole, with the steps of
the source: finer ones would only store the errors of the first coding, at up to seven times the
bytes, and coarser ones lose more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

AC_STEPS: tuple[int, ...] = (
    *range(4, 59),
    *range(60, 118, 2),
    *range(119, 176, 3),
    *range(177, 230, 4),
    *(234, 239, 245, 249, 254, 259, 264, 269, 274, 279, 284),
)
"""The quantisation step by the index that a file stores (RFC 6386, 14.1)."""
MOST_GROWTH = 1.05
"""The largest size of the new pixels, relative to those of the source."""
MOST_LOSS = 20
"""By how much the quality may be lower than the source's, to keep the size."""
MOST_ATTEMPTS = 4
"""How often a quality is tried whose steps are those of the source."""
USUAL_QUALITY = 92
"""Quality for a source whose steps cannot be read."""
PLAINEST = 1 + 0.9 * 50 / 100 * 127 / 128
"""The power of the compression at which libwebp codes the plainest segments by default."""
NEAR = 1
"""Steps whose coarsest index differs by no more than this are as fine."""
FRAME_HEADER = 10
"""Bytes of a key frame before its compressed header."""


class Steps(NamedTuple):
    """How coarsely a picture is coded: indices of AC_STEPS, 0..127."""

    mean: float
    """The mean of the file's segments."""
    coarsest: int


class _Bits:
    """Reads the compressed header of a frame: its flags and numbers, each bit with even odds."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 2
        self._value, self._range, self._count = int.from_bytes(data[:2], "big"), 255, 0

    def number(self, bits: int) -> int:
        """An unsigned number of some bits, the highest first (RFC 6386, 7.3)."""
        value = 0
        for _ in range(bits):
            value = 2 * value + self._bit()
        return value

    def optional(self, bits: int) -> int | None:
        """A number with a sign behind it; None if its flag is not set."""
        if not self.number(1):
            return None
        value = self.number(bits)
        return -value if self.number(1) else value

    def _bit(self) -> int:
        split = 1 + (self._range - 1) * 128 // 256
        bit = int(self._value >= (split << 8))
        if bit:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._count += 1
            if self._count == 8:
                self._count = 0
                self._value |= self._data[self._position] if self._position < len(self._data) else 0
                self._position += 1
        return bit


def steps_of(frame: bytes) -> Steps:
    """The steps of a key frame, the content of a `VP8 ` chunk. Raises ValueError for other data."""
    if len(frame) < FRAME_HEADER + 2 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        raise ValueError("no key frame")
    bits = _Bits(frame[FRAME_HEADER : FRAME_HEADER + 256])
    bits.number(2)
    segments: list[int] = []
    absolute = False
    if bits.number(1):
        has_map, has_features = bits.number(1), bits.number(1)
        if has_features:
            absolute = bool(bits.number(1))
            segments = [bits.optional(7) or 0 for _ in range(4)]
            for _ in range(4):
                bits.optional(6)
        for _ in range(3 if has_map else 0):
            if bits.number(1):
                bits.number(8)
    bits.number(10)
    if bits.number(1) and bits.number(1):
        for _ in range(8):
            bits.optional(6)
    bits.number(2)
    base = bits.number(7)
    indices = [min(127, max(0, index if absolute else base + index)) for index in segments] or [base]
    return Steps(sum(indices) / len(indices), max(indices))


def quality_of(steps: Steps) -> int:
    """The quality, 0..100, at which libwebp chooses these steps.

    By default it codes the plainest segments coarsest, by a fixed power of the compression.
    """
    linear: float = (1 - steps.coarsest / 127) ** (3 / (PLAINEST if steps.coarsest > steps.mean else 1))
    share = linear * 1.5 if linear < 0.5 else (linear + 1) / 2
    return round(100 * min(1.0, max(0.0, share)))


def coded_as_finely(source: bytes, most: float, code: Callable[[int], tuple[bytes, bytes]]) -> bytes:
    """A picture coded with the steps of the source frame, and in at most `most` bytes if it can be.

    `code` codes the picture at a quality, 0..100, and returns the file and its frame. Where the
    bytes do not suffice, the best quality is taken for which they do, or else the quality that is
    lower by MOST_LOSS.
    """
    try:
        wanted = steps_of(source)
        quality = quality_of(wanted)
    except ValueError:
        wanted, quality = None, USUAL_QUALITY
    tried: dict[int, tuple[bytes, int]] = {}

    def attempt(quality: int) -> tuple[bytes, int]:
        if quality not in tried:
            file, frame = code(quality)
            tried[quality] = file, (0 if wanted is None else steps_of(frame).coarsest - wanted.coarsest)
        return tried[quality]

    # A coarser file than the source has a positive difference.
    while wanted is not None and len(tried) < MOST_ATTEMPTS and abs(difference := attempt(quality)[1]) > NEAR:
        following = min(100, max(0, quality + int(np.sign(difference)) * max(1, round(abs(difference) / 2))))
        if following in tried:
            break
        quality = following
    if wanted is not None:
        quality = min(tried, key=lambda one: (abs(tried[one][1]), one))
    if len(attempt(quality)[0]) <= most:
        return attempt(quality)[0]
    least = max(0, quality - MOST_LOSS)
    low, high = least, max(least, quality - 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(attempt(middle)[0]) <= most else (low, middle - 1)
    return attempt(low)[0]
