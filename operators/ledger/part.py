"""A part of a run: the images that one of several drivers works on.

A run over a billion images needs more than one driver. Each takes the images whose address has
its remainder, so that no part must know of the others, and whatever order they are listed in. The
parts share one destination, one `run.json` and one ledger: the shards of part `number` are those
whose number has the remainder `number - 1`. Everything else of a part is in a folder of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from operators.ledger.lease import Lease
from operators.rows.failure import RunError
from operators.storage import files as storage

FOLDER = "parts"
"""The folder of a destination that holds a folder for each part."""
MOST = 100_000
"""Parts of a run, at most."""


@dataclass(frozen=True)
class Part:
    """One of `of` parts of a run; `number` counts from 1."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """A part from text such as `3/16`. Raises RunError option_invalid."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        number, of = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= of <= MOST:
            raise RunError("option_invalid", f"--part {text}: give a number and how many parts there are, such as 3/16")
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def takes(self, uri: str) -> bool:
        """Whether the image at an address belongs to this part."""
        digest = hashlib.blake2b(uri.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.number - 1

    def has_shard(self, shard: int) -> bool:
        """Whether a shard of the index and of the ledger belongs to this part."""
        return shard % self.of == self.number - 1

    def folder(self, dest: str) -> str:
        """Where the driver of this part keeps its lease and its claims."""
        return dest if self == WHOLE else storage.join(dest, FOLDER, f"{self.number}-of-{self.of}")


WHOLE = Part()
"""A run that is not divided; its driver keeps what it needs in the destination itself."""


@contextmanager
def hold(dest: str, part: Part = WHOLE) -> Iterator[Lease]:
    """Hold the lease of a part for the enclosed block; that of the whole excludes every part.

    Raises RunError destination_in_use.
    """
    with Lease(part.folder(dest)).hold() as lease:
        # Each side takes its own lease before it looks at the other's, so at most one goes on.
        for folder in _held_folders(dest) if part == WHOLE else [dest]:
            Lease(folder).wait_until_free()
        yield lease


def _held_folders(dest: str) -> list[str]:
    uris = storage.list_uris(storage.join(dest, FOLDER))
    return [uri.removesuffix("/lease.json") for uri in uris if uri.endswith("/lease.json")]
