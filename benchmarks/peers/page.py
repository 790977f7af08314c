"""Renders the results as Markdown: a table per match, the split of the time, and the targets."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.contenders import CONTENDERS, Contender

MATCHES = {
    "text": "Text found, erased and verified",
    "masks": "The same masks given to both",
}
OURS = "cleanplate, fused"
STAGED = "cleanplate, staged"
POOL = "multiprocessing pool"
PACKAGED = "pool, packaged detector"


@dataclass(frozen=True)
class Target:
    """A bound on the ratio of cleanplate's figure to another contender's."""

    ours: str
    theirs: str
    figure: str
    least: float = 0.0
    most: float = float("inf")


TARGETS = (
    Target(OURS, "plain loop", "images_per_second", least=1.0),
    Target(OURS, "Ray Data, read_images", "images_per_second", least=1.0),
    Target(OURS, "Daft", "images_per_second", least=1.0),
    Target("cleanplate, given masks", "IOPaint", "images_per_second", least=1.0),
    Target(OURS, "Daft", "images_per_core_second", least=1.0),
    Target(OURS, POOL, "images_per_core_second", least=1.0),
    Target(OURS, POOL, "images_per_core_second_whole", least=0.95),
    Target(OURS, PACKAGED, "images_per_core_second", least=1.6),
    Target(STAGED, OURS, "images_per_core_second", least=0.8),
    Target(OURS, POOL, "peak_megabytes", most=1.5),
    Target(OURS, "Ray Data, read_images", "peak_megabytes", most=0.5),
)
COLUMNS = (
    "images/s",
    "images per core second",
    "with start and end",
    "busy",
    "peak MB",
    "of it shared",
    "spilled MB",
    "written MB",
    "start-up s",
    "wind-up s",
    "model",
    "codec",
    "I/O",
    "other steps",
    "engine",
    "others' share",
)


def render_results(figures: Mapping[str, Any]) -> str:
    """The page for the figures of a benchmark."""
    return "\n".join(_lines(figures)) + "\n"


def _lines(figures: Mapping[str, Any]) -> Iterator[str]:
    contenders = figures["contenders"]
    yield (
        f"# {figures['pictures']} pictures of {figures['picture_megabytes']:.0f} MB, {figures['cores']} cores, "
        f"medians of {len(figures['rounds'])} rounds"
    )
    for match, title in MATCHES.items():
        present = [contender for contender in CONTENDERS if contender.match == match and contender.name in contenders]
        if present:
            yield from ("", f"## {title}", "", *_table(present, contenders))
    yield from ("", "## Targets", "", "| ours over theirs | is | aimed at | |", "|---|---|---|---|")
    for target in TARGETS:
        if target.ours in contenders and target.theirs in contenders:
            value = ratio_of(figures["rounds"], target)
            met = target.least <= value <= target.most
            aim = f"at least {target.least:g}" if target.least else f"at most {target.most:g}"
            name = f"{target.figure.replace('_', ' ')}, {target.ours} over {target.theirs}"
            yield f"| {name} | {value:.2f} | {aim} | {_met(met)} |"


def ratio_of(rounds: Sequence[Mapping[str, Any]], target: Target) -> float:
    """The median over the rounds of our figure over theirs in the same round.

    For peaks, it is our highest over their highest.
    """
    if target.figure.startswith("peak"):
        ours, theirs = (max(figures[name][target.figure] for figures in rounds) for name in (target.ours, target.theirs))
        return float(ours / theirs)
    return float(
        statistics.median(figures[target.ours][target.figure] / figures[target.theirs][target.figure] for figures in rounds)
    )


def _met(met: bool) -> str:
    return "met" if met else "**missed**"


def _table(present: Sequence[Contender], contenders: Mapping[str, Any]) -> Iterator[str]:
    yield f"| | {' | '.join(COLUMNS)} |"
    yield "|---|" + "---|" * len(COLUMNS)
    for contender in present:
        figures = contenders[contender.name]
        parts = figures["split"] or {}
        shares = [f"{parts[kind]:.0%}" if kind in parts else "" for kind in ("model", "codec", "io", "steps", "engine")]
        spilled = "" if figures["spilled_megabytes"] is None else f"{figures['spilled_megabytes']:.0f}"
        cells = [
            f"{figures['images_per_second']:.2f}",
            f"{figures['images_per_core_second']:.2f}",
            f"{figures['images_per_core_second_whole']:.2f}",
            f"{figures['busy_share']:.0%}",
            f"{figures['peak_megabytes']:.0f}",
            f"{figures['shared_megabytes']:.0f}",
            spilled,
            f"{figures['written_megabytes']:.0f}",
            f"{figures['start_up_seconds']:.1f}",
            f"{figures['wind_up_seconds']:.1f}",
            *shares,
            f"{figures['others_share']:.0%}",
        ]
        yield f"| {contender.name} | " + " | ".join(cells) + " |"
