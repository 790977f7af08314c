"""A `multiprocessing` pool: one single-threaded process per core, each taking the next picture
when it is done.

python -m benchmarks.peers.pool DETECTOR IMAGES DEST NOTES

DETECTOR is `ours`, or `packaged` for that of RapidOCR at its defaults.
"""

from __future__ import annotations

import multiprocessing
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers import functions, notes
from benchmarks.peers.functions import clean, open_models
from benchmarks.peers.packaged_detector import PackagedDetect
from cluster.profile import cores
from operators.models.threads import use_one_thread
from operators.rows.records import JsonObject


def start(ready: Any, detector: str) -> None:
    """Start a process: open its models, then wait for the other processes."""
    use_one_thread()
    if detector == "packaged":
        functions.DETECT = PackagedDetect()
    open_models()
    ready.wait()


def work(dest: str, folder: str, path: str) -> JsonObject:
    """Clean one picture."""
    notes.note_start(folder)
    return clean(path, dest)


def main() -> None:
    """Clean every picture."""
    detector, images, dest, folder = sys.argv[1:]
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(cores())
    paths = sorted(str(path) for path in Path(images).iterdir())
    with context.Pool(cores(), start, (ready, detector)) as pool:
        results = list(pool.imap_unordered(partial(work, dest, folder), paths))
        notes.note_end(folder)
    notes.note_results(folder, (result["verdict"] for result in results), (result["timing"] for result in results))


if __name__ == "__main__":
    main()
