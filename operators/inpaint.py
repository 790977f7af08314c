"""`inpaint`: what was behind?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.clock import spent_in
from operators.mask import BLEND, CORE
from operators.operator import Operator
from operators.table import Additions, Pixels, Region, Row, map_rows, packed_fill

Fill = Callable[[Pixels, Pixels, int], Pixels]
"""A rung: crop (uint8 sRGB height x width x 3), hole (0 or 255 height x width) and seed to the filled crop."""


def telea(pixels: Pixels, hole: Pixels, seed: int) -> Pixels:
    """Fast marching: smooth continuation from the border inwards (Telea 2004, OpenCV's code). Ignores the seed.

    OpenCV's code is not exact where the picture is flat: values drift by up to four grey levels.
    """
    result: Pixels = cv2.inpaint(pixels, hole, 5, cv2.INPAINT_TELEA)
    return result


def navier_stokes(pixels: Pixels, hole: Pixels, seed: int) -> Pixels:
    """Isophotes continued as fluid flow (Bertalmio, Bertozzi and Sapiro 2001, OpenCV's code). Ignores the seed."""
    result: Pixels = cv2.inpaint(pixels, hole, 5, cv2.INPAINT_NS)
    return result


def patchmatch(pixels: Pixels, hole: Pixels, seed: int) -> Pixels:
    """Texture from similar patches of the crop (Barnes et al. 2009, code of the `pypatchmatch` package)."""
    from patchmatch import inpaint, set_random_seed

    set_random_seed(seed % 2**32)
    result: Pixels = inpaint(pixels, hole, patch_size=3)
    return result


RUNGS: dict[str, Fill] = {"telea": telea, "navier_stokes": navier_stokes, "patchmatch": patchmatch}
"""The fills by the names they have in flows, ledgers and on the command line."""


def hole_of(mask: Pixels) -> Pixels:
    """The pixels that a fill must invent (0 or 255): every stroke in the crop, and whatever the paste-back will weigh."""
    return np.where((mask[:, :, CORE] > 0) | (mask[:, :, BLEND] > 0), 255, 0).astype(np.uint8)


def seed_of(run_seed: int, source_sha256: str, box: dict[str, int], rung: str, number: int) -> int:
    """A region's own seed (63 bits): the same whatever its neighbours, its batch, its worker or the run's order."""
    text = f"{run_seed}|{source_sha256}|{box['x']},{box['y']},{box['width']},{box['height']}|{rung}|{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Inpaint(Operator):
    """Fill the regions that are still open by one rung of the ladder; the others pass at no cost."""

    reads: ClassVar[tuple[str, ...]] = (
        "source_sha256",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.state",
        "regions.passes",
    )
    adds: ClassVar[tuple[str, ...]] = ("regions.fill", "regions.rung", "regions.seed", "regions.passes")
    rung: str = "telea"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rung not in RUNGS:
            raise ValueError(f"no rung {self.rung!r}; there are {', '.join(RUNGS)}")

    @property
    def name(self) -> str:
        """`inpaint_` and the rung."""
        return f"inpaint_{self.rung}"

    def apply(self, batch: pa.Table) -> pa.Table:
        """Fill the open regions of one batch."""
        return map_rows(batch, self.name, self.adds, self._fill)

    def _fill(self, row: Row) -> Additions | None:
        regions = row.regions
        if all(region["state"] != "open" for region in regions):
            return None
        filled = [self._attempt(row["source_sha256"], region) for region in regions]
        return {f"regions.{name}": [values[name] for values in filled] for name in ("fill", "rung", "seed", "passes")}

    def _attempt(self, source_sha256: str, region: Region) -> dict[str, Any]:
        if region["state"] != "open":
            return {name: region[name] for name in ("fill", "rung", "seed", "passes")}
        number = (region["passes"] or 0) + 1
        seed = seed_of(self.seed, source_sha256, region["crop"], self.rung, number)
        pixels, hole = region.array("pixels", 3), hole_of(region.array("mask", 4))
        fill: Pixels | None = None
        if (hole == 0).any():
            with spent_in("model"):
                fill = RUNGS[self.rung](np.ascontiguousarray(pixels), hole, seed)
        return {"fill": None if fill is None else packed_fill(fill), "rung": self.rung, "seed": seed, "passes": number}


def pasted(pixels: Pixels, fill: Pixels, blend: Pixels) -> Pixels:
    """The crop with its fill laid over it by `blend` (0..255), rounded to the nearest grey level."""
    weight: npt.NDArray[np.float32] = blend.astype(np.float32)[:, :, None] / np.float32(255)
    return np.rint(pixels * (1 - weight) + fill * weight).astype(np.uint8)
