"""A generator of your own in place of the shipped fills.

cleanplate run examples/own_generator.py:mean_fill photos/ cleaned/

`GeneratorContract` states what the pipeline expects of a generator; `TestMeanColour` inherits its
tests: python -m pytest examples/own_generator.py
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cleanplate import Flow, Generator, Request
from operators.compose import Compose
from operators.describe import Describe
from operators.detect import Detect
from operators.fetch import Fetch
from operators.generators.contract import GeneratorContract
from operators.inpaint import Inpaint
from operators.masks.mask import hole_of
from operators.models.card import ModelCard
from operators.rows.arrays import Pixels
from operators.soften import Soften
from operators.verify import Verify


class MeanColour:
    """Fills a hole with the mean colour of its surroundings."""

    def shape(self, request: Request) -> Hashable:
        """One request fits any other, because no tensor is made."""
        return ()

    def microbatch(self, request: Request) -> int:
        """One request a call."""
        return 1

    def fill(self, requests: Sequence[Request]) -> list[Pixels]:
        """The crops with their holes in one colour."""
        return [self._fill(request) for request in requests]

    def _fill(self, request: Request) -> Pixels:
        hole = hole_of(request.mask) > 0
        around = request.pixels[~hole]
        result = request.pixels.copy()
        result[hole] = np.rint(around.mean(axis=0)) if len(around) else 128
        return result


@dataclass(frozen=True)
class FillWithMean(Inpaint):
    """The rung of the ladder that asks this generator."""

    rung: str = "mean_colour"
    card: ModelCard | None = field(default=ModelCard(alias="mean_colour", family="classical", licence="Apache-2.0"))

    def check(self) -> None:
        """Nothing can be missing."""

    def load_generator(self) -> Generator:
        """The generator, which holds nothing and so costs nothing to make."""
        return MeanColour()


mean_fill = Flow((Fetch(), Detect(), Soften(), Describe(), FillWithMean(), Verify(), Compose()))


class TestMeanColour(GeneratorContract):
    """The contract's tests on this generator."""

    def generator(self) -> Generator:
        """The generator under test."""
        return MeanColour()
