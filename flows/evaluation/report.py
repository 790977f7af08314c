"""An evaluation as pages to read: Markdown, and one self-contained HTML file with charts and
sortable pictures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from flows.evaluation import tables
from flows.evaluation.records import EvaluatedImage, Evaluation, TableRow
from flows.evaluation.suite import SETS, Suite
from flows.reports.charts import bars
from flows.reports.page import render_page, thumbnail
from flows.reports.promise import promises_of_run
from operators.rows.records import JsonObject

THUMBNAIL = 200

Timings = Mapping[str, Mapping[str, float]]
"""The content of timings.json: image to operator to milliseconds."""


def write_reports(suite: Suite, out: Path) -> Path:
    """Write report.md and report.html in an evaluation's folder; return the HTML file's path."""
    content: Evaluation = json.loads((out / "evaluation.json").read_text())
    timings: Timings = json.loads((out / "timings.json").read_text())
    sets = _sets(content)
    sections = {
        **{f"Accepted by the eye, set {name}": tables.acceptance_table(content, name) for name in sets},
        **{f"Why pictures are refused, set {name}": rows for name in sets if (rows := tables.refusal_table(content, name))},
        **{f"Delivered by the whole flow, set {name}": tables.delivered_table(content, name) for name in sets},
        **{f"Each rung by itself, set {name}": tables.rung_table(content, name) for name in sets},
        "Worse masks, and other seeds": tables.robustness_table(content),
        "How often a fill is bad, by place": tables.failure_table(content),
        "Milliseconds an image": tables.latency_table(timings),
    }
    warnings = tables.drift_warnings(content)
    (out / "report.md").write_text(_render_markdown(content, sections, warnings))
    page = render_page(
        "evaluation.html.j2",
        {"figure": figure},
        content=content,
        verdicts=tables.verdicts(content),
        sections={title: (list(rows[0]) if rows else [], rows) for title, rows in sections.items()},
        charts=_draw_charts(content, timings, sets[-1]),
        pictures=[_picture_row(suite, out, image) for image in content["images"]],
        varying=_varying_fills(out, content),
        promises=promises_of_run(content["settings"]),
        warnings=warnings,
    )
    (out / "report.html").write_text(page)
    return out / "report.html"


def acceptance_tables(content: Evaluation) -> list[Table]:
    """The acceptance of each set as a table of 80 columns; shares are percentages.

    A set whose pictures have no truth cannot be judged, and has no table.
    """
    result = []
    for name in _sets(content):
        title = f"Accepted by the eye, set {name}"
        table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="dim")
        rows = tables.acceptance_table(content, name)
        if not rows[0]["images"]:
            continue
        for column in rows[0]:
            first = column == "bucket"
            table.add_column(column.replace("_", " "), justify="left" if first else "right", no_wrap=first)
        for row in rows:
            table.add_row(*(_percentage(value) if isinstance(value, float) else str(value) for value in row.values()))
        result.append(table)
    return result


def _percentage(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.0%}"


def _sets(content: Evaluation) -> list[str]:
    """The sets of which the evaluation has images; `tune` if it has none."""
    return [name for name in SETS if any(image["set"] == name for image in content["images"])] or ["tune"]


def figure(value: Any) -> str:
    """A table's value as text: three significant digits, a dash if it could not be measured."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _render_markdown(content: Evaluation, sections: Mapping[str, Sequence[TableRow]], warnings: Sequence[str]) -> str:
    suite = content["suite"]
    lines = [
        f"# Evaluation on {suite['name']}",
        "",
        f"{suite['images']} images, suite {suite['checksum']}, seed {content['seed']}.",
    ]
    lines += ["", *(f"- Promise: {promise}" for promise in promises_of_run(content["settings"]))]
    lines += [f"- Warning: {warning}" for warning in warnings]
    for title, rows in sections.items():
        lines += ["", f"## {title}", ""]
        if rows:
            lines += [f"| {' | '.join(rows[0])} |", f"|{'---|' * len(rows[0])}"]
            lines += [f"| {' | '.join(figure(value) for value in row.values())} |" for row in rows]
    return "\n".join(lines) + "\n"


def _draw_charts(content: Evaluation, timings: Timings, chosen: str) -> list[str]:
    rungs, delivered = tables.rung_table(content, chosen), tables.delivered_table(content, chosen)

    def group(rows: Sequence[TableRow], key: str, series: str, value: str) -> dict[str, dict[str, float]]:
        groups: dict[str, list[TableRow]] = tables.by(rows, lambda row: row[key])
        return {name: {row[series]: row[value] for row in members} for name, members in groups.items()}

    failures = tables.failure_table(content)
    robust = {
        row["rung"]: {name: value for name, value in row.items() if name not in ("rung", "seed_deviation", "pixel_deviation")}
        for row in tables.robustness_table(content)
    }
    latencies = {row["operator"]: {name: row[name] for name in ("p50", "p95", "p99")} for row in tables.latency_table(timings)}
    erased = {row["bucket"]: {"before": row["recall_before"], "after": row["recall"]} for row in delivered}
    return [
        bars(
            f"Quality: perceptual distance to the truth, set {chosen} (lower is better)",
            group(rungs, "bucket", "rung", "perceptual_distance"),
        ),
        bars(f"Quality: PSNR, set {chosen}", group(rungs, "bucket", "rung", "psnr"), " dB"),
        bars("Legibility: share of the texts that are still detected, whole flow", erased),
        bars("Continuity: seam ratio (1 is none)", group(rungs, "bucket", "rung", "seam")),
        bars(
            "Naturalness: share of pixels beyond the clean picture's local range", group(rungs, "bucket", "rung", "overshoot")
        ),
        bars("Robustness: perceptual distance on worse masks", robust),
        bars(
            "Failure rates by place, with 95 % intervals",
            group(failures, "place", "rung", "bad"),
            intervals={
                name: {row["rung"]: (row["low"], row["high"]) for row in members}
                for name, members in tables.by(failures, lambda row: row["place"]).items()
            },
        ),
        bars("Latency of an image by operator, milliseconds", latencies),
    ]


def _picture_row(suite: Suite, out: Path, image: EvaluatedImage) -> JsonObject:
    entry = next(entry for entry in suite.entries if entry.file == image["file"])
    texts = image.get("texts", [])
    return {
        **image,
        "before": data_uri(suite.image(entry)),
        "after": data_uri(out / "images" / image["picture"]),
        "truth": data_uri((suite.folder / "truth" / entry.file).with_suffix(".png")),
        "distance": tables.mean(text["perceptual_distance"] for text in texts),
        "psnr": tables.mean(text["psnr"] for text in texts),
        "characters": sum(text["characters_read"] for text in texts),
        "outcome": image.get("outcome"),
        "refusal": image.get("refusal"),
    }


def _varying_fills(out: Path, content: Evaluation) -> list[JsonObject]:
    """The fills that depend most on the seed, each with the picture of its variance."""
    fills = [fill for fill in content["fills"] if fill.get("variance_picture")]
    worst = sorted(fills, key=lambda fill: -fill["pixel_deviation"])[: tables.WORST]
    return [{**fill, "shown": data_uri(out / "variance" / fill["variance_picture"])} for fill in worst]


def data_uri(path: Path) -> str:
    """A picture as a data URI, at most THUMBNAIL pixels a side; empty if the file is missing."""
    return thumbnail(path.read_bytes(), THUMBNAIL) if path.is_file() else ""
