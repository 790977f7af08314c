"""The bounds of a profile on the time and memory that one image may take."""

from __future__ import annotations

import os

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from cluster.stage_name import StageName

SECONDS_PER_IMAGE = 600.0
"""The longest time in one operator if the profile sets none.

It is far more than a whole image takes on one core, so that it ends only hangs. A profile must
set a longer time for a slower model.
"""


class Bounds(BaseModel):
    """The bounds of one image: beyond them it ends as `time_limit` or `memory_limit`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: dict[str, float] = Field(default_factory=dict)
    """The longest time in one operator, by the name of the operator or its family, or `default`.
    """
    memory: ByteSize | None = Field(None, gt=0)
    """Memory in addition to the process's models, such as `4GiB`.

    None allows half of the machine's memory.
    """

    def seconds_in(self, operator: str) -> float:
        """The longest time in seconds that one image may take in an operator."""
        entry = StageName(operator).entry(self.seconds)
        return SECONDS_PER_IMAGE if entry is None else self.seconds[entry]

    @property
    def memory_bytes(self) -> int:
        """The memory that one image may take, in bytes."""
        if self.memory is not None:
            return int(self.memory)
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
