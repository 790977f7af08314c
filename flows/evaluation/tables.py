"""The tables of an evaluation: its records summed up by rung, bucket, place and code."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from flows.evaluation.calibrate import BAD
from flows.evaluation.measure import finite
from flows.reports.drift import warnings
from flows.reports.latency import percentiles

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
"""The figures of a fill that the tables show, in their order."""

PLACES = ("mask_area", "stroke_thickness", "texture", "brightness", "count")
"""What failure rates are cut by, each at its terciles; and whether the text touches the picture's
border.
"""

WORST = 12


def mean(values: Iterable[float | None]) -> float:
    """The mean of the values that are numbers; NaN without any."""
    numbers = finite(list(values))
    return float(np.mean(numbers)) if numbers else float("nan")


def wilson(bad: int, total: int) -> tuple[float, float, float]:
    """A rate and its 95 % interval (Wilson 1927), each 0..1."""
    if total == 0:
        return float("nan"), float("nan"), float("nan")
    z, rate = 1.96, bad / total
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return rate, max(0.0, centre - half), min(1.0, centre + half)


def by(records: Sequence[dict[str, Any]], key: Callable[[dict[str, Any]], str]) -> dict[str, list[dict[str, Any]]]:
    """The records in groups, in the order in which the groups first appear."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return dict(groups)


def rung_table(content: dict[str, Any], chosen: str) -> list[dict[str, Any]]:
    """Mean figures of each rung's fills in one set, overall and per bucket."""
    fills = [fill for fill in content["fills"] if fill["set"] == chosen]
    rows = []
    for bucket, records in {"all": fills, **by(fills, lambda fill: fill["bucket"])}.items():
        for rung, some in by(records, lambda fill: fill["rung"]).items():
            figures = {name: mean(fill["figures"].get(name) for fill in some) for name in RUNG_FIGURES}
            rows.append({"bucket": bucket, "rung": rung, "fills": len(some), **figures})
    return rows


def delivered_table(content: dict[str, Any], chosen: str) -> list[dict[str, Any]]:
    """What the whole flow delivers in one set, overall and per bucket: at the texts, and by
    verdict.
    """
    images = [image for image in content["images"] if image["set"] == chosen]
    rows = []
    for bucket, some in {"all": images, **by(images, lambda image: image["bucket"])}.items():
        texts = [text for image in some for text in image.get("texts", [])]
        edited = [text for image in some if image["verdict"] == "edited" for text in image.get("texts", [])]
        erased = [image["eraseness"] for image in some if "eraseness" in image]
        rows.append(
            {
                "bucket": bucket,
                "images": len(some),
                **{
                    verdict: sum(image["verdict"] == verdict for image in some)
                    for verdict in ("edited", "rolled_back", "untouched")
                },
                "perceptual_distance": mean(text["perceptual_distance"] for text in texts),
                "edited_distance": mean(text["perceptual_distance"] for text in edited),
                "psnr": mean(text["psnr"] for text in texts),
                "ms_ssim": mean(image["figures"]["ms_ssim"] for image in some if "figures" in image),
                "ms_ssim_unscaled": mean(image["figures"]["ms_ssim_unscaled"] for image in some if "figures" in image),
                "recall": mean(erase["recall"] for erase in erased),
                "recall_before": mean(erase["recall_before"] for erase in erased),
                "characters_read": mean(text["characters_read"] for text in texts),
                "fills": sum(image["fills"] for image in some),
            }
        )
    return rows


def robustness_table(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Per rung: mean perceptual distance with the mask as it is and with worse ones, and its
    deviation across seeds.
    """
    rows = []
    for rung, some in by(content["fills"], lambda fill: fill["rung"]).items():
        perturbed = [fill for fill in some if "perturbed" in fill]
        names = list(perturbed[0]["perturbed"]) if perturbed else []
        rows.append(
            {
                "rung": rung,
                "as found": mean(fill["figures"].get("perceptual_distance") for fill in some),
                **{name: mean(fill["perturbed"][name] for fill in perturbed) for name in names},
                "seed_deviation": mean(fill.get("seed_deviation") for fill in some),
                "pixel_deviation": mean(fill.get("pixel_deviation") for fill in some),
            }
        )
    return rows


def failure_table(content: dict[str, Any]) -> list[dict[str, Any]]:
    """How often each rung's fills are bad, by what kind of place they are in, with 95 %
    intervals.
    """
    bound = content["calibration"]["bad_perceptual_distance"] or BAD
    rows = []
    measured = [fill for fill in content["fills"] if fill["figures"].get("perceptual_distance") is not None]
    for place in PLACES:
        values = [fill["place"][place] for fill in measured]
        low, high = np.percentile(values, [33.3, 66.7]) if values else (0.0, 0.0)
        edges = (-math.inf, low, high, math.inf)
        labels = (f"{place} up to {low:.3g}", f"{place} up to {high:.3g}", f"{place} above")
        for label, above, most in zip(labels, edges, edges[1:], strict=False):
            rows += _failures(label, [fill for fill in measured if above < fill["place"][place] <= most], bound)
    for label, at_border in (("text at the border", True), ("text inside", False)):
        rows += _failures(label, [fill for fill in measured if fill["place"]["border"] == at_border], bound)
    for label, is_jpeg in (("JPEG source", True), ("lossless source", False)):
        some = [fill for fill in measured if fill["file"].lower().endswith((".jpg", ".jpeg")) == is_jpeg]
        rows += _failures(label, some, bound)
    return rows


def _failures(label: str, fills: Sequence[dict[str, Any]], bound: float) -> list[dict[str, Any]]:
    rows = []
    for rung, some in by(fills, lambda fill: fill["rung"]).items():
        bad = sum(fill["figures"]["perceptual_distance"] > bound for fill in some)
        rate, low, high = wilson(bad, len(some))
        rows.append({"place": label, "rung": rung, "fills": len(some), "bad": rate, "low": low, "high": high})
    return rows


def latency_table(timings: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """P50, P95 and P99 in milliseconds an image, and the share of all time, per operator and for
    the whole image.
    """
    return percentiles(timings.values())


def drift_warnings(content: dict[str, Any]) -> list[str]:
    """Where this suite's regions lie outside what the gate was calibrated on; see
    `flows.reports.drift`.
    """
    return warnings([fill["place"] for fill in content["fills"]], content["rungs"])


def verdicts(content: dict[str, Any]) -> dict[str, int]:
    """Images by verdict."""
    return dict(Counter(image["verdict"] for image in content["images"]))
