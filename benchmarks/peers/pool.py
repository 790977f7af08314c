"""A `multiprocessing` pool: one single-threaded process a core, each taking the next picture when
it is done with one.

python -m benchmarks.peers.pool IMAGES DEST NOTES
"""

from __future__ import annotations

import multiprocessing
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers import notes
from benchmarks.peers.functions import cleaned, opened_models
from cluster.profile import cores
from operators.models.threads import use_one_thread


def start(ready: Any) -> None:
    """A process's start: its models, and then the wait for the others."""
    use_one_thread()
    opened_models()
    ready.wait()


def work(dest: str, noted: str, path: str) -> dict[str, Any]:
    """One picture."""
    notes.begun(noted)
    return cleaned(path, dest)


def main() -> None:
    """Clean every picture."""
    images, dest, noted = sys.argv[1:]
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(cores())
    paths = sorted(str(path) for path in Path(images).iterdir())
    with context.Pool(cores(), start, (ready,)) as pool:
        results = list(pool.imap_unordered(partial(work, dest, noted), paths))
        notes.ended(noted)
    notes.told(noted, (result["verdict"] for result in results), (result["timing"] for result in results))


if __name__ == "__main__":
    main()
