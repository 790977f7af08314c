"""Measures what the flow does to pictures without text: it should not touch them.

    python -m benchmarks.no_harm FOLDER [--report FILE]

Every picture in the folder, which must hold no text, goes through `erase_text` in this process.
The result says in how many pictures text was found and confirmed, how many were changed, and how
large the changed share of each was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from flows.erase_text import erase_text
from flows.flow import Flow
from flows.step_by_step import index_row
from operators.masks.mask import BLEND
from operators.models.threads import use_one_thread
from operators.rows.regions import ERASED, KEPT
from operators.rows.table import Row, row_views

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MOST_CHANGED = 1 / 200
"""Largest share of pictures without text that may be changed."""
MOST_FALSE = 0.05
"""Largest share of pictures without text in which text may be confirmed."""
MOST_AREA = 0.01
"""Largest share of a picture without text that may be changed."""


@dataclass(frozen=True)
class Harm:
    """What happened to one picture without text."""

    file: str
    verdict: str
    kept: int
    """Detections that were not confirmed."""
    confirmed: int
    """Detections that were taken for text."""
    changed: float
    """Share of the picture that was changed, 0..1."""


def measure(file: Path, flow: Flow) -> Harm:
    """What the flow does to one picture."""
    table = index_row(file)
    for operator in flow.operators:
        operator.open()
        table = operator.apply(table)
    (row,) = row_views(table)
    kept = sum(region["state"] == KEPT for region in row.regions)
    return Harm(file.name, row["verdict"], kept, len(row.regions) - kept, _changed_share(row))


def _changed_share(row: Row) -> float:
    if row["verdict"] in ("failed", "skipped") or not row["width"]:
        return 0.0
    touched = np.zeros((row["height"], row["width"]), bool)
    for region in row.regions:
        if region["state"] == ERASED:
            box = region.crop
            touched[box.y : box.y + box.height, box.x : box.x + box.width] |= region.array("mask", 4)[:, :, BLEND] > 0
    return float(touched.mean())


def pictures(folder: Path) -> Iterator[Path]:
    """The pictures of a folder and its subfolders, by name."""
    return (file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES)


def summary(harms: Sequence[Harm]) -> dict[str, float]:
    """The counts over all pictures, and the largest changed share."""
    return {
        "pictures": len(harms),
        "with_detections": sum(harm.kept + harm.confirmed > 0 for harm in harms),
        "with_confirmed_texts": sum(harm.confirmed > 0 for harm in harms),
        "changed": sum(harm.changed > 0 for harm in harms),
        "largest_changed_share": max((harm.changed for harm in harms), default=0.0),
    }


def main() -> None:
    """Measure, print the figures, and end with 1 if they are beyond the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="pictures without text")
    parser.add_argument("--report", type=Path, help="JSON file for the figures of every picture")
    options = parser.parse_args()
    use_one_thread()
    flow = erase_text()
    harms = []
    for file in pictures(options.folder):
        harm = measure(file, flow)
        harms.append(harm)
        if harm.confirmed:
            print(f"{harm.file}: {harm.verdict}, {harm.confirmed} confirmed, {harm.changed:.2%} changed", flush=True)
    result = summary(harms)
    print(json.dumps(result, indent=1))
    if options.report:
        options.report.write_text(json.dumps({"summary": result, "pictures": [asdict(harm) for harm in harms]}, indent=1))
    count = max(1, len(harms))
    within = (
        result["changed"] <= MOST_CHANGED * count
        and result["with_confirmed_texts"] <= MOST_FALSE * count
        and result["largest_changed_share"] <= MOST_AREA
    )
    raise SystemExit(0 if within else 1)


if __name__ == "__main__":
    main()
