"""What a collection's pictures have in common, place by place: sums that merge, of constant size.

A mark draws the same edges at the same place into every picture; the edges of the pictures
themselves point anywhere. So the mean direction of the edges at a place is near zero, except at a
mark. Directions are bounded, so no single picture counts much: their mean is as robust as the
median of gradients (Dekel, Rubinstein, Liu and Freeman, "On the Effectiveness of Visible
Watermarks", 2017), and unlike a median it merges. Doubled angles are summed too, because a grey
mark is lighter than one picture and darker than the next. A red mark is so as well, but it is
redder than all of them: edges of colour are summed beside those of lightness.

The places are windows at the corners, the borders and the centre, in two frames: in pixels of the
picture, and in pictures reduced to one width. A mark at a fixed distance from a corner shows in
the first, one that is scaled with the picture in the second; pictures of all sizes count together.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.overlay import Plane

ANCHORS = tuple((across, down) for down in (0.0, 0.5, 1.0) for across in (0.0, 0.5, 1.0))
"""Where a window lies: 0 at the left or the top, 1 at the right or the bottom."""
NATIVE, BY_WIDTH = "native", "by_width"
SIDES = {NATIVE: 320, BY_WIDTH: 256}
"""The side of a window in pixels of each frame."""
WIDTH = 512
"""The width to which pictures are reduced in the frame BY_WIDTH."""
SMALLEST = 48
"""Shorter side in pixels of a picture that counts."""
TAU = 4.0
"""Grey levels per pixel from which an edge counts fully."""
TO_AXES = np.array([[0.299, 0.587, 0.114], [0.5, -0.4187, -0.0813], [-0.1687, -0.3313, 0.5]], np.float32)
"""The axes of a colour, as JPEG files keep them (JFIF): the first is lightness."""
SAMPLES = 128
"""Pictures that are kept in mind, by the smallest hashes of their addresses."""
SIZES_KEPT = 256
"""Different sizes that are counted; the rest count as one."""
AXES = 3
"""Edges are summed along lightness, redness and blueness."""
PLANES = 5
"""Planes of a picture's edges: directions across and down, the doubled ones, squared lengths."""


@dataclass(frozen=True, order=True)
class Sample:
    """A picture that is looked at again in the end."""

    order: str
    uri: str
    etag: str | None = None

    @staticmethod
    def of(uri: str, etag: str | None) -> Sample:
        """The picture with its place in an order that nobody chose."""
        return Sample(hashlib.sha256(uri.encode()).hexdigest()[:16], uri, etag)


@dataclass
class Statistics:
    """Sums over any number of pictures; two of them merge into that of both."""

    sums: dict[str, Plane] = field(default_factory=dict)
    """By frame: anchors x axes x planes x side x side."""
    counts: dict[str, npt.NDArray[np.int32]] = field(default_factory=dict)
    """By frame: anchors x side x side, the pictures that reach there."""
    pictures: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        for frame, side in SIDES.items():
            self.sums.setdefault(frame, np.zeros((len(ANCHORS), AXES, PLANES, side, side), np.float32))
            self.counts.setdefault(frame, np.zeros((len(ANCHORS), side, side), np.int32))

    def add(self, rgb: Pixels, sample: Sample) -> None:
        """Count one picture, uint8 height x width x 3."""
        height, width = rgb.shape[:2]
        if min(height, width) < SMALLEST:
            self.failures["too_small"] += 1
            return
        for frame, picture in ((NATIVE, rgb), (BY_WIDTH, _reduced(rgb))):
            for number, anchor in enumerate(ANCHORS):
                place, inside = window(anchor, picture.shape[1], picture.shape[0], SIDES[frame])
                self.sums[frame][number][:, :, inside[0], inside[1]] += coloured_directions(picture[place])
                self.counts[frame][number][inside] += 1
        self.pictures += 1
        self.sizes[width, height] += 1
        self.samples = sorted({*self.samples, sample})[:SAMPLES] if self._is_early(sample) else self.samples

    def _is_early(self, sample: Sample) -> bool:
        return len(self.samples) < SAMPLES or sample < self.samples[-1]

    def merge(self, other: Statistics) -> None:
        """Count the pictures of another collection too."""
        for frame in SIDES:
            self.sums[frame] += other.sums[frame]
            self.counts[frame] += other.counts[frame]
        self.pictures += other.pictures
        self.failures += other.failures
        self.sizes = Counter(dict((self.sizes + other.sizes).most_common(SIZES_KEPT)))
        self.samples = sorted({*self.samples, *other.samples})[:SAMPLES]

    def pack(self) -> bytes:
        """The statistics as bytes."""
        facts = {
            "pictures": self.pictures,
            "sizes": [[*size, count] for size, count in self.sizes.items()],
            "failures": dict(self.failures),
            "samples": [[sample.order, sample.uri, sample.etag] for sample in self.samples],
        }
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {f"sums_{frame}": self.sums[frame] for frame in SIDES}
        arrays |= {f"counts_{frame}": self.counts[frame] for frame in SIDES}
        np.savez(buffer, facts=np.array(json.dumps(facts)), **arrays)
        return buffer.getvalue()

    @staticmethod
    def unpack(data: bytes | memoryview) -> Statistics:
        """The statistics from the bytes of `pack`."""
        with np.load(io.BytesIO(data)) as held:
            facts = json.loads(str(held["facts"]))
            sums = {frame: held[f"sums_{frame}"] for frame in SIDES}
            counts = {frame: held[f"counts_{frame}"] for frame in SIDES}
        sizes = Counter({(width, height): count for width, height, count in facts["sizes"]})
        samples = [Sample(*sample) for sample in facts["samples"]]
        return Statistics(sums, counts, facts["pictures"], sizes, Counter(facts["failures"]), samples)


def _reduced(rgb: Pixels) -> Pixels:
    height, width = rgb.shape[:2]
    size = (WIDTH, max(8, round(height * WIDTH / width)))
    small: Pixels = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if width > WIDTH else cv2.INTER_LINEAR)
    return small


def window(anchor: tuple[float, float], width: int, height: int, side: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of a picture that a window shows, and where they lie in the window."""
    columns, inside_columns = _span(anchor[0], width, side)
    rows, inside_rows = _span(anchor[1], height, side)
    return (rows, columns), (inside_rows, inside_columns)


def _span(anchor: float, length: int, side: int) -> tuple[slice, slice]:
    shown = min(length, side)
    start, inside = round((length - shown) * anchor), round((side - shown) * anchor)
    return slice(start, start + shown), slice(inside, inside + shown)


def place_of(anchor: tuple[float, float], box: Box, width: int, height: int, side: int) -> Box:
    """A box of a window in the pixels of a picture of this size."""
    columns, inside_columns = _span(anchor[0], width, side)
    rows, inside_rows = _span(anchor[1], height, side)
    return Box(box.x + columns.start - inside_columns.start, box.y + rows.start - inside_rows.start, box.width, box.height)


def coloured_directions(rgb: Pixels | Plane) -> Plane:
    """The `directions` of a picture (height x width x 3, 0..255) along each axis: axes x planes x
    height x width.
    """
    axes = cv2.transform(np.ascontiguousarray(rgb, np.float32), TO_AXES)
    planes: Plane = np.stack([directions(axes[:, :, number]) for number in range(AXES)])
    return planes


def directions(luma: Pixels | Plane) -> Plane:
    """The directions of a picture's edges, their doubles and their squared lengths, planes x height
    x width. They are zero on the border, where only steps along it could be measured.
    """
    values = luma.astype(np.float32)
    across = cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 4)
    down = cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 4)
    length = cv2.magnitude(across, down) + TAU
    across, down = across / length, down / length
    size = np.maximum(cv2.magnitude(across, down), 1e-3)
    planes: Plane = np.stack([across, down, (across**2 - down**2) / size, 2 * across * down / size, across**2 + down**2])
    planes[:, [0, -1]], planes[:, :, [0, -1]] = 0, 0
    return planes
