"""`enlarge`: what does the picture look like at a larger size?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.pictures.colour import Samples
from operators.pictures.converted import Converted, check_target, converted
from operators.pictures.enlarged_file import WRITERS, encode_enlarged
from operators.pictures.formats.header import pillow_header
from operators.pictures.picture import TURNS, Picture
from operators.pictures.provenance import Signing, Source, with_signature
from operators.rows.failure import CODES, Failure
from operators.rows.records import JsonObject, ModelRecord
from operators.rows.table import Additions, Row, derive, map_rows
from operators.storage import files as store
from operators.upscalers.catalogue import find_upscaler
from operators.upscalers.enlargement import Enlargement, Routing

CENTIMETRES_PER_INCH = 2.54
MODES = ("L", "LA", "RGB", "RGBA", "P", "CMYK", "I;16", "LA;16", "RGB;16", "RGBA;16", "CMYK;16")
"""The pixel formats that can be enlarged: 8 or 16 bits, no samples but colour and alpha."""


@dataclass(frozen=True)
class Print:
    """A size on paper in centimetres, and the resolution at which it is printed."""

    width: float
    height: float
    dots_per_inch: float = 300.0

    def factor(self, width: int, height: int) -> float:
        """How many times larger a width x height picture must be to fill the paper uncropped.

        The paper is turned as the picture is.
        """
        long, short = max(self.width, self.height), min(self.width, self.height)
        inches = (long, short) if width >= height else (short, long)
        dots = [side / CENTIMETRES_PER_INCH * self.dots_per_inch for side in inches]
        return min(dots[0] / width, dots[1] / height)


@dataclass(frozen=True)
class Enlarge(Operator):
    """Enlarge the picture by a factor or to a print size, and encode it in the source's format.

    A network enlarges the parts where resampling would lose detail; the rest is resampled. The
    result keeps the source's mode, depth, alpha and metadata. A picture that is already large
    enough for the paper is delivered `untouched`; an enlarged one is `edited`. The row's
    `metadata` holds the factor, the measured noise and the network's share of the picture.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256")
    adds: ClassVar[tuple[str, ...]] = ("width", "height", "mode", "metadata", "encoded", "notes", "verdict", "reasons")
    scale: float = 4.0
    """The factor; not used if there is a `paper`."""
    paper: Print | None = None
    """The print size, instead of a factor."""
    routing: Routing = Routing()
    """Which upscaler enlarges, and which parts go to it."""
    limits: Limits = Limits()
    most_pixels: int = 400_000_000
    """Largest result in pixels; a source whose result would be larger is delivered unedited."""
    signing: Signing | None = None
    """The key and the certificates that sign enlarged files; None for no signature."""
    to_format: str | None = None
    """The format of enlarged files, a key of TARGETS; None for that of each source."""

    def __post_init__(self) -> None:
        check_target(self.to_format)

    def open(self) -> None:
        """Load the upscaler for a fixed scale.

        Missing or changed weights then end the run instead of failing every image.
        """
        if self.paper is None:
            find_upscaler(self.routing.model, self.scale).opened()

    def check(self) -> None:
        """Raise RunError c2pa_unavailable or c2pa_invalid if files cannot be signed."""
        if self.signing is not None:
            self.signing.credentials(store.read)

    def settings(self) -> JsonObject:
        """The fields without the place of the key, and the identity of the weights that enlarge."""
        signing = self.signing and self.signing.certificates
        return {**super().settings(), "signing": signing, "upscaler": self._upscaler_identity()}

    def models(self) -> list[ModelRecord]:
        """The upscaler."""
        return [self._upscaler_identity()]

    def apply(self, batch: pa.Table) -> pa.Table:
        """Enlarge the pictures of one batch."""
        return derive(map_rows(batch, self.name, self.adds, self._enlarge), self.name, ("verdict", "reasons"), _decide_verdict)

    def _upscaler_identity(self) -> ModelRecord:
        return find_upscaler(self.routing.model, math.inf if self.paper else self.scale).identity()

    def _enlarge(self, row: Row) -> Additions:
        data = row.data("bytes")
        if data is None:
            raise Failure("file_empty", "0 bytes")
        picture = FRAME_CACHE.decode(row["source_sha256"], data, self.limits)
        if picture.pages:
            raise Failure("animated" if picture.frames else "multi_page", f"{len(picture.frames or picture.pages)} pictures")
        width, height = picture.size
        known = {"width": width, "height": height, "mode": picture.mode}
        factor = self.scale if self.paper is None else self.paper.factor(width, height)
        if factor <= 1:
            return {**known, "metadata": [("factor", 1.0)], "encoded": None, "notes": None}
        source, base, conversion = Source(picture.format, bytes(data)), bytes(data), list[str]()
        if self.to_format is not None:
            picture, base, conversion = _converted(picture, base, self.to_format)
        _check_kind(picture, base)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        if size[0] * size[1] > self.most_pixels:
            raise Failure("pixels_over_limit", f"{size[0]} x {size[1]} pixels, limit {self.most_pixels}")
        enlargement = self._enlargement(picture, size)
        pixels = assemble(enlargement)
        dots = self.paper.dots_per_inch if self.paper else None
        try:
            encoded, notes = encode_enlarged(picture, pixels, base, dots)
            if self.signing is not None:
                credentials = self.signing.credentials(store.read)
                encoded, notes = with_signature(
                    picture.format, encoded, source.or_converted(picture.format, base), notes, credentials, "c2pa.resized"
                )
        except (OSError, TypeError, ValueError) as error:
            raise Failure("mode_unsupported", f"cannot be encoded: {error}") from error
        share = enlargement.network_pixels() / (enlargement.width * enlargement.height)
        figures = {"factor": factor, "noise": enlargement.noise, "network_share": share}
        return {**known, "metadata": list(figures.items()), "encoded": encoded, "notes": [*conversion, *notes]}

    def _enlargement(self, picture: Picture, size: tuple[int, int]) -> Enlargement:
        """The enlargement of the stored pixels to an upright size."""
        stored_size = size[::-1] if TURNS[picture.orientation][0] else size
        return Enlargement(_positive(picture), picture.space.model == "cmyk", stored_size, self.routing)


def _converted(picture: Picture, source: bytes, name: str) -> Converted:
    """The picture in another format, see `converted`. Raises Failure."""
    try:
        return converted(picture, source, name)
    except (OSError, TypeError, ValueError) as error:
        raise Failure("mode_unsupported", f"cannot be converted: {error}") from error


def _check_kind(picture: Picture, data: memoryview | bytes) -> None:
    """Raise Failure mode_unsupported if no larger picture of the same kind can be made."""
    if picture.format not in WRITERS:
        raise Failure(
            "mode_unsupported", f"{picture.format} files are not written at another size; --to-format png enlarges them"
        )
    if picture.mode not in MODES:
        raise Failure("mode_unsupported", f"{picture.format} in mode {picture.mode} cannot be enlarged")
    if picture.space.premultiplied:
        raise Failure("mode_unsupported", "colours multiplied by their alpha cannot be enlarged")
    if picture.format == "PNG" and picture.mode != "P" and "transparency" in pillow_header(data, "PNG").source.info:
        raise Failure("mode_unsupported", "one colour means transparent, and new pixels could have that colour by chance")


def _positive(picture: Picture) -> Samples:
    """The stored samples with 0 as black, as `enlarged_file` writes them.

    Grey samples that count from white to black are inverted.
    """
    if not picture.space.inverted:
        return picture.stored
    result = picture.stored.copy()
    result[:, :, : picture.space.colours] = picture.space.peak - result[:, :, : picture.space.colours]
    return result


def assemble(enlargement: Enlargement) -> Any:
    """The whole enlarged picture in the source's sample type, assembled tile by tile."""
    pixels: Any = None
    for left, top, tile in enlargement.tiles():
        if pixels is None:
            pixels = np.empty((enlargement.size[1], enlargement.size[0], tile.shape[2]), tile.dtype)
        pixels[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return pixels


def _decide_verdict(row: Row) -> Additions:
    """The verdict on one row; the code of its failure is the only reason there can be."""
    failure = row["failure"]
    if failure is not None:
        return {"verdict": CODES[failure["code"]].verdict, "reasons": [failure["code"]]}
    return {"verdict": "untouched" if row.data("encoded") is None else "edited", "reasons": []}
