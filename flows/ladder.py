"""The ladder: which models fill a region, and in which order they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from operators.decisions.budget import USUAL_BUDGET, Budget
from operators.decisions.routing import REFINED
from operators.generators.call_account import CallLimits
from operators.inpaint import Inpaint
from operators.models.card import ModelCard, reads_prompt
from operators.models.registry import pin_checksums, resolve
from operators.operator import Operator
from operators.refine import Refine
from operators.rows.failure import RunError
from operators.upscale import Upscale
from operators.verify import Verify


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder: a model and the regions that it fills."""

    model: str
    takes: tuple[str, ...] = ()
    """Routes whose regions it fills; empty for all regions."""
    refinements: int = 0
    """How many times the mask is refined and filled again after the first fill."""


PRESETS: dict[str, tuple[Rung, ...]] = {
    "fast": (Rung("ground", refinements=1),),
    "balanced": (Rung("hybrid", refinements=1),),
    "quality": (Rung("hybrid", refinements=1), Rung("builtin", refinements=1), Rung("patchmatch")),
}
"""The rungs of each preset, in the order in which they are tried.

`hybrid` continues plain ground and copies texture elsewhere. Where it is refused, `quality` tries
`builtin`, which corrects the fill of PatchMatch, and PatchMatch. They cost much and add few texts:
where one of them fails, the others mostly fail as well.
"""
SECOND_LOOK: tuple[Rung, ...] = (Rung("hybrid"),)
"""The rungs of every preset for letters that are found only after their neighbours are erased."""


def second_look(rungs: Sequence[Rung]) -> tuple[Rung, ...]:
    """The rungs of the second look: a model that the user has chosen fills there as well."""
    return SECOND_LOOK if tuple(rungs) in PRESETS.values() or len(rungs) > 1 else tuple(rungs)


def rungs_of(preset: str, model: str | None) -> tuple[Rung, ...]:
    """The rungs of a preset, or the one rung of `model` if that is given.

    Raises RunError option_invalid for an unknown preset.
    """
    if model is not None:
        return (Rung(model),)
    if preset not in PRESETS:
        raise RunError("option_invalid", f"preset {preset}: there are {', '.join(PRESETS)}")
    return PRESETS[preset]


GATE, BEST = "gate", "best"
ACCEPT = (GATE, BEST)
"""What becomes of a text that no fill passes its checks for: it stays, or gets the best fill."""


@dataclass(frozen=True)
class Fills:
    """How a flow fills regions."""

    rungs: tuple[Rung, ...] = PRESETS["balanced"]
    seed: int = 0
    """The seed of the run."""
    prompt: str = ""
    """The user's prompt for models that take one."""
    budget: Budget | None = USUAL_BUDGET
    """What the fills of one image may cost together; None for no limit."""
    accept: str | None = None
    """`gate` refuses a region whose fills all fail a check, and keeps its pixels. `best` delivers
    the best of these fills, with what speaks against it as reasons. None is the flow's default.
    """

    see_through: bool = False
    """Whether the picture below translucent texts is recovered where it shows through them, before
    anything is filled.
    """
    calls: CallLimits = CallLimits()
    """What the calls of the run to models over HTTP may cost together."""

    def __post_init__(self) -> None:
        if self.accept is not None and self.accept not in ACCEPT:
            raise RunError("option_invalid", f"accept {self.accept}: choose from {', '.join(ACCEPT)}")


def resolve_cards(rungs: Sequence[Rung]) -> dict[str, ModelCard]:
    """The model card of every rung, with checksums pinned; pulls models that are not cached yet.

    Raises RunError model_unknown, model_unavailable, model_checksum or model_invalid.
    """
    return {name: pin_checksums(resolve(name)) for name in dict.fromkeys(rung.model for rung in rungs)}


def check_prompt(fills: Fills) -> None:
    """Raise RunError option_invalid for a prompt that no rung reads."""
    if fills.prompt and not any(map(reads_prompt, resolve_cards(fills.rungs).values())):
        names = ", ".join(dict.fromkeys(rung.model for rung in fills.rungs))
        hint = "choose a model that does, such as sdxl-inpainting"
        raise RunError("option_invalid", f"prompt: no prompt is read by {names}; {hint}")


def ladder(fills: Fills = Fills()) -> list[Operator]:
    """The operators of a ladder.

    Each rung fills the regions that are still open, and is verified before the next one. A
    refinement refines the mask, fills once more and verifies again. A model's fill may be smaller
    than its crop, so it is upscaled before it is verified; a classical fill never is smaller.
    """
    cards, operators = resolve_cards(fills.rungs), []
    for rung in fills.rungs:
        card = cards[rung.model]

        def attempt(takes: tuple[str, ...], card: ModelCard = card) -> list[Operator]:
            name = card.alias if card.service is None else card.service.reference
            fill = Inpaint(name, fills.seed, fills.prompt, card, takes, fills.budget, fills.calls)
            return [fill, Verify()] if card.family == "classical" else [fill, Upscale(), Verify()]

        operators += attempt(rung.takes)
        for _ in range(rung.refinements):
            operators += [Refine(card.alias), *attempt((REFINED,))]
    return deliver_best(operators) if fills.accept == BEST else operators


def deliver_best(operators: Sequence[Operator]) -> list[Operator]:
    """The operators of a ladder, changed to deliver the best refused fill if none passes."""
    changed = [replace(operator, remembers=True) if isinstance(operator, Verify) else operator for operator in operators]
    last = max((number for number, operator in enumerate(changed) if isinstance(operator, Verify)), default=None)
    return [
        replace(operator, delivers=True) if number == last and isinstance(operator, Verify) else operator
        for number, operator in enumerate(changed)
    ]
