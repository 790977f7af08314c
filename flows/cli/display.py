"""Show the progress of a run: a live panel on a terminal, or a line now and then elsewhere."""

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

from flows.telemetry.progress import Activity, Progress, operators_once
from flows.telemetry.summary import Summary, count_text
from operators.rows.counted import counted
from operators.rows.failure import RunError

LINE_EVERY_SECONDS = 60.0
"""Seconds between two lines without a terminal."""
SECONDS_VARIABLE = "CLEANPLATE_PROGRESS_SECONDS"
"""Environment variable that overrides LINE_EVERY_SECONDS; `cleanplate submit` sets it."""
REFRESHES_PER_SECOND = 2


def duration(seconds: float | None) -> str:
    """Format seconds in at most two units, such as `1 h 30 min`; `?` for None."""
    if seconds is None:
        return "?"
    seconds = round(seconds)
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit:
            return f"{seconds // unit} {name} {seconds % unit // part} {part_name}"
    return f"{seconds} s"


def pace(progress: Progress) -> str:
    """Format the speed: images per second, or seconds an image while that is slow."""
    rate = progress.images_per_second
    images = f"{rate:.2f} images/s" if rate >= 1 or not rate else f"{1 / rate:.1f} s an image"
    return f"{images}, {1000 * progress.gigabytes_per_second:,.1f} MB/s"


def line(progress: Progress) -> str:
    """Format the progress of a run in one line."""
    if not progress.total:
        return f"listing: {counted(progress.listed, 'image')}"
    parts = [
        f"{progress.done:,} of {counted(progress.total, 'image')} ({100 * progress.done // progress.total}%)",
        count_text(Counter(progress.verdicts)),
        pace(progress),
        f"{duration(progress.seconds_left)} left",
    ]
    busiest = sorted(operators_once(progress.operators), key=_busy_share, reverse=True)[:3]
    loads = ", ".join(f"{activity.name} {busy(activity)}" for activity in busiest if activity.busy)
    return " | ".join(filter(None, [*parts, loads]))


def _busy_share(activity: Activity) -> float:
    return activity.share if activity.share is not None else 0.0


def busy(activity: Activity) -> str:
    """Format how busy an operator is: the share of its pool, or the images worked at a time."""
    return f"{activity.share:.0%}" if activity.share is not None else f"{activity.busy:.1f} at a time"


def time_per_image(milliseconds: float) -> str:
    """Format the time that one image takes, in seconds if it is slow."""
    return f"{milliseconds / 1000:,.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def panel(progress: Progress) -> RenderableType:
    """Format the progress of a run in a few lines of 80 columns, with a table of the operators."""
    if not progress.total:
        return Text(line(progress))
    head = Table.grid(padding=(0, 1))
    head.add_row(
        ProgressBar(total=progress.total, completed=progress.done, width=30),
        f"{progress.done:,} of {counted(progress.total, 'image')} ({100 * progress.done // progress.total}%)",
    )
    times = f"{duration(progress.seconds)} elapsed, {duration(progress.seconds_left)} left"
    operators = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("operator", "busy", "an image", "waiting", "at work", "workers"):
        operators.add_column(name, justify="left" if name == "operator" else "right", no_wrap=True)
    previous_stage = None
    for activity in operators_once(progress.operators):
        stage_cells = ["", "", ""]
        if activity.stage != previous_stage and activity.queued is not None:
            stage_cells = [f"{activity.queued:,}", f"{activity.at_work:,}", str(activity.workers or "tasks")]
        previous_stage = activity.stage
        operators.add_row(activity.name, busy(activity), time_per_image(activity.milliseconds), *stage_cells)
    failures = ", ".join(f"{code} {count}" for code, count in sorted(progress.failures.items()))
    counts = " | ".join(filter(None, [count_text(Counter(progress.verdicts)), failures]))
    below = operators if progress.operators else Text("starting workers")
    return Group(head, Text(f"{times} | {pace(progress)}"), *([Text(counts)] if counts else []), below)


class _LivePanel:
    """The panel of the latest summary, built anew at every refresh."""

    def __init__(self) -> None:
        self.summary: Summary | None = None

    def __rich__(self) -> RenderableType:
        return Text("starting") if self.summary is None else panel(self.summary.progress())


def _seconds_between_lines() -> float:
    text = os.environ.get(SECONDS_VARIABLE, str(LINE_EVERY_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise RunError("option_invalid", f"{SECONDS_VARIABLE}={text}: expected a number of seconds above 0")
    return seconds


@contextlib.contextmanager
def show_progress(console: Console, note: str = "") -> Iterator[Callable[[Summary], None]]:
    """Show the progress of a run inside the `with` block.

    When the work begins, a `note` says what it may cost.

    Call the yielded function with the run's summary, as often as needed. Raises RunError
    option_invalid if CLEANPLATE_PROGRESS_SECONDS is not a number of seconds above 0.
    """
    live = _LivePanel()
    notes = [note] if note else []

    def update(summary: Summary) -> None:
        if notes and summary.progress().operators:
            console.print(notes.pop(), markup=False, soft_wrap=True)
        live.summary = summary

    if console.is_terminal:
        with Live(live, console=console, refresh_per_second=REFRESHES_PER_SECOND, transient=True):
            yield update
        return
    ended, seconds = threading.Event(), _seconds_between_lines()

    def print_lines() -> None:
        while not ended.wait(seconds):
            if live.summary is not None:
                console.print(line(live.summary.progress()), markup=False)

    thread = threading.Thread(target=print_lines, name="progress", daemon=True)
    thread.start()
    try:
        yield update
    finally:
        ended.set()
        thread.join()
