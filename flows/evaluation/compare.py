"""Compares two evaluations of one suite, region by region and text by text.

A regression is a figure that got worse in some bucket by more than chance: the 95 % bootstrap
interval of the mean paired difference lies entirely on the worse side, and the mean exceeds the
least noticeable difference. Pairing within buckets shows the regression of a small bucket even
while the mean over everything improves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from flows.evaluation.records import Evaluation
from flows.evaluation.tables import by

RESAMPLES = 2000
NOTICEABLE = {"perceptual_distance": 0.01, "psnr": -0.3, "characters_read": 0.25, "seam": 0.1, "colour_shift": 1.0}
"""Figure to the least mean change that counts; the sign is the direction of worse."""

TEXT_FIGURES = ("perceptual_distance", "psnr", "characters_read")
WORST = 8


class Observation(NamedTuple):
    """The origin of one comparable number; the whole flow is the rung `delivered`."""

    set: str
    bucket: str
    rung: str
    item: str
    """A region or a text: its file and number."""
    figure: str


class Group(NamedTuple):
    """The observations that one change is the mean of; the bucket `all` holds every bucket."""

    set: str
    bucket: str
    rung: str
    figure: str


class Pair(NamedTuple):
    """One observation in both evaluations."""

    key: Observation
    before: float
    after: float


@dataclass(frozen=True)
class Change:
    """The mean paired difference B - A of one figure in one bucket of one set, with its 95 %
    interval.
    """

    set: str
    bucket: str
    rung: str
    figure: str
    pairs: int
    before: float
    after: float
    difference: float
    low: float
    high: float

    @property
    def regression(self) -> bool:
        """Whether the figure got worse beyond chance and by a noticeable amount."""
        least = NOTICEABLE[self.figure]
        if least > 0:
            return self.difference >= least and self.low > 0
        return self.difference <= least and self.high < 0


def read(folder: Path) -> Evaluation:
    """The evaluation in a folder. Raises ValueError with one line if the folder holds none."""
    try:
        content = json.loads((folder / "evaluation.json").read_text())
        content["suite"]["checksum"], content["fills"], content["images"]
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no evaluation: it has no evaluation.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no evaluation: {error}") from error
    return cast(Evaluation, content)


def observations(content: Evaluation) -> Iterator[tuple[Observation, float]]:
    """Every comparable number of an evaluation."""
    for fill in content["fills"]:
        region = f"{fill['file']}#{fill['region']}"
        for figure in NOTICEABLE:
            value = fill["figures"].get(figure)
            if value is not None:
                yield Observation(fill["set"], fill["bucket"], fill["rung"], region, figure), value
    for image in content["images"]:
        for number, text in enumerate(image.get("texts", [])):
            item = f"{image['file']}#{number}"
            values = (text["perceptual_distance"], text["psnr"], text["characters_read"])
            for figure, value in zip(TEXT_FIGURES, values, strict=True):
                yield Observation(image["set"], image["bucket"], "delivered", item, figure), value


def compare(first: Evaluation, second: Evaluation) -> list[Change]:
    """All changes from the first evaluation to the second, overall and per bucket.

    Raises ValueError if the evaluations are of different suites.
    """
    if first["suite"]["checksum"] != second["suite"]["checksum"]:
        raise ValueError(f"different suites: {first['suite']['checksum']} and {second['suite']['checksum']}")
    before, after = dict(observations(first)), dict(observations(second))
    pairs = [Pair(key, before[key], after[key]) for key in before if key in after]
    overall = by(pairs, lambda pair: Group(pair.key.set, "all", pair.key.rung, pair.key.figure))
    per_bucket = by(pairs, lambda pair: Group(pair.key.set, pair.key.bucket, pair.key.rung, pair.key.figure))
    return [_measure_change(group, members) for groups in (overall, per_bucket) for group, members in groups.items()]


def _measure_change(group: Group, pairs: Sequence[Pair]) -> Change:
    before, after = np.array([pair.before for pair in pairs], np.float64), np.array([pair.after for pair in pairs], np.float64)
    differences = after - before
    draws = np.random.default_rng(0).integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    return Change(
        group.set,
        group.bucket,
        group.rung,
        group.figure,
        pairs=len(pairs),
        before=float(before.mean()),
        after=float(after.mean()),
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
    )


def worst_images(first: Evaluation, second: Evaluation) -> list[tuple[str, float]]:
    """The WORST images whose delivered texts moved furthest from the truth, and the rise of their
    mean perceptual distance.
    """

    def distances(content: Evaluation) -> dict[str, float]:
        return {
            image["file"]: float(np.mean([text["perceptual_distance"] for text in image["texts"]]))
            for image in content["images"]
            if image.get("texts")
        }

    before, after = distances(first), distances(second)
    rises = {file: after[file] - before[file] for file in before if file in after}
    return [(file, rise) for file, rise in sorted(rises.items(), key=lambda item: -item[1])[:WORST] if rise > 0]
