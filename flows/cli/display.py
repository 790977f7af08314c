"""A run as it goes on, on the terminal: figures that stay in their place, or a line now and then
where there is none.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.telemetry.progress import Activity, Progress
from flows.telemetry.summary import Summary, count_text
from operators.rows.failure import RunError

LINE_EVERY_SECONDS = 60.0
EVERY = "CLEANPLATE_PROGRESS_SECONDS"
"""Seconds between two lines, for those who read a log as it grows, as `cleanplate submit` does.
"""
REFRESHES_PER_SECOND = 2


def duration(seconds: float | None) -> str:
    """Seconds in words of at most two units; `?` for None."""
    if seconds is None:
        return "?"
    seconds = round(seconds)
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit:
            return f"{seconds // unit} {name} {seconds % unit // part} {part_name}"
    return f"{seconds} s"


def line(progress: Progress) -> str:
    """A run at one moment, in one line."""
    if not progress.total:
        return f"listing: {progress.listed:,} images"
    parts = [
        f"{progress.done:,} of {progress.total:,} images ({100 * progress.done // progress.total}%)",
        count_text(Counter(progress.verdicts)),
        f"{progress.images_per_second:.2f} images/s, {progress.gigabytes_per_second:.3f} GB/s",
        f"{duration(progress.seconds_left)} left",
    ]
    busiest = [f"{one.name} {busy(one)}" for one in sorted(progress.operators, key=_weight, reverse=True)[:3] if one.busy]
    return " | ".join(filter(None, [*parts, ", ".join(busiest)]))


def _weight(one: Activity) -> float:
    return one.share if one.share is not None else 0.0


def busy(one: Activity) -> str:
    """How busy an operator is: the share of its pool, or how many images at a time."""
    return f"{one.share:.0%}" if one.share is not None else f"{one.busy:.1f} at a time"


def panel(progress: Progress) -> RenderableType:
    """A run at one moment, in a few lines."""
    if not progress.total:
        return Text(line(progress))
    head = Table.grid(padding=(0, 1))
    head.add_row(
        ProgressBar(total=progress.total, completed=progress.done, width=30),
        f"{progress.done:,} of {progress.total:,} images",
        f"{duration(progress.seconds)} gone, {duration(progress.seconds_left)} left",
        f"{progress.images_per_second:.2f} images/s, {progress.gigabytes_per_second:.3f} GB/s",
    )
    operators = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("operator", "busy", "ms/image", "waiting", "at work", "workers"):
        operators.add_column(name, justify="left" if name == "operator" else "right", no_wrap=True)
    stage = None
    for one in progress.operators:
        first, stage = one.stage != stage, one.stage
        shared = (
            [str(one.queued), str(one.at_work), str(one.workers or "tasks")] if first and one.queued is not None else [""] * 3
        )
        operators.add_row(one.name, busy(one), f"{one.milliseconds:.0f}", *shared)
    failures = ", ".join(f"{code} {count}" for code, count in sorted(progress.failures.items()))
    told = " | ".join(filter(None, [count_text(Counter(progress.verdicts)), failures]))
    below = operators if progress.operators else Text("starting workers")
    return Group(head, *([Text(told)] if told else []), below)


class _Now:
    """Renders the run as it is whenever it is asked to."""

    def __init__(self) -> None:
        self.summary: Summary | None = None

    def __rich__(self) -> RenderableType:
        return Text("starting") if self.summary is None else panel(self.summary.progress())


def _seconds_between_lines() -> float:
    given = os.environ.get(EVERY, str(LINE_EVERY_SECONDS))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise RunError("option_invalid", f"{EVERY}={given}: a number of seconds above 0 is expected")
    return seconds


@contextlib.contextmanager
def show_progress(console: Console) -> Iterator[Callable[[Summary], None]]:
    """Show a run while the block lasts; the yielded function takes its summary, again whenever it
    likes.

    Raises RunError option_invalid if CLEANPLATE_PROGRESS_SECONDS is no number of seconds.
    """
    now = _Now()

    def update(summary: Summary) -> None:
        now.summary = summary

    if console.is_terminal:
        with Live(now, console=console, refresh_per_second=REFRESHES_PER_SECOND, transient=True):
            yield update
        return
    ended, seconds = threading.Event(), _seconds_between_lines()

    def lines() -> None:
        while not ended.wait(seconds):
            if now.summary is not None:
                console.print(line(now.summary.progress()), markup=False)

    thread = threading.Thread(target=lines, name="progress", daemon=True)
    thread.start()
    try:
        yield update
    finally:
        ended.set()
        thread.join()
