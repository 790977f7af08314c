"""What a request asks for: the options of the command line, checked, and the flow they make."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from flows.choose import Choice
from flows.choose_in_python import LISTS, REGIONS
from flows.enlarge import enlarge_pictures
from flows.erase_text import cover_masks, cover_text, erase_text, inpaint_masks
from flows.find_text import look_for_text
from flows.flow import Flow
from flows.ladder import BEST, GATE, PRESETS, Fills, rungs_of
from operators.decisions.budget import USUAL_BUDGET, Budget, Rate
from operators.generators.covers import COVERS
from operators.models.card import reads_prompt
from operators.models.registry import resolve
from operators.models.service import is_service
from operators.pictures.codec import Limits
from operators.rows.failure import Failure, RunError
from operators.selection.rule_file import Options
from operators.storage.region_files import COLUMN, regions_of
from operators.upscalers.catalogue import find_upscaler
from operators.upscalers.enlargement import Routing

MOST_REGIONS = 1000
SEED = Field(0, ge=0, lt=2**63, description="Seed; the seed of every region derives from it.")


def _number(value: Any) -> Any:
    """A whole number that came as text, as queries and forms have them."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4 else value


class Wish(BaseModel, ABC):
    """What every request may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field("", max_length=4000, description="Address of the picture, instead of its bytes.")

    @abstractmethod
    def flow(self, limits: Limits, rates: tuple[Rate, ...], masks: str) -> Flow:
        """The flow that carries the wish out; `masks` is the folder with its mask, if it needs one.

        Raises RunError for a wrong option.
        """

    @property
    def given(self) -> str:
        """The regions of the request as JSON; empty for none."""
        return ""

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the request names itself."""
        return ()

    @property
    def timed_rungs(self) -> tuple[str, ...]:
        """The preset and model whose rates a budget needs; empty without a budget."""
        return ()


class Choosing(Wish):
    """Which texts are meant."""

    only: list[str] = Field([], description="Only texts of these kinds, or those that match a regular expression.")
    keep: list[str] = Field([], description="Keep texts of these kinds, or those that match a regular expression.")
    kind: list[str] = Field([], description="Only these kinds: text, mark, mask.")
    script: list[str] = Field([], description="Only these scripts.")
    zone: list[str] = Field([], description="Only in this zone: bottom-right:30%x15% or 10,20:200x50.")
    not_zone: list[str] = Field([], description="Keep what is in this zone.")
    height: str | None = None
    width: str | None = None
    size: str | None = None
    angle: str | None = None
    score: str | None = None
    most: str | None = None
    regions: str = Field(
        "", max_length=200_000, description="Boxes [x, y, width, height] or polygons to take as well, as a JSON list."
    )
    detect: bool = Field(True, description="Whether texts are looked for; else only `regions` count.")

    @field_validator("regions")
    @classmethod
    def _are_regions(cls, text: str) -> str:
        if text:
            try:
                listed = json.loads(text)
                if not isinstance(listed, list) or len(listed) > MOST_REGIONS:
                    raise ValueError(f"a list of at most {MOST_REGIONS} boxes or polygons")
                regions_of(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"no list of regions: {error}") from None
            except Failure as failure:
                raise ValueError(failure.message) from None
        return text

    @model_validator(mode="after")
    def _means_something(self) -> Choosing:
        if not self.detect and not self.regions:
            raise ValueError("without detect, only `regions` are erased, and there are none")
        return self

    @property
    def given(self) -> str:
        """The regions of the request as JSON."""
        return self.regions

    def choice(self) -> Choice:
        """The texts that are meant, as the command line chooses them. Raises RunError."""
        lists: dict[str, Any] = {name: tuple(getattr(self, name)) for name in LISTS}
        single = {name: getattr(self, name) for name in ("height", "width", "size", "angle", "score", "most")}
        options = Options(**lists, **single)
        selection = None if options.is_empty else options.selection()
        return Choice(selection, True, (f"{COLUMN}{REGIONS}",) if self.regions else (), self.detect)


class Filling(Wish):
    """How regions are filled."""

    preset: str = Field("balanced", description=f"How much work goes into each fill: {', '.join(PRESETS)}.")
    model: str | None = Field(None, max_length=400, description="One model instead of the preset; see GET /v1/models.")
    prompt: str = Field("", max_length=4000, description="What should replace the text, for models that read prompts.")
    seed: int = SEED
    budget_ms: float | None = Field(
        None, ge=0, le=1e7, allow_inf_nan=False, description="Most milliseconds that the fills of the picture may take."
    )
    fill: str | None = Field(None, description=f"Hide for good instead of continuing the picture: {', '.join(COVERS)}.")

    @model_validator(mode="after")
    def _covers_or_fills(self) -> Filling:
        beside = [name for name in ("preset", "model", "prompt", "budget_ms") if name in self.model_fields_set]
        if self.fill is not None and beside:
            raise ValueError(f"fill {self.fill} hides what is below it and needs no {', '.join(beside)}")
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """The model, if the request names one."""
        return () if self.model is None else (self.model,)

    def fills(self, rates: tuple[Rate, ...], accept: str) -> Fills:
        """The ladder. Raises RunError option_invalid."""
        if self.budget_ms is not None and self.model is not None and is_service(self.model):
            raise RunError("option_invalid", "budget_ms bounds work on this machine, and the model is asked over HTTP")
        budget = USUAL_BUDGET if self.budget_ms is None else Budget(self.budget_ms, rates)
        return Fills(rungs_of(self.preset, self.model), self.seed, self.prompt, budget, accept)


class Erase(Choosing, Filling):
    """Erase texts."""

    accept: Literal["gate", "best"] = Field("gate", description="What becomes of a text whose fills all fail a check.")

    def flow(self, limits: Limits, rates: tuple[Rate, ...], masks: str) -> Flow:
        """As `cleanplate erase`."""
        if self.fill is not None:
            return cover_text(self.fill, self.seed, limits, choice=self.choice())
        return erase_text(self.fills(rates, self.accept), limits, choice=self.choice())


class Inpaint(Filling):
    """Fill what a mask marks."""

    gate: bool = Field(False, description="Keep the original pixels where every fill fails a check.")

    def flow(self, limits: Limits, rates: tuple[Rate, ...], masks: str) -> Flow:
        """As `cleanplate inpaint`."""
        if self.fill is not None:
            return cover_masks(masks, self.fill, self.seed, limits)
        return inpaint_masks(masks, self.fills(rates, GATE if self.gate else BEST), limits)


class Enlarge(Wish):
    """Enlarge by a factor."""

    scale: Annotated[Literal[2, 4], BeforeValidator(_number)] = Field(4, description="Factor for the width and the height.")
    model: str = Field(Routing.model, max_length=400, description="Model for textured blocks.")
    threshold: float = Field(Routing.threshold, ge=0, allow_inf_nan=False, description="Grey levels of loss for the model.")

    def flow(self, limits: Limits, rates: tuple[Rate, ...], masks: str) -> Flow:
        """As `cleanplate enlarge`."""
        find_upscaler(self.model, float(self.scale))
        return enlarge_pictures(float(self.scale), None, Routing(self.model, self.threshold), limits)

    @property
    def models(self) -> tuple[str, ...]:
        """The upscaler."""
        return (self.model,)


class Find(Choosing):
    """Find texts, and edit nothing."""

    read: bool = Field(False, description="Whether each text is read too.")

    def flow(self, limits: Limits, rates: tuple[Rate, ...], masks: str) -> Flow:
        """As `cleanplate find`."""
        return look_for_text(self.read, True, limits, choice=self.choice())


def reads_prompts(preset: str, model: str | None) -> bool:
    """Whether a model of the ladder reads a prompt. Raises RunError for an unknown one."""
    return any(reads_prompt(resolve(rung.model)) for rung in rungs_of(preset, model))


def check(wish: Wish, allowed: frozenset[str]) -> None:
    """Raise RunError option_invalid for a model that this service does not offer.

    A model may be a folder or a URL, which a stranger must not choose.
    """
    for model in wish.models:
        if model not in allowed:
            raise RunError("option_invalid", f"model {model}: this service offers {', '.join(sorted(allowed))}")
