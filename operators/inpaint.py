"""`inpaint`: what was behind?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from operators.decisions.budget import Budget
from operators.generators.catalogue import check_model, generator_of
from operators.generators.generator import Generator, Request
from operators.generators.harmonise import harmonised
from operators.generators.microbatch import Filled, fill_all
from operators.generators.prompt import describe_surface, prompt_sha256, render_prompt
from operators.masks.mask import hole_of
from operators.models.card import ModelCard
from operators.models.registry import fetch_weights, identity, resolve
from operators.operator import Operator
from operators.rows.records import (
    JsonObject,
    ModelRecord,
)
from operators.rows.table import Additions, Region, Row, fill_record, map_rows, row_views
from operators.rows.timing import add_time

ADDED = ("fill", "rung", "seed", "passes", "prompt", "prompt_sha256", "repeatable", "checks")

Outcome = Filled | Exception | None
"""A region's fill, what went wrong, or None where the crop is all hole and nothing can be
continued.
"""


def seed_of(run_seed: int, source_sha256: str, box: dict[str, int], rung: str, number: int) -> int:
    """A region's own seed (63 bits): the same whatever its neighbours, its batch, its worker or
    the run's order.
    """
    text = f"{run_seed}|{source_sha256}|{box['x']},{box['y']},{box['width']},{box['height']}|{rung}|{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Inpaint(Operator):
    """Fill the regions that are still open by one rung of the ladder; the others pass at no cost.

    The regions of all rows of a batch share microbatches. Neither that nor their order changes a
    byte; what cannot keep this promise (a microbatch halved for want of memory) says `repeatable
    = false`.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "source_sha256",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.checks",
        "regions.state",
        "regions.passes",
    )
    adds: ClassVar[tuple[str, ...]] = tuple(f"regions.{name}" for name in ADDED)
    rung: str = "telea"
    """What names the model: an alias, `alias@revision`, a folder in diffusers' format or a URL;
    see `registry.resolve`.
    """
    seed: int = 0
    prompt: str = ""
    """The user's own words, added to every region's intent."""
    card: ModelCard | None = None
    """The model; follows from `rung`. Given, it holds the checksums that every machine must find.
    """
    takes: tuple[str, ...] = ()
    """The routes whose regions this rung fills; all of them without any."""
    budget: Budget | None = None
    """What the fills of one image may cost in all."""

    def __post_init__(self) -> None:
        if self.card is None:
            object.__setattr__(self, "card", resolve(self.rung))

    @property
    def model(self) -> ModelCard:
        """The card, given or found."""
        assert self.card is not None
        return self.card

    @property
    def name(self) -> str:
        """`inpaint_` and the model's alias."""
        return f"inpaint_{self.model.alias}"

    def models(self) -> list[ModelRecord]:
        """The model that fills."""
        return [identity(self.model)]

    def open(self) -> None:
        """Load the model, pulled first if need be. Raises RunError as `registry.fetch_weights`
        does.
        """
        self._generator()

    def check_model(self) -> None:
        """Raise the RunError that `open` would, without loading weights; a model is pulled if
        need be.
        """
        check_model(self.model, self._folder())

    def settings(self) -> JsonObject:
        """The fields, the card with the checksum of every file."""
        return {**super().settings(), "card": self.model.model_dump(mode="json")}

    def apply(self, batch: pa.Table) -> pa.Table:
        """Fill the open regions of one batch."""
        outcomes = self._outcomes(batch)
        return map_rows(batch, self.name, self.adds, lambda row: self._added(row, outcomes))

    def _generator(self) -> Generator:
        return generator_of(self.model, self._folder())

    def _folder(self) -> Path | None:
        return fetch_weights(self.model) if self.model.source else None

    def milliseconds(self, request: Request) -> float:
        """How long one fill takes here and now. Raises what the fill raises."""
        (outcome,) = fill_all(self._generator(), [request])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.milliseconds

    def _outcomes(self, batch: pa.Table) -> dict[int, Outcome]:
        """What came of every open region of every row without a failure, by the region's position
        in the batch.
        """
        outcomes: dict[int, Outcome] = {}
        requests: dict[int, Request] = {}
        for row in row_views(batch):
            if row["failure"] is not None:
                continue
            for region in self._chosen(row.regions):
                try:
                    request = self._request(row["source_sha256"], region)
                    if (hole_of(request.mask) == 0).any():
                        requests[region.position] = request
                    else:
                        outcomes[region.position] = None
                except Exception as error:
                    outcomes[region.position] = error
        if requests:
            outcomes.update(zip(requests, fill_all(self._generator(), list(requests.values())), strict=True))
        return outcomes

    def _taken(self, regions: list[Region]) -> list[int]:
        """Which regions are this rung's to fill, whatever it costs."""
        wanted = [not self.takes or region["route"] in self.takes for region in regions]
        return [number for number, region in enumerate(regions) if region["state"] == "open" and wanted[number]]

    def _chosen(self, regions: list[Region]) -> list[Region]:
        """The regions that this rung fills."""
        taken = self._taken(regions)
        kept = self.budget.affords(regions, taken, self.model.alias) if self.budget else taken
        return [regions[number] for number in kept]

    def _request(self, source_sha256: str, region: Region) -> Request:
        number = (region["passes"] or 0) + 1
        seed = seed_of(self.seed, source_sha256, region["crop"], self.model.alias, number)
        return Request(
            region.array("pixels", 3), region.array("mask", 4), seed, render_prompt(self._intent(region), self.model)
        )

    def _intent(self, region: Region) -> str:
        figures = dict(region["metadata"] or []) if "metadata" in region.fields else {}
        return describe_surface(figures, self.prompt)

    def _added(self, row: Row, outcomes: Mapping[int, Outcome]) -> Additions | None:
        regions = row.regions
        taken = self._taken(regions)
        if not taken:
            return None
        done = [self._region(row["source_sha256"], region, outcomes) for region in regions]
        for number in taken:
            if self.budget and regions[number].position not in outcomes:
                refusal = self.budget.refusal(self.model.alias, regions[number], regions)
                done[number]["checks"] = [*regions[number]["checks"], refusal]
        return {f"regions.{name}": [values[name] for values in done] for name in ADDED}

    def _region(self, source_sha256: str, region: Region, outcomes: Mapping[int, Outcome]) -> dict[str, Any]:
        if region.position not in outcomes:
            return {name: region[name] for name in ADDED}
        outcome = outcomes[region.position]
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            add_time("model", outcome.milliseconds)
        request = self._request(source_sha256, region)
        told = self.model.family != "classical"
        fill = None if outcome is None else outcome.pixels
        if fill is not None and told:
            fill = harmonised(request.pixels, fill, hole_of(request.mask))
        return {
            "fill": None if fill is None else fill_record(fill),
            "rung": self.model.alias,
            "seed": request.seed,
            "passes": (region["passes"] or 0) + 1,
            "prompt": request.prompt if told else None,
            "prompt_sha256": prompt_sha256(request.prompt, self.model) if told else None,
            "repeatable": outcome is None or outcome.repeatable,
            "checks": region["checks"],
        }
