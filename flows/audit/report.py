"""Present an audit as a table on the terminal, as JSON, and as a self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict, final

from rich.table import Table

from flows.audit.audit import Audit, FigureRecord, figures
from flows.audit.boundaries.crossing import BAND_NAMES
from flows.audit.contracts import BOUNDS, LEAST_SEEN, Bound, breaches
from flows.reports.charts import tiles
from flows.reports.page import render_page
from operators.rows.counted import counted

COLUMNS = ("boundary", "images", "PSNR", "largest", "bands", "lost", "")


class BoundRecord(TypedDict):
    """A `Bound` in audit.json."""

    why: str
    psnr: float | None
    grey_levels: float | None
    band_energy: tuple[float | None, ...]
    cells_lost: float | None


class BrokenRecord(TypedDict):
    """A picture that breaks a bound, and its breaches as text."""

    path: str
    breaches: list[str]


class BoundaryRecord(TypedDict):
    """A boundary in audit.json, and the number of pictures that crossed it."""

    boundary: str
    pictures: int
    bound: BoundRecord


@final
class SkippedRecord(BoundaryRecord):
    """A boundary that no picture crossed, and the reason."""

    not_crossed: str


@final
class CrossedRecord(BoundaryRecord, FigureRecord):
    """A boundary with its figures over all pictures, and the pictures that break its bound."""

    broken: list[BrokenRecord]


def records(audit: Audit) -> list[CrossedRecord | SkippedRecord]:
    """Make the record of every boundary, in the order an image crosses them."""
    return [_record(audit, boundary, bound) for boundary, bound in BOUNDS.items()]


def _record(audit: Audit, boundary: str, bound: Bound) -> CrossedRecord | SkippedRecord:
    crossings = audit.crossings(boundary)
    base = BoundaryRecord(
        boundary=boundary,
        pictures=len(crossings),
        bound=BoundRecord(
            why=bound.why,
            psnr=bound.psnr,
            grey_levels=bound.grey_levels,
            band_energy=bound.band_energy,
            cells_lost=bound.cells_lost,
        ),
    )
    total = audit.pooled(boundary)
    if total is None:
        return {**base, "not_crossed": audit.not_crossed(boundary)}
    broken = [
        BrokenRecord(path=path, breaches=list(map(str, found)))
        for path, crossing in crossings
        if (found := list(breaches(crossing)))
    ]
    return {**base, **figures(total), "broken": broken}


def table(audit: Audit) -> Table:
    """Tabulate the boundaries that pictures crossed, in 80 columns.

    Figures are over all pictures; a bound applies to each picture separately. `bands` is the least
    share of the energy that arrives in any octave band, `lost` the share of a mask's cells that
    does not arrive. The page has every band.
    """
    result = Table(
        *COLUMNS,
        title=f"{counted(len(audit.measured), 'picture')} of {audit.source}",
        box=None,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )
    for column in result.columns[1:-1]:
        column.justify, column.no_wrap = "right", True
    for record in records(audit):
        if "not_crossed" not in record:
            result.add_row(*_cells(record))
    return result


def notes(audit: Audit) -> list[str]:
    """What the embedding sees, and which boundaries were not crossed: what the table leaves out."""
    lines = []
    if sees := audit.visibility():
        lines.append("embedding sees: " + ", ".join(f"{share:.2f} of {thing}" for thing, share in sees.items()))
    by_reason: dict[str, list[str]] = {}
    for record in records(audit):
        if "not_crossed" in record:
            by_reason.setdefault(record["not_crossed"], []).append(record["boundary"])
    return lines + [f"not measured, {reason}: {'; '.join(boundaries)}" for reason, boundaries in by_reason.items()]


def _cells(record: CrossedRecord) -> list[str]:
    shares = [share for share in record["band_energy"] if share is not None]
    bands = f"{min(shares):.2f}" if shares else "-"
    lost = "-" if record["cells_lost"] is None else f"{record['cells_lost']:.1%}"
    figure_cells = [psnr_text(record), levels_text(record), bands, lost]
    return [record["boundary"], str(record["pictures"]), *figure_cells, _state(record)]


def _state(record: CrossedRecord) -> str:
    if record["broken"]:
        return f"broken: {len(record['broken'])}"
    return "kept" if has_limit(record["bound"]) else "compared"


def has_limit(bound: BoundRecord) -> bool:
    """Whether a bound limits any figure."""
    return any(limit is not None for limit in (bound["psnr"], bound["grey_levels"], bound["cells_lost"], *bound["band_energy"]))


def psnr_text(record: FigureRecord) -> str:
    """Format a PSNR in dB; `exact` without any error, `-` without values."""
    if record["exact"]:
        return "exact"
    return "-" if record["psnr"] is None else f"{record['psnr']:.1f}"


def levels_text(record: FigureRecord) -> str:
    """Format the largest error in levels of 255."""
    return "-" if record["grey_levels"] is None else f"{record['grey_levels']:.3g}"


def bound_text(bound: BoundRecord) -> str:
    """Summarise the limits of a bound in a few words."""
    parts = []
    if bound["psnr"] is not None:
        parts.append(f"PSNR ≥ {bound['psnr']:.1f} dB")
    if bound["grey_levels"] is not None:
        parts.append(f"error ≤ {bound['grey_levels']:.2g} levels")
    limits = {name: least for name, least in zip(BAND_NAMES, bound["band_energy"], strict=True) if least is not None}
    if limits:
        parts.append(f"{', '.join(limits)} ≥ {min(limits.values()):g}")
    if bound["cells_lost"] is not None:
        parts.append(f"cells lost ≤ {bound['cells_lost']:.0%}")
    return "; ".join(parts) or "none"


def write_audit(audit: Audit, out: Path) -> Path:
    """Write audit.json and audit.html to a folder, and return the path of the page.

    Creates the folder if it does not exist.
    """
    out.mkdir(parents=True, exist_ok=True)
    boundaries, visibility = records(audit), audit.visibility()
    content = {
        "source": audit.source,
        "pictures": len(audit.measured),
        "failures": dict(audit.failures),
        "boundaries": boundaries,
        "broken": audit.broken_bounds(),
        "embedding": {
            "sees": visibility,
            "bound": LEAST_SEEN,
            "not_crossed": None if visibility else audit.not_crossed("embedding"),
        },
        "by_picture": {
            picture.path: {crossing.boundary: figures(crossing) for crossing in picture.crossings} for picture in audit.measured
        },
    }
    (out / "audit.json").write_text(json.dumps(content, indent=1, allow_nan=False))
    filters: dict[str, Callable[..., str]] = {"psnr": psnr_text, "levels": levels_text, "bound": bound_text}
    charts = _draw_charts(audit, boundaries, visibility)
    page = render_page("audit.html.j2", filters, content=content, bands=BAND_NAMES, charts=charts)
    path = out / "audit.html"
    path.write_text(page)
    return path


def _draw_charts(audit: Audit, boundaries: Sequence[CrossedRecord | SkippedRecord], visibility: dict[str, float]) -> list[str]:
    """Draw the grids of the page, with a frame around every tile whose bound is broken."""
    crossed = [record for record in boundaries if "not_crossed" not in record]
    energies = {record["boundary"]: _by_band(record["band_energy"]) for record in crossed}
    cells = {record["boundary"]: {"cells": 1 - lost} for record in crossed if (lost := record["cells_lost"]) is not None}
    broken = {record["boundary"]: _broken_figures(audit, record["boundary"]) for record in crossed}
    charts = [
        tiles(
            "Information cliffs: energy that arrives, by octave band; framed: bound broken",
            {boundary: shares for boundary, shares in energies.items() if shares},
            broken,
        ),
        tiles("Share of a mask's cells that arrive", cells, broken),
    ]
    if visibility:
        title = "What the embedding sees: its move for a grey level removed, best seen at 1"
        starved = {thing for thing, share in visibility.items() if share < LEAST_SEEN}
        charts.append(tiles(title, {"embedding": visibility}, {"embedding": starved}))
    return charts


def _broken_figures(audit: Audit, boundary: str) -> set[str]:
    return {breach.figure for _, crossing in audit.crossings(boundary) for breach in breaches(crossing)}


def _by_band(shares: Sequence[float | None]) -> dict[str, float]:
    return {name: share for name, share in zip(BAND_NAMES, shares, strict=True) if share is not None}
