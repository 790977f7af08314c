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

from operators.compose import edit_of
from operators.detect import Detect
from operators.generators.classical import CLASSICAL
from operators.masks.mask import hole_of
from operators.pictures.codec import Limits, decode, decode_reduced, encode
from operators.pictures.colour import Space
from operators.pictures.picture import Edit, Picture
from operators.pictures.read_back import check_written
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.regions import ACCEPTED, ERASED, KEPT, OPEN, REFUSED
from operators.rows.timing import row_timing, timed
from operators.rows.transparency import Transparency
from operators.soften import Soften
from operators.storage import files as storage
from operators.verify import Verify, face_of, measure_region

DETECT, SOFTEN, VERIFY, LIMITS = Detect(), Soften(), Verify(), Limits()
FILL = "navier_stokes"
"""The fill of every contender, because other tools offer it as well."""
Region = dict[str, Any]
"""A REGION struct whose `fill` is the filled crop as an array, uint8 height x width x 3."""


@dataclass(frozen=True)
class RegionInMemory:
    """A region as `operators.verify` reads it, without a row."""

    record: Region

    def __getitem__(self, name: str) -> Any:
        """A child by name; None if it has not been filled."""
        return self.record.get(name)

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

    def transparency(self) -> Transparency | None:
        """The crop's alpha and ground; None if it is opaque."""
        crop, record = self.crop, self.record["transparency"]
        if record is None:
            return None
        alpha = np.frombuffer(record["alpha"], np.uint8).reshape(crop.height, crop.width)
        return Transparency(alpha, record["ground"])

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
    return decode_reduced(data, LIMITS, DETECT.view.factor) or decode(data, LIMITS)


def detect(picture: Picture) -> list[Region]:
    """The regions that hold text."""
    return DETECT.regions(picture)


def erase(picture: Picture, regions: Sequence[Region], verified: bool = True) -> list[Region]:
    """The regions with their masks, their fills and the states in which they end.

    A text is `kept`, `refused` or `erased`, as after `compose`. Only `verified` fills are judged.
    """
    softened = [{**region, "fill": None} for region in SOFTEN.soften(picture, regions)] if regions else []
    for region in softened:
        if region["state"] == OPEN:
            region["state"] = _fill(region, verified)
    return softened


def _fill(region: Region, verified: bool) -> str:
    """Fill one open region, and decide how it ends."""
    view: Any = RegionInMemory(region)
    hole = hole_of(view.array("mask", 4))
    if (hole == 0).any():
        with timed("model"):
            region["fill"] = CLASSICAL[FILL](np.ascontiguousarray(view.array("pixels", 3)), hole, 0)
    checks = VERIFY.check_fill(FILL, measure_region(view), face_of(view)) if verified else []
    if not all(check["passed"] for check in checks):
        return REFUSED
    region["state"] = ACCEPTED
    return ERASED if edit_of(view) is not None else KEPT


def edits_of(regions: Sequence[Region]) -> list[Edit]:
    """The edits of the regions that `erase` has erased."""
    views: list[Any] = [RegionInMemory({**region, "state": ACCEPTED}) for region in regions if region["state"] == ERASED]
    return [edit for view in views if (edit := edit_of(view)) is not None]


def encode_edited(picture: Picture, regions: Sequence[Region], data: bytes) -> bytes:
    """The file with its accepted fills pasted, read back; the source's bytes if there are none.

    Raises ValueError if the encoded file differs from the edit.
    """
    edits = edits_of(regions)
    if not edits:
        return data
    edited = picture.edited(edits)
    encoded = encode(edited, data)
    if difference := check_written(encoded, edited, data):
        raise ValueError(difference)
    return encoded


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
    """`edited`, `partly_edited`, `rolled_back` or `untouched`, as in the ledger."""
    states = {region["state"] for region in regions}
    if ERASED in states:
        return "partly_edited" if REFUSED in states else "edited"
    return "rolled_back" if REFUSED in states else "untouched"


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
