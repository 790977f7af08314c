"""Draw charts as inline SVG, so that a report is one file without scripts or network access."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from html import escape

COLOURS = ("#2a7f62", "#c1666b", "#4a6fa5", "#d4a017", "#7d5ba6", "#5b8e7d")
WIDTH, ROW, LABEL, VALUE = 640, 15, 190, 60
"""Pixels: the width of a chart, the height of a bar, and the columns of its label and value."""
TILE, TILE_LABEL = 19, 250
"""Pixels: the height of a tile, and the width of the column of its label."""


def bars(
    title: str,
    groups: Mapping[str, Mapping[str, float]],
    unit: str = "",
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> str:
    """Draw horizontal bars: a group per key of `groups`, and in it a bar per series.

    Each bar ends with its value. `intervals` draws a whisker from low to high over a bar. Values
    that are not finite have no bar.
    """
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    highs = [high for values in (intervals or {}).values() for _, high in values.values()]
    finite = [value for values in groups.values() for value in values.values() if math.isfinite(value)]
    largest = max([*finite, *highs, 1e-9])
    scale = (WIDTH - LABEL - VALUE) / largest
    lines, y = [], 26
    for name, values in groups.items():
        middle = y + ROW * len(values) / 2 + 4
        lines.append(f'<text x="{LABEL - 8}" y="{middle:.0f}" text-anchor="end">{escape(str(name))}</text>')
        for label, value in values.items():
            if not math.isfinite(value):
                y += ROW
                continue
            colour, length = COLOURS[series.index(label) % len(COLOURS)], max(0.5, value * scale)
            hint = f"<title>{escape(label)}: {value:.4g}{unit}</title>"
            lines.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{ROW - 3}" fill="{colour}">{hint}</rect>')
            end = length
            if intervals and label in intervals.get(name, {}):
                low, high = intervals[name][label]
                end = max(length, high * scale)
                across = f'x1="{LABEL + low * scale:.1f}" x2="{LABEL + high * scale:.1f}"'
                lines.append(f'<line {across} y1="{y + 6}" y2="{y + 6}" stroke="currentColor" stroke-width="1.5"/>')
            lines.append(f'<text x="{LABEL + end + 5:.0f}" y="{y + 10}" class="value">{value:.3g}{unit}</text>')
            y += ROW
        y += 7
    legend = "".join(
        f'<tspan fill="{COLOURS[index % len(COLOURS)]}">&#9632;</tspan> {escape(name)}&#160;&#160; '
        for index, name in enumerate(series)
    )
    head = f'<text x="0" y="13" class="title">{escape(title)}</text>'
    key = f'<text x="{LABEL}" y="{y + 12}">{legend}</text>' if len(series) > 1 else ""
    return f'<svg viewBox="0 0 {WIDTH} {y + 22}" class="chart" role="img">{head}{"".join(lines)}{key}</svg>'


def tiles(title: str, rows: Mapping[str, Mapping[str, float]], marked: Mapping[str, Collection[str]] | None = None) -> str:
    """Draw a grid of shares, 0..1: a line per key of `rows`, and a column per name in them.

    Smaller shares are darker. A missing share has no tile. `marked` names the tiles of each line
    that get a frame.
    """
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    width = min(90, (WIDTH - TILE_LABEL) // max(1, len(names)))
    lines = [f'<text x="0" y="13" class="title">{escape(title)}</text>']
    for column, name in enumerate(names):
        middle = TILE_LABEL + width * (column + 0.5)
        lines.append(f'<text x="{middle:.0f}" y="32" text-anchor="middle">{escape(name)}</text>')
    y = 38
    for label, values in rows.items():
        lines.append(f'<text x="{TILE_LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>')
        for name, share in values.items():
            x = TILE_LABEL + width * names.index(name)
            hint = f"{label}, {name}: {share:.4g}"
            frame = ' stroke="#e0a100" stroke-width="3"' if name in (marked or {}).get(label, ()) else ""
            size = f'x="{x + 1}" y="{y + 1}" width="{width - 2}" height="{TILE - 2}"'
            lines.append(f'<rect {size} fill="{_shade(share)}"{frame}><title>{escape(hint)}</title></rect>')
            ink = "#fff" if share < 0.5 else "#111"
            lines.append(
                f'<text x="{x + width / 2:.0f}" y="{y + 13}" text-anchor="middle" style="fill:{ink}">{share:.2f}</text>'
            )
        y += TILE
    return f'<svg viewBox="0 0 {WIDTH} {y + 6}" class="chart" role="img">{"".join(lines)}</svg>'


def _shade(share: float) -> str:
    """A colour from dark (0) to light (1); the lightness differs too, for reading in grey."""
    dark, light = (94, 23, 43), (214, 236, 224)
    clipped = min(1.0, max(0.0, share))
    return "#" + "".join(f"{round(low + (high - low) * clipped):02x}" for low, high in zip(dark, light, strict=True))
