"""A text, and whether it is text that may be erased; texts that are seen more than once."""

from __future__ import annotations

from typing import NamedTuple

from operators.masks.geometry import covers
from operators.vision.close_look import FoundText
from operators.vision.find_texts import SAME
from operators.vision.text_confirmation import Verdict


class Seen(NamedTuple):
    """A text, and whether it is text that may be erased."""

    text: FoundText
    verdict: Verdict


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
