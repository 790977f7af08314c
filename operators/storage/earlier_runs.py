"""How a listing knows the outputs of earlier runs, which are no sources of another run.

A folder is the DEST of a run if it holds the run's `run.json` and its index. Such a folder below
SOURCE is left out as a whole. A SOURCE that is itself such a folder is listed, because somebody
may work on what a run delivered, but not the folders in which the run keeps its records.
"""

from __future__ import annotations

from collections.abc import Iterable

RECORD, INDEX, SHARD = "run.json", "index", "shard="
"""The run's own file, the folder of its index, and how the names of the files in that begin."""
RECORD_FOLDERS = ("ledger", "index", "twins", "findings", "review", "calls", "parts", "collection", "packed")
"""What a run keeps in folders beside what it delivers; some hold pictures."""
DELIVERED_FOLDERS = ("images", "masks")
RECORD_FILES = ("coco.json", RECORD, "report.html")


def may_be_run(files: Iterable[str], folders: Iterable[str]) -> bool:
    """Whether the names in a folder are those of a run; its index decides."""
    return RECORD in files and INDEX in folders
