"""What a fill is meant to be, in words of no model in particular, and how each model is told.

An intent follows from what `describe` saw and from the user's own words. A card's template
renders it; another model renders the same intent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from operators.models.card import ModelCard

CONTINUED = "the same surface continued"


@dataclass(frozen=True)
class Trait:
    """Words for a surface one of whose figures in `metadata` lies in [`least`, `most`)."""

    figure: str
    least: float
    most: float
    words: str


ANY = float("inf")
TRAITS = (
    Trait("textured", 0.0, 0.2, "flat"),
    Trait("textured", 0.6, ANY, "textured"),
    Trait("brightness", 0.0, 64.0, "dark"),
    Trait("brightness", 192.0, ANY, "bright"),
    Trait("noise", 6.0, ANY, "grainy"),
    Trait("blur", 0.6, ANY, "out of focus"),
    Trait("straight_edges", 1.0, ANY, "straight edges carried on"),
)
"""What of a region's figures a prompt can say; the figures' units are those of `describe`."""


def describe_surface(figures: Mapping[str, float], wish: str = "") -> str:
    """The intent for a region: that its surface goes on, the traits that `figures` show, then the
    user's own `wish`.

    `figures` may be empty, and names that are missing say nothing; neither do any where nothing
    was seen.
    """
    known = figures if figures.get("seen", 1) else {}
    traits = [trait.words for trait in TRAITS if trait.figure in known and trait.least <= known[trait.figure] < trait.most]
    return ", ".join(part for part in (CONTINUED, *traits, wish.strip()) if part)


def render_prompt(intent: str, card: ModelCard) -> str:
    """The intent in the card's template; braces in the intent stay as they are."""
    return card.prompt.replace("{intent}", intent)


def prompt_sha256(prompt: str, card: ModelCard) -> str:
    """SHA-256 (hexadecimal) of all the words that a model is given: the rendered prompt and the
    card's negative one.
    """
    return hashlib.sha256(f"{prompt}\0{card.negative_prompt}".encode()).hexdigest()
