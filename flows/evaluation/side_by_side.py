"""A quick look at a sample: the same places filled by several generators, and what the gate would
keep of their fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from flows.evaluation.measure import FillJob, crop_of, detect_and_soften, rung_records
from flows.evaluation.suite import Suite
from flows.evaluation.tables import RUNG_FIGURES, by, mean
from operators.decisions.gate import model_of
from operators.inpaint import Inpaint
from operators.masks.mask import BLEND, pasted
from operators.rows.table import row_views


def sample(suite: Suite, images: int) -> Suite:
    """A suite of `images` of another one's pictures, evenly spread over it."""
    chosen = np.linspace(0, len(suite.entries) - 1, images).round().astype(int)
    return replace(suite, entries=tuple(suite.entries[place] for place in dict.fromkeys(chosen.tolist())))


def measure_generators(suite: Suite, generators: Sequence[str]) -> list[dict[str, Any]]:
    """One record for every region and generator: how far the fill is from the truth, and what the
    gate measures of it.
    """
    return [record for entry in suite.entries for record in rung_records(FillJob(suite, entry, tuple(generators)))]


def generator_table(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean figures of each generator's fills; see `flows.evaluation.tables.RUNG_FIGURES`."""
    return [
        {
            "generator": generator,
            "fills": len(some),
            **{n: mean(record["figures"].get(n) for record in some) for n in RUNG_FIGURES},
        }
        for generator, some in by(records, lambda record: record["rung"]).items()
    ]


def threshold_table(records: Sequence[dict[str, Any]], thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """Per generator and threshold of the predicted distance: the share of fills kept, and their
    mean distance from the truth.

    The distances are perceptual (shift-tolerant LPIPS). A generator that the gate is not
    calibrated for has no rows.
    """
    rows = []
    for generator, some in by(records, lambda record: record["rung"]).items():
        if (model := model_of(generator)) is None:
            continue
        predicted = np.array([model.predicted_distance(record["measured"]) for record in some])
        true = np.array([record["figures"]["perceptual_distance"] for record in some])
        for threshold in thresholds:
            kept = predicted <= threshold
            rows.append(
                {
                    "generator": generator,
                    "threshold": threshold,
                    "kept": float(kept.mean()),
                    "distance_of_kept": float(true[kept].mean()) if kept.any() else float("nan"),
                    "distance_of_refused": float(true[~kept].mean()) if (~kept).any() else float("nan"),
                }
            )
    return rows


def side_by_side(suite: Suite, generators: Sequence[str]) -> Image.Image:
    """A row for each region of the suite: the source, what each generator makes of it, and the
    truth if there is one.
    """
    rows = []
    for entry in suite.entries:
        softened_table, truth = detect_and_soften(suite, entry), suite.truth(entry)
        filled = [row_views(Inpaint(generator).apply(softened_table))[0].regions for generator in generators]
        for number, region in enumerate(row_views(softened_table)[0].regions):
            pixels, blend = region.array("pixels", 3), region.array("mask", 4)[:, :, BLEND]
            fills = [regions[number].fill() for regions in filled]
            row = [pixels, *(pixels if fill is None else pasted(pixels, fill, blend) for fill in fills)]
            rows.append(np.hstack([*row, crop_of(region, truth)] if truth is not None else row))
    width = max((row.shape[1] for row in rows), default=1)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return Image.fromarray(np.vstack(padded) if padded else np.full((1, 1, 3), 255, np.uint8))
