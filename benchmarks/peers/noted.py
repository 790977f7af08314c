"""Our operators, noting when the first picture is begun."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from benchmarks.peers import notes
from operators.detect import Detect
from operators.given_masks import GivenMasks


@dataclass(frozen=True)
class NotedDetect(Detect):
    """`detect`."""

    noted: str = ""

    @property
    def name(self) -> str:
        """Its own name, by which profiles know it."""
        return "detect"

    def apply(self, batch: pa.Table) -> pa.Table:
        """Note the begin, and detect."""
        notes.begun(self.noted)
        return super().apply(batch)


@dataclass(frozen=True)
class NotedGivenMasks(GivenMasks):
    """`given_masks`."""

    noted: str = ""

    def apply(self, batch: pa.Table) -> pa.Table:
        """Note the begin, and read the masks."""
        notes.begun(self.noted)
        return super().apply(batch)
