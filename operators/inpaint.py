"""`inpaint`: what was behind?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

import pyarrow as pa

from operators.decisions.budget import Budget
from operators.generators.call_account import CallLimits, CallsSpentError
from operators.generators.catalogue import check_model, generator_of
from operators.generators.generator import Generator, Request
from operators.generators.harmonise import harmonised
from operators.generators.http_model import HttpModel
from operators.generators.microbatch import Filled, fill_all
from operators.generators.prompt import describe_surface, prompt_sha256, render_prompt
from operators.generators.seeds import content_sha256, seed_of
from operators.masks.mask import hole_of
from operators.models.card import ModelCard
from operators.models.registry import fetch_weights, identity, resolve
from operators.operator import Operator
from operators.rows.arrays import Pixels
from operators.rows.checks import CALL_BUDGET, FILL_FAILED, check
from operators.rows.failure import CODES, Failure
from operators.rows.fill_errors import add_error
from operators.rows.records import CheckRecord, JsonObject, ModelRecord, RegionRecord
from operators.rows.table import Additions, Region, Row, fill_record, map_rows, row_views
from operators.rows.timing import add_time

ADDED = ("fill", "rung", "seed", "passes", "prompt", "prompt_sha256", "repeatable", "enhanced", "checks", "reason")


NO_LIMIT = float("nan")
"""The limit of checks that describe a fill before it is judged."""


@dataclass(frozen=True)
class Attempt:
    """One attempt to fill a region: the request, and the fill."""

    request: Request
    filled: Filled | None
    """None where the crop is all hole, so that there is nothing to continue."""


@dataclass(frozen=True)
class FailedAttempt:
    """One attempt to fill a region that ended with an error."""

    error: Exception
    request: Request | None = None
    """None where the request could not be made."""


@dataclass(frozen=True)
class Inpaint(Operator):
    """Regenerate what was behind each region that is still open, by the model of one rung.

    Regions that are not open pass at no cost. All rows of a batch share microbatches, but neither
    the sharing nor the order of the regions changes a byte. A fill that cannot promise this,
    because its microbatch was halved for lack of memory, is recorded as `repeatable = false`.

    A fill that ends with an error, out_of_memory included, is a rollback of its region alone: the
    region stays open for the next rung, gets the check `fill_failed`, and its `reason` gets the
    error. The row has no failure, so a later run does not try it again. Only memory that runs out
    outside a fill is a transient failure of the whole row; and a model over HTTP that does not
    answer, which a later run asks again.

    A fill that may not be asked for, because the run's calls are spent, gets the check
    `call_budget`, and the region stays open for the next rung.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = (
        "source_sha256",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.checks",
        "regions.state",
        "regions.passes",
        "regions.reason",
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
    calls: CallLimits = CallLimits()
    """What the calls of the run to a model over HTTP may cost. It is no setting of the fills: a
    run may go on with other limits.
    """
    dest: str = ""
    """Where the run keeps its calls to a model over HTTP; "" keeps none."""

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
        self.load_generator()

    def settings(self) -> JsonObject:
        """The fields, with the whole card and the checksum of every file, without `calls`."""
        card = self.model.model_dump(mode="json", exclude=None if self.is_outside else {"service"})
        return {name: value for name, value in super().settings().items() if name != "calls"} | {"card": card}

    def apply(self, batch: pa.Table) -> pa.Table:
        """Fill the open regions of one batch."""
        attempts = self._fill_regions(batch)
        return map_rows(batch, self.name, self.adds, lambda row: self._record_attempts(row, attempts))

    def milliseconds(self, request: Request) -> float:
        """How long one fill takes on this machine. Raises what the fill raises."""
        (outcome,) = fill_all(self.load_generator(), [request])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.milliseconds

    def load_generator(self) -> Generator:
        """The generator that fills, which must be cheap to get again.

        An operator with a generator of its own overrides this method and `check`.
        """
        generator = generator_of(self.model, self._fetch_folder())
        return replace(generator, limits=self.calls, dest=self.dest) if isinstance(generator, HttpModel) else generator

    def _fetch_folder(self) -> Path | None:
        return fetch_weights(self.model) if self.model.source else None

    def _fill_regions(self, batch: pa.Table) -> dict[int, Attempt | FailedAttempt]:
        """Fill the chosen regions of all rows without a failure.

        The result holds each region's attempt by the region's position in the batch.
        """
        attempts: dict[int, Attempt | FailedAttempt] = {}
        batches: list[dict[int, Request]] = [{}]
        for row in row_views(batch):
            if row["failure"] is not None:
                continue
            if self.is_outside:
                # The patience with an outside model is for each image, and so is its generator.
                batches.append({})
            requests = batches[-1]
            for region in self._chosen(row.regions):
                try:
                    request = self._request(content_sha256(row), region)
                    if (hole_of(request.mask) == 0).any():
                        requests[region.position] = request
                    else:
                        attempts[region.position] = Attempt(request, None)
                except Exception as error:
                    attempts[region.position] = FailedAttempt(error)
        for requests in filter(None, batches):
            outcomes = fill_all(self.load_generator(), list(requests.values()))
            for (position, request), outcome in zip(requests.items(), outcomes, strict=True):
                if isinstance(outcome, Exception):
                    attempts[position] = FailedAttempt(outcome, request)
                else:
                    attempts[position] = Attempt(request, outcome)
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

    def _request(self, content: str, region: Region) -> Request:
        number = (region["passes"] or 0) + 1
        seed = seed_of(self.seed, content, region["crop"], self.model.alias, number)
        figures = dict(region["metadata"] or []) if "metadata" in region.fields else {}
        prompt = render_prompt(describe_surface(figures, self.prompt), self.model)
        return Request(region.array("pixels", 3), region.array("mask", 4), seed, prompt)

    def _record_attempts(self, row: Row, attempts: Mapping[int, Attempt | FailedAttempt]) -> Additions | None:
        regions = row.regions
        candidates = self._candidates(regions)
        if not candidates:
            return None
        self._fail_if_unanswered([attempts.get(region.position) for region in regions])
        records = [self._region_record(region, attempts.get(region.position)) for region in regions]
        for number in candidates:
            if self.budget and regions[number].position not in attempts:
                refusal = self.budget.refusal(self.model.alias, regions[number], regions)
                records[number]["checks"] = [*regions[number]["checks"], refusal]
        return {f"regions.{name}": [dict(record)[name] for record in records] for name in ADDED}

    def _fail_if_unanswered(self, attempts: Sequence[Attempt | FailedAttempt | None]) -> None:
        """Raise a Failure of an outside model, or of the storage of its answers, that may pass."""
        for attempt in attempts:
            error = attempt.error if isinstance(attempt, FailedAttempt) else None
            if self.is_outside and isinstance(error, Failure) and CODES[error.code].transient:
                raise error

    def _region_record(self, region: Region, attempt: Attempt | FailedAttempt | None) -> RegionRecord:
        """The region's new children, or the old ones if it was not tried (None)."""
        if attempt is None:
            return cast(RegionRecord, {name: region[name] for name in ADDED})
        if isinstance(attempt, FailedAttempt) and isinstance(attempt.error, CallsSpentError):
            spent = check(self.model.alias, CALL_BUDGET, attempt.error.value, attempt.error.limit)
            return {**self._region_record(region, None), "checks": [*(region["checks"] or []), spent]}
        if isinstance(attempt, FailedAttempt):
            return self._failed_record(region, attempt)
        request, filled = attempt.request, attempt.filled
        fill = None
        if filled is not None:
            add_time("model", filled.milliseconds)
            try:
                fill = self._finish_fill(request, filled)
            except Exception as error:
                return self._failed_record(region, FailedAttempt(error, request))
        return {
            **self._attempt_record(region, request),
            "fill": None if fill is None else fill_record(fill),
            "repeatable": filled is None or (filled.repeatable and not self.is_outside),
            "checks": region["checks"] if filled is None else [*(region["checks"] or []), *self._described(filled)],
            "reason": region["reason"],
        }

    def _described(self, filled: Filled) -> list[CheckRecord]:
        """What the generator says of a fill, as checks without a limit."""
        return [check(self.model.alias, name, value, NO_LIMIT) for name, value in filled.figures]

    def _failed_record(self, region: Region, attempt: FailedAttempt) -> RegionRecord:
        """The children of a region whose fill ended with an error.

        They are not repeatable, because another run may succeed.
        """
        return {
            **self._attempt_record(region, attempt.request),
            "fill": None,
            "repeatable": False,
            "checks": [*(region["checks"] or []), check(self.model.alias, FILL_FAILED, 1.0, 0.0)],
            "reason": add_error(region["reason"], self.model.alias, attempt.error),
        }

    def _attempt_record(self, region: Region, request: Request | None) -> RegionRecord:
        """The children that say what was tried."""
        prompt = request.prompt if request is not None and self._is_generative else None
        return {
            "rung": self.model.alias,
            "seed": None if request is None else request.seed,
            "passes": (region["passes"] or 0) + 1,
            "prompt": prompt,
            "prompt_sha256": None if prompt is None else prompt_sha256(prompt, self.model),
            "enhanced": None,
        }

    def _finish_fill(self, request: Request, filled: Filled) -> Pixels:
        """The fill as it is pasted: a generative one gets the colours around its hole."""
        if not self._is_generative:
            return filled.pixels
        return harmonised(request.pixels, filled.pixels, hole_of(request.mask))

    @property
    def is_outside(self) -> bool:
        """Whether the model is asked over HTTP."""
        return self.model.service is not None

    @property
    def _is_generative(self) -> bool:
        return self.model.family != "classical"
