"""Charts as inline SVG, so that a report is one file that needs no network and no script to be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

COLOURS = ("#2a7f62", "#c1666b", "#4a6fa5", "#d4a017", "#7d5ba6", "#5b8e7d")
WIDTH, ROW, LABEL, VALUE = 640, 15, 190, 60


def bars(
    title: str,
    groups: Mapping[str, Mapping[str, float]],
    unit: str = "",
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> str:
    """Horizontal bars: one group of bars per key of `groups`, one bar per series in it, values written at their ends.

    `intervals` draws a whisker from low to high over a bar. Values that are not finite are left out.
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
        for one, value in values.items():
            if not math.isfinite(value):
                y += ROW
                continue
            colour, length = COLOURS[series.index(one) % len(COLOURS)], max(0.5, value * scale)
            hint = f"<title>{escape(one)}: {value:.4g}{unit}</title>"
            lines.append(f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{ROW - 3}" fill="{colour}">{hint}</rect>')
            end = length
            if intervals and one in intervals.get(name, {}):
                low, high = intervals[name][one]
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
