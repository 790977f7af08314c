"""`enlarge`: what does the picture look like at a larger size?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from operators.enlarged_file import encoded
from operators.failure import CODES, Failure
from operators.image import FRAMES, TURNS, Limits, Picture
from operators.operator import Operator
from operators.table import Additions, Row, derive, map_rows
from operators.upscalers.routed import Enlargement, Routing
from operators.upscalers.upscaler import upscaler

CENTIMETRES_PER_INCH = 2.54


@dataclass(frozen=True)
class Print:
    """A size on paper in centimetres, and the dots per inch that a printer wants."""

    width: float
    height: float
    dots_per_inch: float = 300.0

    def factor(self, width: int, height: int) -> float:
        """How many times larger a width x height picture must be to fill the paper, which may be turned, without being cut."""
        long, short = max(self.width, self.height), min(self.width, self.height)
        inches = (long, short) if width >= height else (short, long)
        dots = [side / CENTIMETRES_PER_INCH * self.dots_per_inch for side in inches]
        return min(dots[0] / width, dots[1] / height)


@dataclass(frozen=True)
class Enlarge(Operator):
    """Enlarge every picture by a factor or to a print size: a network where resampling would lose detail, resampling elsewhere.

    The result has the source's format, mode, depth, alpha and metadata. A picture that is large enough for the paper already is
    delivered `untouched`; an enlarged one is `edited`. `metadata` tells the factor, the measured noise and the network's
    share of the picture.
    """

    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256")
    adds: ClassVar[tuple[str, ...]] = ("width", "height", "mode", "metadata", "encoded", "verdict", "reasons")
    scale: float = 4.0
    paper: Print | None = None
    routing: Routing = Routing()
    device: str = "cpu"
    limits: Limits = Limits()
    most_pixels: int = 400_000_000
    """Pixels of a result beyond which the source is delivered as it is."""

    def open(self) -> None:
        """Load the upscaler for a fixed scale, so that missing or changed weights end the run and not each image."""
        if self.paper is None:
            upscaler(self.routing.model, self.scale).opened(self.device)

    def settings(self) -> dict[str, Any]:
        """The fields, and which weights enlarge."""
        scale = math.inf if self.paper else self.scale
        return {**super().settings(), "upscaler": upscaler(self.routing.model, scale).identity()}

    def apply(self, batch: pa.Table) -> pa.Table:
        """Enlarge the pictures of one batch."""
        return derive(map_rows(batch, self.name, self.adds, self._enlarge), ("verdict", "reasons"), _verdict)

    def _enlarge(self, row: Row) -> Additions:
        data = row.data("bytes")
        if data is None:
            raise Failure("file_empty", "0 bytes")
        picture = FRAMES.decoded(row["source_sha256"], data, self.limits)
        if "transparency" in picture.file.info and picture.file.mode != "P":
            raise Failure("mode_unsupported", "one colour stands for transparency, which no new pixel can be told from")
        width, height = picture.size
        known = {"width": width, "height": height, "mode": picture.file.mode}
        factor = self.scale if self.paper is None else self.paper.factor(width, height)
        if factor <= 1:
            return {**known, "metadata": [("factor", 1.0)], "encoded": None}
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        if size[0] * size[1] > self.most_pixels:
            raise Failure("pixels_over_limit", f"{size[0]} x {size[1]} pixels, limit {self.most_pixels}")
        made = self._enlargement(picture, size)
        pixels = frame(made)
        dots = self.paper.dots_per_inch if self.paper else None
        try:
            result = encoded(picture.file, pixels, data, dots)
        except (OSError, TypeError, ValueError) as error:
            raise Failure("mode_unsupported", f"cannot be encoded: {error}") from error
        share = made.network_pixels() / (made.width * made.height)
        figures = {"factor": factor, "noise": made.noise, "network_share": share}
        return {**known, "metadata": list(figures.items()), "encoded": result}

    def _enlargement(self, picture: Picture, size: tuple[int, int]) -> Enlargement:
        """The stored pixels on their way to an upright size."""
        stored_size = size[::-1] if TURNS[picture.orientation][0] else size
        return Enlargement(picture.stored, picture.file.mode == "CMYK", stored_size, self.routing, self.device)


def frame(made: Enlargement) -> Any:
    """The whole enlarged picture in the source's own type, put together tile by tile."""
    pixels: Any = None
    for left, top, tile in made.tiles():
        if pixels is None:
            pixels = np.empty((made.size[1], made.size[0], tile.shape[2]), tile.dtype)
        pixels[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return pixels


def _verdict(row: Row) -> Additions:
    failure = row["failure"]
    if failure is not None:
        return {"verdict": "skipped" if CODES[failure["code"]].delivered else "failed", "reasons": [failure["code"]]}
    return {"verdict": "untouched" if row.data("encoded") is None else "edited", "reasons": []}
