"""Progress as lines of a log, for jobs whose output is read from afar."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from flows.summary import VERDICTS, Summary

EVERY_SECONDS = 10.0


def asked_for() -> bool:
    """Whether the environment asks for progress in lines (CLEANPLATE_PROGRESS=lines), as it does in a submitted job."""
    return os.environ.get("CLEANPLATE_PROGRESS") == "lines"


def progress_lines(show: Callable[[str], None]) -> Callable[[Summary], None]:
    """Shows at most one line every EVERY_SECONDS: images done, of how many, by verdict, at what pace."""
    last = -EVERY_SECONDS

    def update(summary: Summary) -> None:
        nonlocal last
        if time.monotonic() - last < EVERY_SECONDS:
            return
        last = time.monotonic()
        counts = [f"{summary.verdicts[name]} {name.replace('_', ' ')}" for name in VERDICTS if summary.verdicts[name]]
        pace = [f"{summary.worked / summary.seconds:.2f} images/s"] if summary.seconds else []
        show(", ".join([f"{summary.before + summary.worked} of {summary.total} images", *counts, *pace]))

    return update
