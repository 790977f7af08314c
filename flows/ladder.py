"""The ladder: which fills are tried, in which order, and for which regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from operators.decisions.budget import Budget
from operators.decisions.routing import CLASSICAL, GENERATIVE, REFINED
from operators.inpaint import Inpaint
from operators.models.card import ModelCard
from operators.models.registry import pin_checksums, resolve
from operators.operator import Operator
from operators.refine import Refine
from operators.rows.failure import RunError
from operators.upscale import Upscale
from operators.verify import Verify


@dataclass(frozen=True)
class Rung:
    """One rung: its model, the routes whose regions it takes (all without any), and how often its
    own masks are refined.
    """

    model: str
    takes: tuple[str, ...] = ()
    refinements: int = 0


PRESETS: dict[str, tuple[Rung, ...]] = {
    "fast": (Rung("navier_stokes"),),
    "balanced": (Rung("navier_stokes", (CLASSICAL,)), Rung("patchmatch"), Rung("navier_stokes", (GENERATIVE,))),
    "quality": (Rung("builtin", refinements=1), Rung("patchmatch"), Rung("navier_stokes")),
}
"""The rungs of each preset, from the first that is tried to the last.

`balanced` follows the routes: what is flat and thin goes to the classical fill first, what is
textured to the generative one, and each has the other below it. Navier-Stokes and not fast
marching is the cheap rung: OpenCV's Telea drifts by up to four grey levels on a flat picture.
PatchMatch stands where a diffusion model may: `builtin` begins with its fill, measures better
(see its model card) and takes nearly three times as long, which `quality` spends.
"""


def rungs_of(preset: str, model: str | None) -> tuple[Rung, ...]:
    """The rungs of a preset, or one model in their place. Raises RunError option_invalid for an
    unknown preset.
    """
    if model is not None:
        return (Rung(model),)
    if preset not in PRESETS:
        raise RunError("option_invalid", f"--preset {preset}: there are {', '.join(PRESETS)}")
    return PRESETS[preset]


@dataclass(frozen=True)
class Fills:
    """What the fills of a flow are told: the rungs, the run's seed, the user's own words, and a
    latency budget.
    """

    rungs: tuple[Rung, ...] = PRESETS["balanced"]
    seed: int = 0
    prompt: str = ""
    budget: Budget | None = None


def resolve_cards(rungs: Sequence[Rung]) -> dict[str, ModelCard]:
    """The card of every model of a ladder, its checksums pinned; pulls what is not here yet.

    Raises RunError model_unknown, model_unavailable, model_checksum or model_invalid.
    """
    return {name: pin_checksums(resolve(name)) for name in dict.fromkeys(rung.model for rung in rungs)}


def ladder(fills: Fills = Fills()) -> list[Operator]:
    """Each rung fills what is still open and is verified before the next one is tried; a
    refinement fills once more.

    Fills of a model may be smaller than their crops, and get size and detail before they are
    judged; classical ones never are.
    """
    known, operators = resolve_cards(fills.rungs), []
    for rung in fills.rungs:
        card = known[rung.model]

        def attempt(takes: tuple[str, ...], card: ModelCard = card) -> list[Operator]:
            fill = Inpaint(card.alias, fills.seed, fills.prompt, card, takes, fills.budget)
            return [fill, Verify()] if card.family == "classical" else [fill, Upscale(), Verify()]

        operators += attempt(rung.takes)
        for _ in range(rung.refinements):
            operators += [Refine(card.alias), *attempt((REFINED,))]
    return operators
