"""The tables of an evaluation: its records summarised by rung, bucket, place and operator."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from flows.evaluation.acceptance import REFUSALS
from flows.evaluation.calibrate import BAD
from flows.evaluation.measure import EDITED, finite
from flows.evaluation.records import OUTCOMES, EvaluatedFill, Evaluation, TableRow
from flows.reports.drift import warnings
from flows.reports.latency import latency_rows

Record = TypeVar("Record")
Key = TypeVar("Key", bound=Hashable)

RUNG_FIGURES = (
    "perceptual_distance",
    "psnr",
    "ssim",
    "age",
    "error_pixels",
    "clustered_error_pixels",
    "seam",
    "colour_shift",
    "overshoot",
    "characters_read",
)
"""The figures of a fill that the tables show, in order."""

PLACES = ("mask_area", "stroke_thickness", "texture", "brightness", "count")
"""The figures at whose terciles the table of failures divides the fills."""

WORST = 12


class Rate(NamedTuple):
    """A rate and its 95 % interval, each 0..1."""

    rate: float
    low: float
    high: float


def mean(values: Iterable[float | None]) -> float:
    """The mean of the finite values; NaN without any."""
    numbers = finite(list(values))
    return float(np.mean(numbers)) if numbers else float("nan")


def wilson(bad: int, total: int) -> Rate:
    """The rate of `bad` in `total` with its interval (Wilson 1927); NaN if `total` is 0."""
    if total == 0:
        return Rate(float("nan"), float("nan"), float("nan"))
    z, rate = 1.96, bad / total
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return Rate(rate, max(0.0, centre - half), min(1.0, centre + half))


def by(records: Iterable[Record], key: Callable[[Record], Key]) -> dict[Key, list[Record]]:
    """The records grouped by their key; groups are in the order of their first members."""
    groups: dict[Key, list[Record]] = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return dict(groups)


def rung_table(content: Evaluation, chosen: str) -> list[TableRow]:
    """Mean figures of each rung's fills in one set, overall and per bucket."""
    fills = [fill for fill in content["fills"] if fill["set"] == chosen]
    rows: list[TableRow] = []
    for bucket, bucket_fills in {"all": fills, **by(fills, lambda fill: fill["bucket"])}.items():
        for rung, rung_fills in by(bucket_fills, lambda fill: fill["rung"]).items():
            figures = {name: mean(fill["figures"].get(name) for fill in rung_fills) for name in RUNG_FIGURES}
            rows.append({"bucket": bucket, "rung": rung, "fills": len(rung_fills), **figures})
    return rows


def delivered_table(content: Evaluation, chosen: str) -> list[TableRow]:
    """Verdicts of the whole flow in one set and figures at the texts, overall and per bucket."""
    images = [image for image in content["images"] if image["set"] == chosen]
    rows: list[TableRow] = []
    for bucket, members in {"all": images, **by(images, lambda image: image["bucket"])}.items():
        texts = [text for image in members for text in image.get("texts", [])]
        edited = [text for image in members if image["verdict"] in EDITED for text in image.get("texts", [])]
        erased = [image["eraseness"] for image in members if "eraseness" in image]
        rows.append(
            {
                "bucket": bucket,
                "images": len(members),
                **{
                    verdict: sum(image["verdict"] == verdict for image in members)
                    for verdict in (*EDITED, "rolled_back", "untouched")
                },
                "perceptual_distance": mean(text["perceptual_distance"] for text in texts),
                "edited_distance": mean(text["perceptual_distance"] for text in edited),
                "psnr": mean(text["psnr"] for text in texts),
                "ms_ssim": mean(image["figures"]["ms_ssim"] for image in members if "figures" in image),
                "ms_ssim_unscaled": mean(image["figures"]["ms_ssim_unscaled"] for image in members if "figures" in image),
                "recall": mean(erase["recall"] for erase in erased),
                "recall_before": mean(erase["recall_before"] for erase in erased),
                "characters_read": mean(text["characters_read"] for text in texts),
                "fills": sum(image["fills"] for image in members),
            }
        )
    return rows


def acceptance_table(content: Evaluation, chosen: str) -> list[TableRow]:
    """How many pictures of one set a person would accept, overall and per bucket.

    `accepted` is the share of the pictures with its 95 % interval `low` to `high`, `damaged` the
    share of the edited ones that are not acceptable, and `wrongly_refused` the share of the texts
    with a refused fill whose fill was acceptable. `missed` counts pictures whose text was left.
    Pictures with text and without truth are left out.
    """
    images = [image for image in content["images"] if image["set"] == chosen and "outcome" in image]
    rows: list[TableRow] = []
    for bucket, members in {"all": images, **by(images, lambda image: image["bucket"])}.items():
        counts = Counter(image["outcome"] for image in members)
        edited = sum(image["verdict"] in EDITED for image in members)
        judged = [text["wrongly_refused"] for image in members for text in image.get("texts", [])]
        refused = [wrongly for wrongly in judged if wrongly is not None]
        rate, low, high = wilson(counts["accepted"], len(members))
        rows.append(
            {
                "bucket": bucket,
                "images": len(members),
                "accepted": rate,
                "low": low,
                "high": high,
                "edited": edited,
                "damaged": wilson(counts["damaged"], edited).rate,
                "missed": counts["missed"],
                "refused_texts": len(refused),
                "wrongly_refused": wilson(sum(refused), len(refused)).rate,
            }
        )
    return rows


def refusal_table(content: Evaluation, chosen: str) -> list[TableRow]:
    """How many pictures of one set each part of the rule refuses, of changed and of left ones."""
    images = [image for image in content["images"] if image["set"] == chosen and image.get("refusal")]
    return [
        {"part": part, **{outcome: sum(image["outcome"] == outcome for image in members) for outcome in OUTCOMES[1:]}}
        for part in REFUSALS
        if (members := [image for image in images if image["refusal"] == part])
    ]


def robustness_table(content: Evaluation) -> list[TableRow]:
    """Per rung, the mean perceptual distance with the mask as found and with worse ones, and the
    deviation across seeds.
    """
    rows: list[TableRow] = []
    for rung, fills in by(content["fills"], lambda fill: fill["rung"]).items():
        perturbed = [fill["perturbed"] for fill in fills if "perturbed" in fill]
        names = list(perturbed[0]) if perturbed else []
        rows.append(
            {
                "rung": rung,
                "as found": mean(fill["figures"].get("perceptual_distance") for fill in fills),
                **{name: mean(distances[name] for distances in perturbed) for name in names},
                "seed_deviation": mean(fill.get("seed_deviation") for fill in fills),
                "pixel_deviation": mean(fill.get("pixel_deviation") for fill in fills),
            }
        )
    return rows


def failure_table(content: Evaluation) -> list[TableRow]:
    """How often each rung's fills are bad in each kind of place, with 95 % intervals.

    Places are divided at the terciles of PLACES, by whether the text touches the picture's
    border, and by the source's format.
    """
    bound = content["calibration"]["bad_perceptual_distance"] or BAD
    rows: list[TableRow] = []
    measured = [fill for fill in content["fills"] if _distance(fill) is not None]
    for place in PLACES:
        values = [fill["place"][place] for fill in measured]
        low, high = np.percentile(values, [33.3, 66.7]) if values else (0.0, 0.0)
        edges = (-math.inf, low, high, math.inf)
        labels = (f"{place} up to {low:.3g}", f"{place} up to {high:.3g}", f"{place} above")
        for label, above, most in zip(labels, edges, edges[1:], strict=False):
            rows += _failure_rows(label, [fill for fill in measured if above < fill["place"][place] <= most], bound)
    for label, at_border in (("text at the border", True), ("text inside", False)):
        rows += _failure_rows(label, [fill for fill in measured if fill["place"]["border"] == at_border], bound)
    for label, is_jpeg in (("JPEG source", True), ("lossless source", False)):
        fills = [fill for fill in measured if fill["file"].lower().endswith((".jpg", ".jpeg")) == is_jpeg]
        rows += _failure_rows(label, fills, bound)
    return rows


def _distance(fill: EvaluatedFill) -> float | None:
    return fill["figures"].get("perceptual_distance")


def _failure_rows(label: str, fills: Sequence[EvaluatedFill], bound: float) -> list[TableRow]:
    rows: list[TableRow] = []
    for rung, members in by(fills, lambda fill: fill["rung"]).items():
        distances = [distance for fill in members if (distance := _distance(fill)) is not None]
        rate, low, high = wilson(sum(distance > bound for distance in distances), len(members))
        rows.append({"place": label, "rung": rung, "fills": len(members), "bad": rate, "low": low, "high": high})
    return rows


def latency_table(timings: Mapping[str, Mapping[str, float]]) -> list[TableRow]:
    """P50, P95 and P99 in milliseconds per image, and the share of all time, for every operator
    and for the whole image.
    """
    return latency_rows(timings.values())


def drift_warnings(content: Evaluation) -> list[str]:
    """Where this suite's regions lie outside the range that the gate was calibrated on; see
    `flows.reports.drift`.
    """
    return warnings([fill["place"] for fill in content["fills"]], content["rungs"])


def verdicts(content: Evaluation) -> dict[str, int]:
    """The number of images per verdict."""
    return dict(Counter(image["verdict"] for image in content["images"]))
