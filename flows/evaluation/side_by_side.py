"""A quick look at a sample: the same places filled by several generators, and which of the fills
the gate would keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from flows.evaluation.measure import FillJob, crop_of, detect_and_soften, rung_records
from flows.evaluation.records import EvaluatedFill, TableRow
from flows.evaluation.suite import Suite
from flows.evaluation.tables import RUNG_FIGURES, by, mean
from operators.decisions.gate import model_of
from operators.inpaint import Inpaint
from operators.masks.mask import BLEND, pasted
from operators.rows.regions import KEPT
from operators.rows.table import row_views


def sample(suite: Suite, images: int) -> Suite:
    """A suite of at most `images` pictures of another suite, evenly spread over it."""
    chosen = np.linspace(0, len(suite.entries) - 1, images).round().astype(int)
    return replace(suite, entries=tuple(suite.entries[place] for place in dict.fromkeys(chosen.tolist())))


def measure_generators(suite: Suite, generators: Sequence[str]) -> list[EvaluatedFill]:
    """One record per region and generator: the fill's distance from the truth, and the gate's
    measurements.
    """
    return [record for entry in suite.entries for record in rung_records(FillJob(suite, entry, tuple(generators)))]


def generator_table(records: Sequence[EvaluatedFill]) -> list[TableRow]:
    """Mean figures of each generator's fills; see `flows.evaluation.tables.RUNG_FIGURES`."""
    return [
        {
            "generator": generator,
            "fills": len(fills),
            **{name: mean(fill["figures"].get(name) for fill in fills) for name in RUNG_FIGURES},
        }
        for generator, fills in by(records, lambda record: record["rung"]).items()
    ]


def threshold_table(records: Sequence[EvaluatedFill], thresholds: Sequence[float]) -> list[TableRow]:
    """Per generator and threshold of the predicted error: the share of fills kept, and their mean
    visible errors.

    A visible error of 1 is the most that a person accepts. A generator that the gate is not
    calibrated for has no rows.
    """
    rows: list[TableRow] = []
    for generator, fills in by(records, lambda record: record["rung"]).items():
        if (model := model_of(generator)) is None:
            continue
        predicted = np.array([model.predicted_error(fill["measured"]) for fill in fills])
        true = np.array([fill["figures"]["visible_error"] for fill in fills])
        for threshold in thresholds:
            kept = predicted <= threshold
            rows.append(
                {
                    "generator": generator,
                    "threshold": threshold,
                    "kept": float(kept.mean()),
                    "error_of_kept": float(true[kept].mean()) if kept.any() else float("nan"),
                    "error_of_refused": float(true[~kept].mean()) if (~kept).any() else float("nan"),
                }
            )
    return rows


def side_by_side(suite: Suite, generators: Sequence[str]) -> Image.Image:
    """One row per region of the suite: the source, each generator's result, and the truth if it
    is known.
    """
    rows = []
    for entry in suite.entries:
        softened_table, truth = detect_and_soften(suite, entry), suite.truth(entry)
        filled = [row_views(Inpaint(generator).apply(softened_table))[0].regions for generator in generators]
        for number, region in enumerate(row_views(softened_table)[0].regions):
            if region["state"] == KEPT:
                continue
            pixels, blend = region.array("pixels", 3), region.array("mask", 4)[:, :, BLEND]
            fills = [regions[number].fill() for regions in filled]
            row = [pixels, *(pixels if fill is None else pasted(pixels, fill, blend) for fill in fills)]
            rows.append(np.hstack([*row, crop_of(region, truth)] if truth is not None else row))
    width = max((row.shape[1] for row in rows), default=1)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return Image.fromarray(np.vstack(padded) if padded else np.full((1, 1, 3), 255, np.uint8))
