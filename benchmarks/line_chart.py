"""Line charts as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from flows.reports.charts import COLOURS

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 280, 60, 40, 24


def line_chart(title: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """An SVG with one line per series of (x, y); the axes run from zero to the largest value."""
    points = [point for values in series.values() for point in values]
    most_x, most_y = max(x for x, _ in points) or 1, max(y for _, y in points) or 1
    wide, high = WIDTH - LEFT - 10, HEIGHT - BOTTOM - TOP

    def place(x: float, y: float) -> str:
        return f"{LEFT + wide * x / most_x:.1f},{TOP + high * (1 - y / most_y):.1f}"

    parts = []
    for index, (name, values) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(place(x, y) for x, y in values)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{LEFT + 10 + 150 * index}" y="{HEIGHT - 6}" fill="{colour}">{escape(name)}</text>')
    ticks = [
        f'<text x="{LEFT - 6}" y="{TOP + high * (1 - part):.0f}" text-anchor="end">{part * most_y:.4g}</text>'
        for part in (0, 0.5, 1)
    ]
    ticks += [
        f'<text x="{LEFT + wide * part:.0f}" y="{HEIGHT - 24}" text-anchor="middle">{part * most_x:,.0f}</text>'
        for part in (0, 0.5, 1)
    ]
    axes = f'<path d="M{LEFT} {TOP}V{TOP + high}H{LEFT + wide}" fill="none" stroke="#888"/>'
    head = f'<text x="0" y="14">{escape(title)}</text>'
    style = 'style="font:12px sans-serif" xmlns="http://www.w3.org/2000/svg"'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" {style}>{head}{axes}{"".join(ticks)}{"".join(parts)}</svg>'
