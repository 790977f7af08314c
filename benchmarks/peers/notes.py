"""What a contender tells the bench: when its first picture was begun, when it was done, and where
the time went.

Times are of the machine's monotonic clock, which all processes share. What comes before the first
picture and after the last one is the same for any number of pictures, and counts apart.
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

KINDS = ("model", "codec", "io")


@cache
def begun(notes: str) -> None:
    """Note that this process begins its first picture; later calls do nothing."""
    (Path(notes) / f"begun-{os.getpid()}").write_text(str(time.monotonic()))


def ended(notes: str) -> None:
    """Note that everything is done."""
    (Path(notes) / "ended").write_text(str(time.monotonic()))


def told(notes: str, verdicts: Iterable[str], timings: Iterable[Mapping[str, Any]], **more: Any) -> None:
    """Note the verdicts, the milliseconds of all TIMING structs by what they were spent on, and
    whatever else there is.
    """
    spent: Counter[str] = Counter()
    for timing in timings:
        spent.update({kind: timing[kind] for kind in KINDS})
        spent["steps"] += timing["total"] - sum(timing[kind] for kind in KINDS)
    content = {"verdicts": Counter(verdicts), "milliseconds": spent, **more}
    (Path(notes) / "told.json").write_text(json.dumps(content))


def window(notes: Path, outputs: Iterable[Path]) -> tuple[float, float, float]:
    """When the first picture was begun, when the last one was at its place, and when the
    contender said that it was done.
    """
    first = min(float(file.read_text()) for file in notes.glob("begun-*"))
    last = max(file.stat().st_mtime for file in outputs) - (time.time() - time.monotonic())
    return first, last, float((notes / "ended").read_text())
