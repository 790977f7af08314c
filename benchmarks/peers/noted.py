"""cleanplate's operators that find text, with a note of when the first picture begins."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from benchmarks.peers import notes
from operators.detect import Detect
from operators.given_masks import GivenMasks


@dataclass(frozen=True)
class NotedDetect(Detect):
    """`detect` with a note of its start."""

    noted: str = ""

    @property
    def name(self) -> str:
        """The name of `Detect`, by which profiles know it."""
        return "detect"

    def apply(self, batch: pa.Table) -> pa.Table:
        """Note the start, and detect."""
        notes.note_start(self.noted)
        return super().apply(batch)


@dataclass(frozen=True)
class NotedGivenMasks(GivenMasks):
    """`given_masks` with a note of its start."""

    noted: str = ""

    def apply(self, batch: pa.Table) -> pa.Table:
        """Note the start, and read the masks."""
        notes.note_start(self.noted)
        return super().apply(batch)
