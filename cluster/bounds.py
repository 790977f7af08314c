"""What one image may take of a process before it is given up: data of a profile."""

from __future__ import annotations

import os

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from cluster.stage_name import StageName

SECONDS_PER_IMAGE = 600.0
"""Longest time in one operator where a profile says nothing: far beyond what a whole image takes
on one core, so that only hangs are ended; a model that is slower than that belongs into the
profile.
"""


class Bounds(BaseModel):
    """What one image may take before it is `failed` with the code `time_limit` or `memory_limit`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: dict[str, float] = Field(default_factory=dict)
    """Longest time in one operator, by the operator's name, its family's name, or `default`."""
    memory: ByteSize | None = Field(None, gt=0)
    """Memory beyond what the models of its process take, such as `4GiB`; None takes half of the
    machine's.
    """

    def seconds_in(self, operator: str) -> float:
        """The longest time that one image may take in an operator."""
        entry = StageName(operator).entry(self.seconds)
        return SECONDS_PER_IMAGE if entry is None else self.seconds[entry]

    @property
    def memory_bytes(self) -> int:
        """The memory that one image may take, in bytes."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if self.memory is None else int(self.memory)
