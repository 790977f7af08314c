"""Which kind of rung should try a place first? Read from its `metadata`, before anything is
filled.

One figure and one threshold, which are data: `python -m benchmarks.routing --keep` learns them on
a suite whose truth is known and writes them to `operators/decisions/routing.json`.
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
CLASSICAL: Kind = "classical"
GENERATIVE: Kind = "generative"
REFINED = "refined"
"""The route of regions whose mask was grown after a fill, see `operators.refine`."""


@dataclass(frozen=True)
class Rule:
    """Places where `figure` (a name of `surface.FIGURES`) is above `threshold` go to a generative
    rung first.
    """

    figure: str
    threshold: float

    def __call__(self, metadata: Mapping[str, float]) -> Kind:
        """The kind of rung; generative where the figure is missing, because the better fill is
        the safer guess.
        """
        return "generative" if metadata.get(self.figure, float("inf")) > self.threshold else "classical"


@cache
def rule() -> Rule:
    """The rule that was learnt."""
    content = json.loads(PATH.read_text())
    return Rule(content["figure"], content["threshold"])


def route(metadata: Mapping[str, float]) -> Kind:
    """Flat and easy places to a classical rung, textured ones to a generative one, as the learnt
    rule says.
    """
    return rule()(metadata)
