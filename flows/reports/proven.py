"""What people have proven about a run: the sample they look at, and the statement in its report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from operators.decisions.acceptance_sampling import Statement, Stratum, state
from operators.decisions.gate import area_under_curve
from operators.ledger.decisions import ACCEPT, REDO, Standing, read_decisions, standings
from operators.rows.counted import counted
from operators.storage import files as storage

EDITED = ("edited", "partly_edited")
"""The verdicts on pictures of which something was edited."""
REFUSED = ("rolled_back",)
"""The verdicts on pictures of which no fill was good enough."""


@dataclass(frozen=True)
class SampledPicture:
    """One drawn picture, in the order in which people look at them."""

    image_id: str
    path: str
    bucket: str
    weight: float
    """The edited pictures that it stands for."""


@dataclass(frozen=True)
class Sample:
    """A sample of a run's edited pictures, as DEST/review/sample.json holds it."""

    size: int
    """The size that was asked for."""
    seed: int
    target: float
    confidence: float
    strata: tuple[Stratum, ...]
    pictures: tuple[SampledPicture, ...]

    def encode(self) -> bytes:
        """The sample as JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode()

    def statement(self, standing: Mapping[str, Standing]) -> Statement:
        """What is proven, by what holds for each picture.

        A picture counts as bad if anything of it is rejected or to be redone, also after a better
        fill was accepted: the statement is about what the run made.
        """
        outcomes: dict[str, tuple[int, int]] = {}
        for picture in self.pictures:
            held = standing.get(picture.image_id)
            if held is not None:
                decided, bad = outcomes.get(picture.bucket, (0, 0))
                outcomes[picture.bucket] = (decided + 1, bad + is_bad(held))
        return state(self.strata, outcomes, self.target, self.confidence)


def sample_uri(dest: str) -> str:
    """Where the sample of a destination is kept."""
    return storage.join(dest, "review", "sample.json")


def read_sample(dest: str) -> Sample | None:
    """The sample of a destination; None if none was drawn. Raises Failure."""
    if not storage.exists(sample_uri(dest)):
        return None
    content = json.loads(storage.read(sample_uri(dest)))
    strata = tuple(Stratum(**each) for each in content.pop("strata"))
    pictures = tuple(SampledPicture(**each) for each in content.pop("pictures"))
    return Sample(strata=strata, pictures=pictures, **content)


def percentage(share: float) -> str:
    """A bound as a percentage, rounded up, so that the words never promise more than was proven."""
    digits = 1 if share >= 0.01 else 2
    return f"{np.ceil(round(share * 100, 9) * 10**digits) / 10**digits:.{digits}f} %"


def statement_in_words(statement: Statement) -> list[str]:
    """What is proven, whether to go on, and which buckets fail, as sentences."""
    seen = f"{statement.decided:,} of {statement.draws:,} drawn pictures are decided, {statement.bad:,} of them bad"
    confidence = f"{statement.confidence:.0%} confidence"
    if not statement.draws:
        return ["Nothing was edited, so there is nothing to prove."]
    claim = f"Of {statement.population:,} edits at most {percentage(statement.at_most)} are bad, {confidence}"
    if statement.complete:
        lines = [f"{claim}: {seen}."]
    elif not statement.decided:
        lines = [f"Nothing is proven yet: {seen}."]
    else:
        lines = [
            f"{claim}, if no more than these draws had been planned: {seen}.",
            f"Wherever you stop, at most {percentage(statement.whatever_comes)} are bad: that counts undecided draws as bad.",
        ]
    return [*lines, _advice(statement), *_buckets_in_words(statement)]


def _advice(statement: Statement) -> str:
    target = f"{statement.target:.2%}".replace(".00%", "%").replace("%", " %")
    if statement.proven:
        return f"You may stop: less than {target} is proven."
    if not statement.reachable:
        return f"You may stop: with {counted(statement.bad, 'bad edit')} this sample cannot prove less than {target} any more."
    if statement.complete:
        return f"The sample is complete; it does not prove less than {target}."
    left = statement.draws - statement.decided
    return f"Go on: {left:,} to go. Stopping early because the figure looks good would make it wrong too often."


def _buckets_in_words(statement: Statement) -> list[str]:
    decided = [bucket for bucket in statement.buckets if bucket.decided]
    if len(statement.buckets) < 2 or not decided:
        return []
    failing = [bucket for bucket in decided if bucket.fails]
    lines = [
        f"{bucket.bucket} fails: {bucket.bad} of {bucket.decided} are bad, which proves more than {statement.target:.2%}."
        for bucket in failing
    ]
    worst = max(decided, key=lambda bucket: (bucket.bad / bucket.decided, bucket.at_most))
    if not failing and worst.bad:
        lines.append(f"No bucket is proven to fail; the worst is {worst.bucket}, {worst.bad} of {worst.decided} bad.")
    bounds = ", ".join(f"{each.bucket} {percentage(each.at_most)} ({each.bad} of {each.decided})" for each in decided)
    return [*lines, f"At most bad by bucket, each by itself: {bounds}."]


@dataclass(frozen=True)
class Agreement:
    """How often people agree with the gate about the pictures that they have looked at."""

    edited: int
    """Decided pictures that the run had edited."""
    edited_accepted: int
    refused: int
    """Decided pictures of which the run had refused every fill."""
    refused_left: int
    """Those of them that people leave so: whoever rejects one gets the same original."""
    ranking: float
    """The chance that a bad edit had more doubt than a good one, 0..1; NaN without both kinds."""

    def lines(self) -> list[str]:
        """The agreement as sentences; none before the first decision."""
        lines = []
        if self.edited:
            lines.append(f"People accept {self.edited_accepted:,} of the {self.edited:,} edits that the gate accepted.")
        if self.refused:
            refused = counted(self.refused, "picture")
            lines.append(f"The gate refused every fill of {refused}; people leave {self.refused_left:,} of them so.")
        if self.ranking == self.ranking:
            lines.append(f"A bad edit had more doubt than a good one in {self.ranking:.0%} of the pairs.")
        return lines


def agreement(held: Iterable[Standing]) -> Agreement:
    """The agreement between gate and people, by what holds for each decided picture."""
    decided = list(held)
    known = [(standing.last, is_bad(standing)) for standing in decided if standing.last is not None]
    edited = [(last.doubt, bad) for last, bad in known if last.verdict in EDITED]
    redone = [
        any(decision.action == REDO for decision in standing.plan.decisions)
        for standing in decided
        if standing.last is not None and standing.last.verdict in REFUSED
    ]
    bad_edits = np.array([bad for _, bad in edited], bool)
    ranking = area_under_curve(np.array([doubt for doubt, _ in edited], np.float64), bad_edits) if edited else float("nan")
    return Agreement(len(edited), len(edited) - int(bad_edits.sum()), len(redone), redone.count(False), ranking)


def is_bad(held: Standing) -> bool:
    """Whether people do not accept what the run made of a picture."""
    return any(decision.action != ACCEPT for decision in held.plan.decisions)


def proven_by_people(dest: str) -> list[str]:
    """The sentences about people's decisions for the report of a run. Raises Failure."""
    sample, held = read_sample(dest), standings(read_decisions(dest))
    proven = statement_in_words(sample.statement(held)) if sample is not None else []
    return [*proven, *agreement(held.values()).lines()]
