"""Which images an index holds, for millions: hashes of 16 bytes in sorted arrays, not Python
objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.bytes_]
"""Hashes of 16 bytes, as numpy's `S16`: two are equal exactly if their bytes are, zeros at the
end included.
"""

LARGEST_UNSORTED = 65536


def hashes(texts: Iterable[str]) -> Hashes:
    """One hash of 16 bytes for each text."""
    return np.array([hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts], "S16")


def binary(ids: Iterable[str]) -> Hashes:
    """Ids of 32 hexadecimal digits as 16 bytes each."""
    return np.array([bytes.fromhex(image_id) for image_id in ids], "S16")


class IdSet:
    """A growing set of hashes: sorted arrays of doubling lengths, so that growing costs little
    and a lookup few searches.
    """

    def __init__(self) -> None:
        self._recent: set[bytes] = set()
        self._sorted: list[Hashes] = []

    def new(self, found: Hashes) -> list[bool]:
        """Which of the hashes were not in the set, and put them there; of equal ones the first."""
        known = np.zeros(len(found), bool)
        for part in self._sorted:
            known |= part[np.minimum(np.searchsorted(part, found), len(part) - 1)] == found
        result = []
        for value, old in zip(found.tolist(), known.tolist(), strict=True):
            new = not old and value not in self._recent
            if new:
                self._recent.add(value)
            result.append(new)
        if len(self._recent) >= LARGEST_UNSORTED:
            self._settle()
        return result

    def _settle(self) -> None:
        part = np.sort(np.array(list(self._recent), "S16"))
        self._recent.clear()
        while self._sorted and len(self._sorted[-1]) <= len(part):
            part = np.sort(np.concatenate([self._sorted.pop(), part]), kind="stable")
        self._sorted.append(part)


@dataclass(frozen=True)
class IndexedIds:
    """The rows of an index, sorted by the hashes of their URIs: 36 bytes each."""

    uris: Hashes
    ids: Hashes
    shards: npt.NDArray[np.int32]

    @classmethod
    def of(cls, parts: Iterable[tuple[int, Hashes, Hashes]]) -> IndexedIds:
        """From each shard's number, hashes of URIs and ids."""
        listed = list(parts)
        uris = np.concatenate([np.array([], "S16"), *(uris for _, uris, _ in listed)])
        ids = np.concatenate([np.array([], "S16"), *(ids for _, _, ids in listed)])
        shards = np.concatenate([np.array([], np.int32), *(np.full(len(ids), shard, np.int32) for shard, _, ids in listed)])
        order = np.argsort(uris, kind="stable")
        return cls(uris[order], ids[order], shards[order])

    def versions(self, found: Hashes) -> list[list[tuple[bytes, int]]]:
        """For each hash of a URI, the ids under which it is indexed and their shards; one as a
        rule.
        """
        first, last = np.searchsorted(self.uris, found, "left"), np.searchsorted(self.uris, found, "right")
        return [
            [(bytes(self.ids[at]), int(self.shards[at])) for at in range(start, end)]
            for start, end in zip(first.tolist(), last.tolist(), strict=True)
        ]
