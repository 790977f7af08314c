"""`inpaint`: what was behind?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

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
from operators.rows.records import BoxRecord, JsonObject, ModelRecord, RegionRecord
from operators.rows.table import Additions, Region, Row, fill_record, map_rows, row_views
from operators.rows.timing import add_time

ADDED = ("fill", "rung", "seed", "passes", "prompt", "prompt_sha256", "repeatable", "enhanced", "checks")


@dataclass(frozen=True)
class Attempt:
    """One attempt to fill a region: the request, and the fill."""

    request: Request
    filled: Filled | None
    """None where the crop is all hole, so that there is nothing to continue."""


def seed_of(run_seed: int, source_sha256: str, box: BoxRecord, rung: str, number: int) -> int:
    """The seed of one pass over one region (63 bits).

    It does not depend on the region's neighbours, its batch, its worker or the order of the run.
    """
    text = f"{run_seed}|{source_sha256}|{box['x']},{box['y']},{box['width']},{box['height']}|{rung}|{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Inpaint(Operator):
    """Regenerate what was behind each region that is still open, by the model of one rung.

    Regions that are not open pass at no cost. All rows of a batch share microbatches, but neither
    the sharing nor the order of the regions changes a byte. A fill that cannot promise this,
    because its microbatch was halved for lack of memory, is recorded as `repeatable = false`.
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
    """The name of the model: an alias, `alias@revision`, a folder in diffusers' format or a URL;
    see `registry.resolve`.
    """
    seed: int = 0
    prompt: str = ""
    """The user's own words, added to every region's intent."""
    card: ModelCard | None = None
    """The model's card, resolved from `rung` if it is None. A given card holds the checksums that
    every machine must find.
    """
    takes: tuple[str, ...] = ()
    """The routes whose regions this rung fills; empty for all regions."""
    budget: Budget | None = None
    """The most that the fills of one image may cost together."""

    def __post_init__(self) -> None:
        if self.card is None:
            object.__setattr__(self, "card", resolve(self.rung))

    @property
    def model(self) -> ModelCard:
        """The card, given or resolved."""
        assert self.card is not None
        return self.card

    @property
    def name(self) -> str:
        """`inpaint_` and the model's alias."""
        return f"inpaint_{self.model.alias}"

    def models(self) -> list[ModelRecord]:
        """The model that fills."""
        return [identity(self.model)]

    def check(self) -> None:
        """Raise the RunError that `open` would raise, without loading weights.

        Files that are not on this machine are pulled.
        """
        check_model(self.model, self._fetch_folder())

    def open(self) -> None:
        """Load the model.

        Files that are not on this machine are pulled. Raises RunError as `registry.fetch_weights`
        and `catalogue.generator_of` do.
        """
        self._load_generator()

    def settings(self) -> JsonObject:
        """The fields, with the whole card and the checksum of every file."""
        return {**super().settings(), "card": self.model.model_dump(mode="json")}

    def apply(self, batch: pa.Table) -> pa.Table:
        """Fill the open regions of one batch."""
        attempts = self._fill_regions(batch)
        return map_rows(batch, self.name, self.adds, lambda row: self._record_attempts(row, attempts))

    def milliseconds(self, request: Request) -> float:
        """How long one fill takes on this machine. Raises what the fill raises."""
        (outcome,) = fill_all(self._load_generator(), [request])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.milliseconds

    def _load_generator(self) -> Generator:
        return generator_of(self.model, self._fetch_folder())

    def _fetch_folder(self) -> Path | None:
        return fetch_weights(self.model) if self.model.source else None

    def _fill_regions(self, batch: pa.Table) -> dict[int, Attempt | Exception]:
        """Fill the chosen regions of all rows without a failure.

        The result holds each region's attempt, or its error, by the region's position in the batch.
        """
        attempts: dict[int, Attempt | Exception] = {}
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
                        attempts[region.position] = Attempt(request, None)
                except Exception as error:
                    attempts[region.position] = error
        if requests:
            outcomes = fill_all(self._load_generator(), list(requests.values()))
            for (position, request), outcome in zip(requests.items(), outcomes, strict=True):
                attempts[position] = outcome if isinstance(outcome, Exception) else Attempt(request, outcome)
        return attempts

    def _candidates(self, regions: list[Region]) -> list[int]:
        """The indices of the open regions on this rung's routes, whatever their fills cost."""
        return [
            number
            for number, region in enumerate(regions)
            if region["state"] == "open" and (not self.takes or region["route"] in self.takes)
        ]

    def _chosen(self, regions: list[Region]) -> list[Region]:
        """The regions that this rung fills: its candidates within the budget."""
        candidates = self._candidates(regions)
        affordable = self.budget.affords(regions, candidates, self.model.alias) if self.budget else candidates
        return [regions[number] for number in affordable]

    def _request(self, source_sha256: str, region: Region) -> Request:
        number = (region["passes"] or 0) + 1
        seed = seed_of(self.seed, source_sha256, region["crop"], self.model.alias, number)
        figures = dict(region["metadata"] or []) if "metadata" in region.fields else {}
        prompt = render_prompt(describe_surface(figures, self.prompt), self.model)
        return Request(region.array("pixels", 3), region.array("mask", 4), seed, prompt)

    def _record_attempts(self, row: Row, attempts: Mapping[int, Attempt | Exception]) -> Additions | None:
        regions = row.regions
        candidates = self._candidates(regions)
        if not candidates:
            return None
        records = [self._region_record(region, attempts.get(region.position)) for region in regions]
        for number in candidates:
            if self.budget and regions[number].position not in attempts:
                refusal = self.budget.refusal(self.model.alias, regions[number], regions)
                records[number]["checks"] = [*regions[number]["checks"], refusal]
        return {f"regions.{name}": [dict(record)[name] for record in records] for name in ADDED}

    def _region_record(self, region: Region, attempt: Attempt | Exception | None) -> RegionRecord:
        """The region's new children, or the old ones if it was not tried (None).

        Raises the attempt's error.
        """
        if attempt is None:
            return cast(RegionRecord, {name: region[name] for name in ADDED})
        if isinstance(attempt, Exception):
            raise attempt
        request, filled = attempt.request, attempt.filled
        generative = self.model.family != "classical"
        fill = None
        if filled is not None:
            add_time("model", filled.milliseconds)
            fill = harmonised(request.pixels, filled.pixels, hole_of(request.mask)) if generative else filled.pixels
        return {
            "fill": None if fill is None else fill_record(fill),
            "rung": self.model.alias,
            "seed": request.seed,
            "passes": (region["passes"] or 0) + 1,
            "prompt": request.prompt if generative else None,
            "prompt_sha256": prompt_sha256(request.prompt, self.model) if generative else None,
            "repeatable": filled is None or filled.repeatable,
            "enhanced": None,
            "checks": region["checks"],
        }
