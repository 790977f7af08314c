"""Which kind of rung fills a region first, decided from its `metadata` before any fill.

The rule is one figure and one threshold. Both are data: `python -m benchmarks.routing --keep`
learns them on a suite whose truth is known and writes them to `operators/decisions/routing.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

PATH = Path(__file__).parent / "routing.json"
Kind = Literal["classical", "generative"]
"""The route of a region, as the kind of rung that fills it first."""
CLASSICAL: Kind = "classical"
GENERATIVE: Kind = "generative"
REFINED = "refined"
"""The route of regions whose mask has grown after a fill; see `operators.refine`."""


@dataclass(frozen=True)
class Rule:
    """Regions whose `figure` is above `threshold` go to a generative rung first."""

    figure: str
    """A name in `surface.FIGURES`."""
    threshold: float

    def __call__(self, metadata: Mapping[str, float]) -> Kind:
        """The kind of rung for a region with these figures.

        It is generative if the figure is missing, because the better fill is the safer guess.
        """
        return GENERATIVE if metadata.get(self.figure, float("inf")) > self.threshold else CLASSICAL


@cache
def rule() -> Rule:
    """The learnt rule, read from routing.json once per process."""
    content = json.loads(PATH.read_text())
    return Rule(content["figure"], content["threshold"])


def route(metadata: Mapping[str, float]) -> Kind:
    """The learnt rule's kind of rung: classical for flat regions, generative for textured ones."""
    return rule()(metadata)
