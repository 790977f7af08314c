"""Erase text: the one-click flow, and the same ladder for masks that the user gives."""

from __future__ import annotations

from collections.abc import Sequence

from flows.flow import Flow
from operators.compose import Compose
from operators.detect import Detect
from operators.fetch import Fetch
from operators.given_masks import GivenMasks
from operators.image import Limits
from operators.inpaint import Inpaint
from operators.operator import Operator
from operators.soften import Soften
from operators.upscale import Upscale
from operators.verify import Verify

PRESETS: dict[str, tuple[str, ...]] = {
    "fast": ("navier_stokes",),
    "balanced": ("navier_stokes", "patchmatch"),
    "quality": ("patchmatch", "navier_stokes"),
}
"""The ladder of each preset: its rungs from the first that is tried to the last.

Navier-Stokes and not fast marching is the cheap rung: OpenCV's Telea drifts by up to four grey levels on a flat picture."""


def ladder(rungs: Sequence[str], seed: int) -> list[Operator]:
    """Each rung fills what is still open; small fills get their size and detail; all are verified before the next rung."""
    return [operator for rung in rungs for operator in (Inpaint(rung, seed), Upscale(), Verify())]


def erase_text(rungs: Sequence[str] = PRESETS["balanced"], seed: int = 0, limits: Limits = Limits()) -> Flow:
    """Find text and regenerate what was behind it."""
    return Flow(
        (
            Fetch(limits),
            Detect(limits=limits),
            Soften(limits=limits),
            *ladder(rungs, seed),
            Compose(limits),
        )
    )


def inpaint_masks(masks: str, rungs: Sequence[str] = PRESETS["balanced"], seed: int = 0, limits: Limits = Limits()) -> Flow:
    """Regenerate what each image's mask covers; `masks` is a folder or URL with a mask of the same relative path."""
    return Flow(
        (
            Fetch(limits),
            GivenMasks(masks, limits),
            Soften(limits=limits),
            *ladder(rungs, seed),
            Compose(limits),
        )
    )
