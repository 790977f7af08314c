"""An audit as a table on the terminal, as JSON, and as one self-contained page with the
information cliffs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from flows.audit.audit import Audit, figures
from flows.audit.boundaries.crossing import BAND_NAMES
from flows.audit.contracts import BOUNDS, LEAST_SEEN, breaches
from flows.reports.charts import tiles
from flows.reports.page import render_page

COLUMNS = ("boundary", "pictures", "PSNR", "largest", *BAND_NAMES, "cells lost", "")


def rows(audit: Audit) -> list[dict[str, Any]]:
    """One record for each boundary: its figures over all pictures and in the worst one, its
    bound, what breaks it.
    """
    records = []
    for boundary, bound in BOUNDS.items():
        total, crossed = audit.pooled(boundary), audit.of(boundary)
        record = {"boundary": boundary, "pictures": len(crossed), "bound": asdict(bound)}
        if total is None:
            records.append({**record, "not_crossed": audit.not_crossed(boundary)})
            continue
        broken = [
            {"path": path, "breaches": found} for path, part in crossed if (found := [str(one) for one in breaches(part)])
        ]
        records.append({**record, **dict(figures(total)), "broken": broken})
    return records


def table(audit: Audit) -> Table:
    """The audit for a terminal; every figure over all pictures, bounds held to each picture by
    itself.
    """
    shown = Table(*COLUMNS, title=f"{len(audit.measured)} pictures of {audit.source}")
    for column in shown.columns[1:-1]:
        column.justify = "right"
    for record in rows(audit):
        shown.add_row(*_cells(record))
    for thing, share in audit.seen().items():
        shown.add_row(f"embedding sees {thing}", *[""] * (len(COLUMNS) - 2), f"{share:.2f}")
    return shown


def _cells(record: dict[str, Any]) -> list[str]:
    if "not_crossed" in record:
        return [record["boundary"], "0", *["-"] * (len(COLUMNS) - 3), f"not crossed: {record['not_crossed']}"]
    state = f"broken by {len(record['broken'])}" if record["broken"] else "kept" if promised(record["bound"]) else "compared"
    bands = ["-" if share is None else f"{share:.2f}" for share in record["band_energy"]]
    lost = "-" if record["cells_lost"] is None else f"{record['cells_lost']:.1%}"
    return [record["boundary"], str(record["pictures"]), psnr_text(record), levels_text(record), *bands, lost, state]


def promised(bound: dict[str, Any]) -> bool:
    """Whether a bound holds its boundary to anything."""
    return any(limit is not None for limit in (bound["psnr"], bound["grey_levels"], bound["cells_lost"], *bound["band_energy"]))


def psnr_text(record: dict[str, Any]) -> str:
    """PSNR in dB, `exact` without any error."""
    return "exact" if record["exact"] else "-" if record["psnr"] is None else f"{record['psnr']:.1f}"


def levels_text(record: dict[str, Any]) -> str:
    """The largest error in levels of 255."""
    return "-" if record["grey_levels"] is None else f"{record['grey_levels']:.3g}"


def bound_text(bound: dict[str, Any]) -> str:
    """What a bound allows, in a few words."""
    parts = []
    if bound["psnr"] is not None:
        parts.append(f"PSNR ≥ {bound['psnr']:.1f} dB")
    if bound["grey_levels"] is not None:
        parts.append(f"error ≤ {bound['grey_levels']:.2g} levels")
    kept = [name for name, least in zip(BAND_NAMES, bound["band_energy"], strict=True) if least is not None]
    if kept:
        parts.append(f"{', '.join(kept)} ≥ {min(least for least in bound['band_energy'] if least is not None):g}")
    if bound["cells_lost"] is not None:
        parts.append(f"cells lost ≤ {bound['cells_lost']:.0%}")
    return "; ".join(parts) or "none"


def write_audit(audit: Audit, out: Path) -> Path:
    """Write audit.json and audit.html into a folder, made if need be; returns the page's path."""
    out.mkdir(parents=True, exist_ok=True)
    records, broken, seen = rows(audit), audit.broken_bounds(), audit.seen()
    content = {
        "source": audit.source,
        "pictures": len(audit.measured),
        "failures": dict(audit.failures),
        "boundaries": records,
        "broken": broken,
        "embedding": {"sees": seen, "bound": LEAST_SEEN, "not_crossed": None if seen else audit.not_crossed("embedding")},
        "by_picture": {one.path: {part.boundary: dict(figures(part)) for part in one.crossings} for one in audit.measured},
    }
    (out / "audit.json").write_text(json.dumps(content, indent=1, allow_nan=False))
    filters = {"psnr": psnr_text, "levels": levels_text, "bound": bound_text, "promised": promised}
    page = render_page("audit.html.j2", filters, content=content, bands=BAND_NAMES, charts=_charts(audit, records, seen))
    path = out / "audit.html"
    path.write_text(page)
    return path


def _charts(audit: Audit, records: Sequence[dict[str, Any]], seen: dict[str, float]) -> list[str]:
    crossed = [record for record in records if "not_crossed" not in record]
    banded = [record for record in crossed if any(share is not None for share in record["band_energy"])]
    celled = [record for record in crossed if record["cells_lost"] is not None]
    marked = {record["boundary"]: _broken_figures(audit, record["boundary"]) for record in crossed}
    charts = [
        tiles(
            "Information cliffs: energy that arrives, by octave band; framed: bound broken",
            {record["boundary"]: _named(record["band_energy"]) for record in banded},
            marked,
        ),
        tiles(
            "Share of a mask's cells that arrive",
            {record["boundary"]: {"cells": 1 - record["cells_lost"]} for record in celled},
            marked,
        ),
    ]
    if seen:
        title = "What the embedding sees: its move for a grey level removed, best seen at 1"
        starved = {thing for thing, share in seen.items() if share < LEAST_SEEN}
        charts.append(tiles(title, {"embedding": seen}, {"embedding": starved}))
    return charts


def _broken_figures(audit: Audit, boundary: str) -> set[str]:
    return {breach.figure for _, part in audit.of(boundary) for breach in breaches(part)}


def _named(shares: Sequence[float | None]) -> dict[str, float]:
    return {name: share for name, share in zip(BAND_NAMES, shares, strict=True) if share is not None}
