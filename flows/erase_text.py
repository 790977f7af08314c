"""The flows that erase: text that the detector finds, or areas that the user's masks cover."""

from __future__ import annotations

from dataclasses import replace

from flows.choose import Choice
from flows.flow import Flow
from flows.ladder import BEST, Fills, ladder, second_look
from operators.compose import Compose
from operators.describe import Describe
from operators.fetch import Fetch
from operators.given_masks import GivenMasks
from operators.look_again import LookAgain
from operators.pictures.codec import Limits
from operators.soften import Soften


def erase_text(fills: Fills = Fills(), limits: Limits = Limits(), detector: str = "", choice: Choice = Choice()) -> Flow:
    """Detect text and fill in the background behind it, then look for what is left.

    `detector` is the path or URL of a text detector; the packaged one if it is empty. `choice`
    says which texts go.
    """
    selecting = choice.operators(limits)
    return Flow(
        (
            Fetch(limits),
            choice.detect(limits, detector),
            *selecting,
            Soften(limits=limits),
            Describe(limits=limits),
            *ladder(fills),
            LookAgain(limits=limits, detector=detector),
            *selecting,
            Soften(limits=limits),
            Describe(limits=limits),
            *ladder(replace(fills, rungs=second_look(fills.rungs))),
            Compose(limits),
        )
    )


def inpaint_masks(masks: str, fills: Fills = Fills(), limits: Limits = Limits(), mask_name: str | None = None) -> Flow:
    """Fill in the area that each image's mask covers.

    `masks` is a folder or URL that holds each mask under the relative path of its image, or under
    the `mask_name`; see `GivenMasks`. Unless `fills.accept` says otherwise, every mask gets the
    best of its fills, because the user has decided what is to go.
    """
    fills = replace(fills, accept=fills.accept or BEST)
    return Flow(
        (
            Fetch(limits),
            GivenMasks(masks, limits, mask_name),
            Soften(limits=limits),
            Describe(limits=limits),
            *ladder(fills),
            Compose(limits),
        )
    )
