"""Intents and prompts: what a fill should show, and how each model is asked for it.

An intent follows from the figures that `describe` measured and from the user's own words, and
fits no model in particular. Each card's template renders it into that model's prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from operators.models.card import ModelCard

CONTINUED = "the same surface continued"


@dataclass(frozen=True)
class Trait:
    """Words for a surface whose `figure` in `metadata` lies in [`least`, `most`)."""

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
"""The figures that a prompt can express; `operators.metrics.surface.FIGURES` has their units."""


def describe_surface(figures: Mapping[str, float], prompt: str = "") -> str:
    """The intent for a region: CONTINUED, the traits that `figures` show, then the user's words.

    `figures` may be empty; missing names add nothing. If `seen` is 0 no figure adds anything,
    because no pixel was measured.
    """
    known = figures if figures.get("seen", 1) else {}
    traits = [trait.words for trait in TRAITS if trait.figure in known and trait.least <= known[trait.figure] < trait.most]
    return ", ".join(part for part in (CONTINUED, *traits, prompt.strip()) if part)


def render_prompt(intent: str, card: ModelCard) -> str:
    """The intent in the card's template; braces in the intent stay as they are."""
    return card.prompt.replace("{intent}", intent)


def prompt_sha256(prompt: str, card: ModelCard) -> str:
    """SHA-256 (hexadecimal) of all words that a model gets: its prompt and its negative prompt."""
    return hashlib.sha256(f"{prompt}\0{card.negative_prompt}".encode()).hexdigest()
