"""The flows that erase: text that the detector finds, or areas that the user's masks cover."""

from __future__ import annotations

from dataclasses import replace

from flows.choose import Choice
from flows.flow import Flow
from flows.ladder import BEST, Fills, check_prompt, ladder, second_look
from operators.compose import Compose
from operators.cover import Cover
from operators.describe import Describe
from operators.fetch import Fetch
from operators.given_masks import GivenMasks
from operators.look_again import LookAgain
from operators.operator import Operator
from operators.pictures.codec import Limits
from operators.pictures.previews.sweep import REDRAW
from operators.pictures.provenance import Signing
from operators.see_through import SeeThrough
from operators.soften import Soften


def erase_text(
    fills: Fills = Fills(), limits: Limits = Limits(), detector: str = "", choice: Choice = Choice(), marks: str = ""
) -> Flow:
    """Detect text and fill in the background behind it, then look for what is left.

    The overlay of a known mark is taken off before anything is filled. With `fills.see_through`,
    so are translucent texts.

    `detector` is the path or URL of a text detector; the packaged one if it is empty. `choice`
    says which texts go. `marks` is a picture of a known mark, or a folder of them, which go too.
    """
    check_prompt(fills)
    below = (SeeThrough(fills.seed, fills.see_through),) if marks or fills.see_through else ()
    look_again: tuple[Operator, ...] = (
        LookAgain(limits=limits, detector=detector),
        *choice.select(limits),
        Soften(limits=limits),
        Describe(limits=limits),
        *below,
        *ladder(replace(fills, rungs=second_look(fills.rungs))),
    )
    return Flow(
        (
            Fetch(limits),
            *choice.find(limits, detector, marks),
            Soften(limits=limits),
            Describe(limits=limits),
            *below,
            *ladder(fills),
            *(look_again if choice.detects else ()),
            Compose(limits),
        )
    )


def cover_text(
    how: str, seed: int = 0, limits: Limits = Limits(), detector: str = "", choice: Choice = Choice(), marks: str = ""
) -> Flow:
    """Detect text and hide it for good; see `Cover`. Then look for what is left, and hide it too.

    `how` is a key of `operators.generators.covers.COVERS`. `marks` is as in `erase_text`. Raises
    RunError option_invalid.
    """
    hiding = (Soften(limits=limits), Cover(how, seed))
    look_again: tuple[Operator, ...] = (LookAgain(limits=limits, detector=detector), *choice.select(limits), *hiding)
    again = look_again if choice.detects else ()
    return Flow((Fetch(limits), *choice.find(limits, detector, marks), *hiding, *again, Compose(limits)))


def cover_masks(masks: str, how: str, seed: int = 0, limits: Limits = Limits(), mask_name: str | None = None) -> Flow:
    """Hide the area that each image's mask covers for good; see `Cover`."""
    given = GivenMasks(masks, limits, mask_name)
    return Flow((Fetch(limits), given, Soften(limits=limits), Cover(how, seed), Compose(limits)))


def delivered(flow: Flow, previews: str = REDRAW, signing: Signing | None = None, to_format: str | None = None) -> Flow:
    """The flow whose edited files have these second pictures, signatures and format; see `Compose`.

    Raises RunError option_invalid for an unknown policy or format.
    """
    return Flow(
        tuple(
            replace(operator, previews=previews, signing=signing, to_format=to_format)
            if isinstance(operator, Compose)
            else operator
            for operator in flow.operators
        )
    )


def inpaint_masks(masks: str, fills: Fills = Fills(), limits: Limits = Limits(), mask_name: str | None = None) -> Flow:
    """Fill in the area that each image's mask covers.

    `masks` is a folder or URL that holds each mask under the relative path of its image, or under
    the `mask_name`; see `GivenMasks`. Unless `fills.accept` says otherwise, every mask gets the
    best of its fills, because the user has decided what is to go.
    """
    fills = replace(fills, accept=fills.accept or BEST)
    check_prompt(fills)
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
