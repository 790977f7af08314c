"""Fills without weights: smooth continuation, and texture from the crop's own patches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from operators.generators.generator import Request
from operators.masks.continued_ground import continue_ground
from operators.masks.ground import Ground, ground_of_panel
from operators.masks.mask import hole_of
from operators.masks.panel import panel_under
from operators.rows.arrays import Pixels, Selection

Fill = Callable[[Pixels, Pixels, int], Pixels]
"""Takes a crop (uint8 sRGB height x width x 3), its hole (uint8 0 or 255, height x width) and a
seed; returns the filled crop.
"""

GROUND_NEAR = 24
"""Distance in pixels from the hole within which the ground is measured."""


def telea(pixels: Pixels, hole: Pixels, seed: int) -> Pixels:
    """Continue the border smoothly inwards by fast marching (Telea 2004, OpenCV's code).

    Ignores the seed. OpenCV's code is not exact where the picture is flat: values drift by up to
    four grey levels.
    """
    result: Pixels = cv2.inpaint(pixels, hole, 5, cv2.INPAINT_TELEA)
    return result


def navier_stokes(pixels: Pixels, hole: Pixels, seed: int) -> Pixels:
    """Continue isophotes as fluid flow (Bertalmio, Bertozzi and Sapiro 2001, OpenCV's code).

    Ignores the seed.
    """
    result: Pixels = cv2.inpaint(pixels, hole, 5, cv2.INPAINT_NS)
    return result


def patchmatch(pixels: Pixels, hole: Pixels, seed: int) -> Pixels:
    """Copy texture from similar patches of the crop (Barnes et al. 2009, `pypatchmatch`'s code)."""
    from patchmatch import inpaint, set_random_seed

    set_random_seed(seed % 2**32)
    # The library shrinks the crop with its hole, so letters left in it would tint the fill.
    result: Pixels = inpaint(navier_stokes(pixels, hole, seed), hole, patch_size=3)
    return result


def ground(pixels: Pixels, hole: Pixels, seed: int, panel: Selection | None = None) -> Pixels:
    """Continue the ground: its smooth level, its grain, and straight lines through it.

    See `operators.masks.ground`. Made for paper, panels, skies and blurred backgrounds. `panel` is
    the one that the edit lies on; nothing beyond it is filled then.
    """
    inside = (hole > 0) if panel is None else (hole > 0) & panel
    surface = ground_of_panel(pixels, inside, GROUND_NEAR, panel)
    if not np.isfinite(surface.noise):
        return navier_stokes(pixels, hole, seed)
    return continue_ground(_panel_alone(pixels, surface, panel), inside, surface, seed)


def hybrid(pixels: Pixels, hole: Pixels, seed: int, panel: Selection | None = None) -> Pixels:
    """Continue the ground where it is known, and copy texture by PatchMatch elsewhere.

    `panel` is the one that the edit lies on; nothing beyond it is filled then, unless texture is
    copied.
    """
    inside = (hole > 0) if panel is None else (hole > 0) & panel
    surface = ground_of_panel(pixels, inside, GROUND_NEAR, panel)
    known = inside & surface.known
    filled = pixels
    if known.any():
        continued = continue_ground(_panel_alone(pixels, surface, panel), inside, surface, seed)
        filled = np.where(known[:, :, None], continued, pixels)
    if np.array_equal(known, inside):
        return filled
    return patchmatch(filled, np.where((hole > 0) & ~known, 255, 0).astype(np.uint8), seed)


def _panel_alone(pixels: Pixels, surface: Ground, panel: Selection | None) -> Pixels:
    """The crop as if its panel went on beyond its edge, so that no line of the picture there is
    continued on it.
    """
    if panel is None:
        return pixels
    return np.where(panel[:, :, None], pixels, np.clip(np.rint(surface.level), 0, 255)).astype(np.uint8)


ON_PANELS = {"ground": ground, "hybrid": hybrid}
"""The fills that keep to the panel that an edit lies on."""
CLASSICAL: dict[str, Fill] = {
    **ON_PANELS,
    "telea": telea,
    "navier_stokes": navier_stokes,
    "patchmatch": patchmatch,
}
"""The fills by their aliases, as flows, ledgers and the command line name them."""


@dataclass(frozen=True)
class Classical:
    """One of CLASSICAL as a generator.

    It fills each crop at its own size and ignores prompts. Results repeat exactly on one machine.
    """

    name: str

    def shape(self, request: Request) -> Hashable:
        """None: requests of any size may share a call."""
        return None

    def microbatch(self, request: Request) -> int:
        """One: batching does not help."""
        return 1

    def fill(self, requests: Sequence[Request]) -> list[Pixels]:
        """Fill the hole of each crop."""
        return [self._fill(np.ascontiguousarray(request.pixels), request.mask, request.seed) for request in requests]

    def _fill(self, pixels: Pixels, mask: Pixels, seed: int) -> Pixels:
        if self.name in ON_PANELS:
            return ON_PANELS[self.name](pixels, hole_of(mask), seed, panel_under(pixels, mask))
        return CLASSICAL[self.name](pixels, hole_of(mask), seed)
