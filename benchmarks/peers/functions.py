"""The pure functions that every contender calls: one picture at a time, no rows, no engine.

They are the operators' own. `looked_at`, `detected`, `erased`, `encoded` and `written` are the
steps between which a contender may put whatever it likes; `cleaned` is all of them in a row, as
one calls them in a loop.
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
from operators.rows.timing import row_timing, timed
from operators.soften import Soften
from operators.storage import files as storage
from operators.verify import Verify, measured_region

DETECT, SOFTEN, VERIFY, LIMITS = Detect(), Soften(), Verify(), Limits()
FILL = "navier_stokes"
Region = dict[str, Any]
"""A REGION struct; `fill` is the filled crop itself, uint8 height x width x 3."""


@dataclass(frozen=True)
class Held:
    """A region in memory, read as `operators.verify` reads one of a row."""

    record: Region

    def __getitem__(self, name: str) -> Any:
        """A child by its name."""
        return self.record[name]

    def array(self, name: str, channels: int) -> Pixels:
        """`pixels` or `mask`, uint8 height x width x channels."""
        crop = self.record["crop"]
        return np.frombuffer(self.record[name], np.uint8).reshape(crop["height"], crop["width"], channels)

    def fill(self) -> Pixels | None:
        """The fill."""
        fill: Pixels | None = self.record["fill"]
        return fill


def opened_models() -> None:
    """Load every model that the steps use."""
    for operator in (DETECT, SOFTEN, VERIFY):
        operator.open()


def looked_at(data: bytes) -> Picture:
    """The picture as the detector needs it: a large JPEG at a reduced scale."""
    return decode_reduced(data, LIMITS, DETECT.scale.factor) or decode(data, LIMITS)


def detected(picture: Picture) -> list[Region]:
    """Where the text is."""
    return DETECT.regions(picture)


def erased(picture: Picture, regions: Sequence[Region], verified: bool = True) -> list[Region]:
    """The regions with their masks, their fills and, unless told otherwise, the verdicts on them."""
    factor = VERIFY.scale.factor(*picture.size)
    softened = [{**region, "fill": None} for region in SOFTEN.soften(picture, regions)] if regions else []
    for region in softened:
        held = Held(region)
        pixels, hole = held.array("pixels", 3), hole_of(held.array("mask", 4))
        if not (hole == 0).any():
            continue
        with timed("model"):
            region["fill"] = CLASSICAL[FILL](np.ascontiguousarray(pixels), hole, 0)
        if verified:
            checks = VERIFY.check_fill(FILL, measured_region(held, factor))  # type: ignore[arg-type]
            region["state"] = "accepted" if all(check["passed"] for check in checks) else "open"
    return softened


def encoded(picture: Picture, regions: Sequence[Region], data: bytes) -> bytes:
    """The file with its accepted fills in place; the source's own bytes where there are none."""
    edits = []
    for region in regions:
        if region["state"] == "accepted":
            weight = Held(region).array("mask", 4)[:, :, BLEND].astype(np.float32) / np.float32(255)
            edits.append(Edit(region["crop"]["x"], region["crop"]["y"], region["fill"], weight))
    return encode(picture.edited(edits), data) if edits else data


def framed(frame: Pixels, data: bytes) -> Picture:
    """The picture of a file from a frame (uint8 RGB, height x width x 3) that another decoder
    made of it.
    """
    format = "JPEG" if data[:2] == b"\xff\xd8" else "PNG"
    return Picture(format, "RGB", frame, Space("rgb"), 1, (frame.shape[1], frame.shape[0]))


def read(path: str) -> bytes:
    """A file's bytes."""
    with timed("io"):
        return storage.read(path)


def written(dest: str, path: str, data: bytes) -> None:
    """The file under its own name in DEST, at once or not at all."""
    with timed("io"):
        storage.write(storage.joined(dest, "images", Path(path).name), data)


def verdict_of(regions: Sequence[Region]) -> str:
    """`edited`, `rolled_back` or `untouched`, as the ledger would say."""
    if not regions:
        return "untouched"
    return "edited" if any(region["state"] == "accepted" for region in regions) else "rolled_back"


def cleaned(path: str, dest: str) -> dict[str, Any]:
    """One picture from its path to its place in DEST; the verdict and the milliseconds spent on
    it.
    """
    with timed_steps() as timing:
        data = read(path)
        picture = looked_at(data)
        regions = detected(picture)
        if regions:
            picture = picture if picture.stored.shape[1::-1] == picture.size else decode(data, LIMITS)
            regions = erased(picture, regions)
        written(dest, path, encoded(picture, regions, data))
    return {"verdict": verdict_of(regions), "timing": timing}


@contextmanager
def timed_steps() -> Iterator[dict[str, Any]]:
    """The milliseconds of the enclosed steps: in all, in models, in codecs and in storage."""
    with row_timing("steps") as timing:
        yield timing
