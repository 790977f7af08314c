"""A text, and whether it is text that may be erased; texts that are seen more than once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from operators.masks.geometry import covers
from operators.rows.arrays import Pixels
from operators.vision.close_look import FoundText
from operators.vision.find_texts import SAME, without_repeats
from operators.vision.text_confirmation import TOO_MUCH, Confirmation, Verdict


class Seen(NamedTuple):
    """A text, and whether it is text that may be erased."""

    text: FoundText
    verdict: Verdict


def judged(confirmation: Confirmation, rgb: Pixels, texts: Sequence[FoundText], width: int, height: int) -> list[Seen]:
    """The texts of a width x height picture with their verdicts.

    `rgb` is that picture, perhaps reduced.
    Where a text is not confirmed, the smaller ones that it covers are judged in its place, as in
    doubt.
    """
    while True:
        seen = [Seen(*pair) for pair in zip(texts, confirmation.verdicts(rgb, texts, width, height), strict=True)]
        replaced = [one.text for one in seen if one.text.covered and one.verdict.reason not in (None, TOO_MUCH)]
        if not replaced:
            return seen
        rest = [text for text in texts if not any(text is other for other in replaced)]
        smaller = {id(text): replace(text, in_doubt=True) for other in replaced for text in other.covered}
        texts = without_repeats([*rest, *smaller.values()])


def joined(known: list[Seen], new: list[Seen]) -> list[Seen]:
    """Texts seen on one ground, and those that only another ground shows or confirms."""
    for one in new:
        same = [
            other
            for other in known
            if covers(other.text.polygon, one.text.polygon, SAME) or covers(one.text.polygon, other.text.polygon, SAME)
        ]
        if not same:
            known = [*known, one]
        elif one.verdict.confirmed and not any(other.verdict.confirmed for other in same):
            known = [*(other for other in known if not any(other is twin for twin in same)), one]
    return known
