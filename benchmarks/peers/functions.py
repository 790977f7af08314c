"""The pure functions that every contender calls: one picture at a time, no rows, no engine.

They call the operators' functions. `decode_to_detect`, `detect`, `erase`, `encode_edited` and
`write` are the steps, which a contender may distribute as it likes; `clean` runs all of them, as
in a plain loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from operators.detect import Detect
from operators.generators.classical import CLASSICAL
from operators.masks.mask import BLEND, hole_of
from operators.pictures.codec import Limits, decode, decode_reduced, encode
from operators.pictures.colour import Space
from operators.pictures.picture import Edit, Picture
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.timing import row_timing, timed
from operators.soften import Soften
from operators.storage import files as storage
from operators.verify import Verify, measure_region

DETECT, SOFTEN, VERIFY, LIMITS = Detect(), Soften(), Verify(), Limits()
FILL = "navier_stokes"
Region = dict[str, Any]
"""A REGION struct whose `fill` is the filled crop as an array, uint8 height x width x 3."""


@dataclass(frozen=True)
class RegionInMemory:
    """A region as `operators.verify` reads it, without a row."""

    record: Region

    def __getitem__(self, name: str) -> Any:
        """A child by name."""
        return self.record[name]

    @property
    def crop(self) -> Box:
        """The region's context crop in upright source pixels."""
        return Box(**self.record["crop"])

    def polygons_on_crop(self) -> list[list[list[float]]]:
        """The region's polygons in pixels of the crop."""
        crop = self.crop
        return [[[x - crop.x, y - crop.y] for x, y in polygon] for polygon in self.record["polygons"]]

    def array(self, name: str, channels: int) -> Pixels:
        """`pixels` or `mask`, uint8 height x width x channels."""
        crop = self.crop
        return np.frombuffer(self.record[name], np.uint8).reshape(crop.height, crop.width, channels)

    def fill(self) -> Pixels | None:
        """The fill."""
        fill: Pixels | None = self.record["fill"]
        return fill


def open_models() -> None:
    """Load every model that the steps use."""
    for operator in (DETECT, SOFTEN, VERIFY):
        operator.open()


def decode_to_detect(data: bytes) -> Picture:
    """The picture as the detector needs it: a large JPEG at a reduced scale."""
    return decode_reduced(data, LIMITS, DETECT.scale.factor) or decode(data, LIMITS)


def detect(picture: Picture) -> list[Region]:
    """The regions that hold text."""
    return DETECT.regions(picture)


def erase(picture: Picture, regions: Sequence[Region], verified: bool = True) -> list[Region]:
    """The regions with their masks, their fills and, if `verified`, the verdicts on the fills."""
    factor = VERIFY.scale.factor(*picture.size)
    softened = [{**region, "fill": None} for region in SOFTEN.soften(picture, regions)] if regions else []
    for region in softened:
        view = RegionInMemory(region)
        pixels, hole = view.array("pixels", 3), hole_of(view.array("mask", 4))
        if not (hole == 0).any():
            continue
        with timed("model"):
            region["fill"] = CLASSICAL[FILL](np.ascontiguousarray(pixels), hole, 0)
        if verified:
            checks = VERIFY.check_fill(FILL, measure_region(view, factor))  # type: ignore[arg-type]
            region["state"] = "accepted" if all(check["passed"] for check in checks) else "open"
    return softened


def encode_edited(picture: Picture, regions: Sequence[Region], data: bytes) -> bytes:
    """The file with its accepted fills pasted; the source's bytes if there are none."""
    edits = []
    for region in regions:
        if region["state"] == "accepted":
            weight = RegionInMemory(region).array("mask", 4)[:, :, BLEND].astype(np.float32) / np.float32(255)
            edits.append(Edit(region["crop"]["x"], region["crop"]["y"], region["fill"], weight))
    return encode(picture.edited(edits), data) if edits else data


def picture_of_frame(frame: Pixels, data: bytes) -> Picture:
    """The picture of a file whose frame (uint8 RGB, height x width x 3) another decoder made."""
    format = "JPEG" if data[:2] == b"\xff\xd8" else "PNG"
    return Picture(format, "RGB", frame, Space("rgb"), 1, (frame.shape[1], frame.shape[0]))


def read(path: str) -> bytes:
    """A file's bytes."""
    with timed("io"):
        return storage.read(path)


def write(dest: str, path: str, data: bytes) -> None:
    """Write the file atomically under its name in DEST."""
    with timed("io"):
        storage.write(storage.join(dest, "images", Path(path).name), data)


def verdict_of(regions: Sequence[Region]) -> str:
    """`edited`, `rolled_back` or `untouched`, as in the ledger."""
    if not regions:
        return "untouched"
    return "edited" if any(region["state"] == "accepted" for region in regions) else "rolled_back"


def clean(path: str, dest: str) -> dict[str, Any]:
    """Clean one picture into DEST; return the verdict and the milliseconds spent."""
    with timed_steps() as timing:
        data = read(path)
        picture = decode_to_detect(data)
        regions = detect(picture)
        if regions:
            picture = picture if picture.stored.shape[1::-1] == picture.size else decode(data, LIMITS)
            regions = erase(picture, regions)
        write(dest, path, encode_edited(picture, regions, data))
    return {"verdict": verdict_of(regions), "timing": timing}


@contextmanager
def timed_steps() -> Iterator[dict[str, Any]]:
    """Milliseconds of the enclosed steps: in total, in models, in codecs and in storage."""
    with row_timing("steps") as timing:
        yield timing
