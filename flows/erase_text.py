"""Erase text: the one-click flow, and the same ladder for masks that the user gives."""

from __future__ import annotations

from flows.flow import Flow
from flows.ladder import Fills, ladder
from operators.compose import Compose
from operators.describe import Describe
from operators.detect import Detect
from operators.fetch import Fetch
from operators.given_masks import GivenMasks
from operators.pictures.codec import Limits
from operators.soften import Soften


def erase_text(fills: Fills = Fills(), limits: Limits = Limits()) -> Flow:
    """Find text and regenerate what was behind it."""
    return Flow(
        (
            Fetch(limits),
            Detect(limits=limits),
            Soften(limits=limits),
            Describe(limits=limits),
            *ladder(fills),
            Compose(limits),
        )
    )


def inpaint_masks(masks: str, fills: Fills = Fills(), limits: Limits = Limits()) -> Flow:
    """Regenerate what each image's mask covers; `masks` is a folder or URL with a mask of the
    same relative path.
    """
    return Flow(
        (
            Fetch(limits),
            GivenMasks(masks, limits),
            Soften(limits=limits),
            Describe(limits=limits),
            *ladder(fills),
            Compose(limits),
        )
    )
