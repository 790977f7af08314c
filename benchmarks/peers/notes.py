"""The notes of a contender: when its first picture began, when it was done, and how it spent the
time.

Times are those of the machine's monotonic clock, which all processes share. Start and end do not
depend on the number of pictures, so time outside the window of pictures is counted separately.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from operators.rows.records import JsonObject

KINDS = ("model", "codec", "io")
RESULTS = "results.json"


@cache
def note_start(notes: str) -> None:
    """Note that this process begins its first picture; later calls do nothing."""
    (Path(notes) / f"begun-{os.getpid()}").write_text(str(time.monotonic()))


def note_end(notes: str) -> None:
    """Note that the contender is done."""
    (Path(notes) / "ended").write_text(str(time.monotonic()))


def note_results(notes: str, verdicts: Iterable[str], timings: Iterable[Mapping[str, Any]], **more: Any) -> None:
    """Note the verdicts, the milliseconds of all TIMING structs by kind of work, and further
    figures.
    """
    spent: Counter[str] = Counter()
    for timing in timings:
        spent.update({kind: timing[kind] for kind in KINDS})
        spent["steps"] += timing["total"] - sum(timing[kind] for kind in KINDS)
    content = {"verdicts": Counter(verdicts), "milliseconds": spent, **more}
    (Path(notes) / RESULTS).write_text(json.dumps(content))


def read_results(notes: Path) -> JsonObject:
    """The content that `note_results` wrote; empty if the contender notes no results."""
    file = notes / RESULTS
    content: JsonObject = json.loads(file.read_text()) if file.exists() else {}
    return content


def window(notes: Path, outputs: Iterable[Path]) -> tuple[float, float, float]:
    """When the first picture began, when the last one was in place, and when the contender was
    done.
    """
    first = min(float(file.read_text()) for file in notes.glob("begun-*"))
    last = max(file.stat().st_mtime for file in outputs) - (time.time() - time.monotonic())
    return first, last, float((notes / "ended").read_text())
