"""A comparison of two evaluations as one self-contained page: every change, and the pictures that
changed most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from flows.evaluation.compare import Change, worst_images
from flows.evaluation.records import Evaluation
from flows.evaluation.report import data_uri, figure
from flows.reports.charts import bars
from flows.reports.page import render_page


def write_comparison(run_a: Path, run_b: Path, first: Evaluation, second: Evaluation, changes: Sequence[Change]) -> Path:
    """Write comparison.html in the second evaluation's folder and return its path."""
    pictures = [
        {
            "file": file,
            "rise": rise,
            "a": data_uri(run_a / "images" / Path(file).with_suffix(".png").name),
            "b": data_uri(run_b / "images" / Path(file).with_suffix(".png").name),
        }
        for file, rise in worst_images(first, second)
    ]
    delivered = [change for change in changes if change.rung == "delivered" and change.figure == "perceptual_distance"]
    chart = bars(
        "Perceptual distance of what is delivered",
        {f"{change.set} / {change.bucket}": {"A": change.before, "B": change.after} for change in delivered},
    )
    page = render_page(
        "comparison.html.j2",
        {"figure": figure},
        run_a=run_a,
        run_b=run_b,
        chart=chart,
        regressions=[change for change in changes if change.regression],
        changes=[{**asdict(change), "worse": change.regression} for change in changes],
        pictures=pictures,
    )
    path = run_b / "comparison.html"
    path.write_text(page)
    return path
