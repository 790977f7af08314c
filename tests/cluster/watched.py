"""Flows for `cleanplate run` whose processes leave a note when they start.

Tests read from the notes which process works on which node. The driver's environment variable
WATCHED names the folder of the notes. A note is a file `OPERATOR-PROCESS`.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from flows.flow import Flow
from flows.ladder import PRESETS, Fills, ladder
from operators.compose import Compose
from operators.describe import Describe
from operators.detect import Detect
from operators.fetch import Fetch
from operators.operator import Operator
from operators.rows.table import Additions, Row, map_rows
from operators.soften import Soften

FOLDER = os.environ.get("WATCHED", "")
HELD = "held"
IMAGES = 64
"""Few enough for one shard of the index, so that images come in the order of their names."""
EARLY_SECONDS, LATE_SECONDS = 0.6, 1.2
"""Time of `early` for an image of the first half, and of `late` for one of the second half.

The other half takes no time.
"""


def note(folder: str, operator: str) -> None:
    import ray

    if not ray.is_initialized():
        return  # a second attempt, in a child process without Ray
    context = ray.get_runtime_context()
    content = {"gpus": ray.get_gpu_ids(), "visible": os.environ.get("CUDA_VISIBLE_DEVICES"), "node": context.get_node_id()}
    content["labels"] = context.get_node_labels()
    Path(folder, f"{operator}-{os.getpid()}").write_text(json.dumps(content))


@dataclass(frozen=True)
class WatchedDetect(Detect):
    """The detector, which leaves a note."""

    folder: str = ""

    @property
    def name(self) -> str:
        return "detect"

    def open(self) -> None:
        note(self.folder, self.name)
        super().open()


@dataclass(frozen=True)
class Waits(Operator):
    """Changes nothing, and waits at the images of one half.

    The first operator also waits at every image while the folder of the notes holds a file HELD.
    """

    reads: ClassVar[tuple[str, ...]] = ("path",)
    adds: ClassVar[tuple[str, ...]] = ("encoded", "verdict")
    called: str = ""
    first_half: bool = True
    seconds: float = 0.0
    folder: str = ""

    @property
    def name(self) -> str:
        return self.called

    def open(self) -> None:
        note(self.folder, self.called)

    def apply(self, batch: pa.Table) -> pa.Table:
        return map_rows(batch, self.name, ("verdict",), self._wait)

    def _wait(self, row: Row) -> Additions:
        while self.first_half and Path(self.folder, HELD).exists():
            time.sleep(0.1)
        if (int(Path(row["path"]).stem) < IMAGES // 2) == self.first_half:
            time.sleep(self.seconds)
        return {"verdict": "untouched"}


erasing = Flow(
    (Fetch(), WatchedDetect(folder=FOLDER), Soften(), Describe(), *ladder(Fills(PRESETS["fast"], accept="best")), Compose())
)
"""The flow that erases text, with watched detectors."""

waiting = Flow((Fetch(), Waits("early", True, EARLY_SECONDS, FOLDER), Waits("late", False, LATE_SECONDS, FOLDER)))
"""Two stages, of which the second has its work after the first."""
