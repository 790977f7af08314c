"""Compares two evaluations of one suite: paired per region and per text, so that a small bucket's
regression shows.

A regression is a figure that got worse in some bucket by more than chance: the 95 % bootstrap
interval of the mean paired difference lies beyond a least difference that anybody would notice.
The mean over everything may improve meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.evaluation.tables import by

RESAMPLES = 2000
NOTICEABLE = {"perceptual_distance": 0.01, "psnr": -0.3, "characters_read": 0.25, "seam": 0.1, "colour_shift": 1.0}
"""The least mean change for the worse that counts, by figure; its sign is the direction of worse.
"""
WORST = 8


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
        """Whether the figure got worse beyond chance and beyond what anybody would notice."""
        least = NOTICEABLE[self.figure]
        return self.difference >= least and self.low > 0 if least > 0 else self.difference <= least and self.high < 0


def read(folder: Path) -> dict[str, Any]:
    """The evaluation in a folder. Raises ValueError with one line if there is none."""
    try:
        content: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
        content["suite"]["checksum"], content["fills"], content["images"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no evaluation: {error}") from error
    return content


def observations(content: dict[str, Any]) -> Iterator[tuple[tuple[str, str, str, str, str], float]]:
    """Every comparable number: (set, bucket, rung, item, figure) to its value; the whole flow is
    the rung `delivered`.
    """
    for fill in content["fills"]:
        for name in NOTICEABLE:
            if fill["figures"].get(name) is not None:
                yield (
                    (fill["set"], fill["bucket"], fill["rung"], f"{fill['file']}#{fill['region']}", name),
                    fill["figures"][name],
                )
    for image in content["images"]:
        for number, text in enumerate(image.get("texts", [])):
            for name in ("perceptual_distance", "psnr", "characters_read"):
                yield (image["set"], image["bucket"], "delivered", f"{image['file']}#{number}", name), text[name]


def compare(first: dict[str, Any], second: dict[str, Any]) -> list[Change]:
    """All changes from the first evaluation to the second, overall and per bucket.

    Raises ValueError if they are of different suites.
    """
    if first["suite"]["checksum"] != second["suite"]["checksum"]:
        raise ValueError(f"different suites: {first['suite']['checksum']} and {second['suite']['checksum']}")
    one, other = dict(observations(first)), dict(observations(second))
    pairs = [{"key": key, "before": one[key], "after": other[key]} for key in one if key in other]
    changes = []
    for label in ("all", "bucket"):
        groups = by(pairs, lambda pair, label=label: json.dumps(_group(pair["key"], label)))  # type: ignore[misc]
        for key, some in groups.items():
            changes.append(_change(json.loads(key), some))
    return changes


def _group(key: Sequence[str], label: str) -> tuple[str, str, str, str]:
    chosen, bucket, rung, _, figure = key
    return chosen, bucket if label == "bucket" else "all", rung, figure


def _change(key: Sequence[str], pairs: Sequence[dict[str, Any]]) -> Change:
    before, after = (np.array([pair[name] for pair in pairs], np.float64) for name in ("before", "after"))
    differences = after - before
    draws = np.random.default_rng(0).integers(0, len(differences), (RESAMPLES, len(differences)))
    low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    chosen, bucket, rung, figure = key
    means = (float(before.mean()), float(after.mean()), float(differences.mean()))
    return Change(chosen, bucket, rung, figure, len(pairs), *means, float(low), float(high))


def worst_images(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, float]]:
    """The images whose delivered texts moved furthest away from the truth, with the rise of their
    perceptual distance.
    """

    def distances(content: dict[str, Any]) -> dict[str, float]:
        return {
            image["file"]: float(np.mean([text["perceptual_distance"] for text in image["texts"]]))
            for image in content["images"]
            if image.get("texts")
        }

    one, other = distances(first), distances(second)
    rises = {file: other[file] - one[file] for file in one if file in other}
    return [(file, rise) for file, rise in sorted(rises.items(), key=lambda item: -item[1])[:WORST] if rise > 0]
