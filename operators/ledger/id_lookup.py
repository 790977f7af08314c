"""Looking up which of millions of images an index holds.

Hashes of 16 bytes in sorted arrays take far less memory than Python objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.bytes_]
"""Hashes of 16 bytes as numpy's `S16`.

Two are equal exactly if all their bytes are, trailing zeros included.
"""

LARGEST_UNSORTED = 65536
"""The number of recent hashes that an IdSet holds before it sorts them into an array."""


def hashes(texts: Iterable[str]) -> Hashes:
    """The hash of each text, 16 bytes."""
    return np.array([hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts], "S16")


def binary(ids: Iterable[str]) -> Hashes:
    """Ids of 32 hexadecimal digits, each as 16 bytes."""
    return np.array([bytes.fromhex(image_id) for image_id in ids], "S16")


class IdSet:
    """A growing set of hashes.

    It consists of sorted arrays of doubling lengths, so that growing is cheap and a lookup takes
    few searches.
    """

    def __init__(self) -> None:
        self._recent: set[bytes] = set()
        self._sorted: list[Hashes] = []

    def new(self, values: Hashes) -> list[bool]:
        """Add the hashes; return which were not in the set, of equal ones only the first."""
        known = np.zeros(len(values), bool)
        for part in self._sorted:
            known |= part[np.minimum(np.searchsorted(part, values), len(part) - 1)] == values
        result = []
        for value, is_known in zip(values.tolist(), known.tolist(), strict=True):
            is_new = not is_known and value not in self._recent
            if is_new:
                self._recent.add(value)
            result.append(is_new)
        if len(self._recent) >= LARGEST_UNSORTED:
            self._sort_recent()
        return result

    def _sort_recent(self) -> None:
        part = np.sort(np.array(list(self._recent), "S16"))
        self._recent.clear()
        while self._sorted and len(self._sorted[-1]) <= len(part):
            part = np.sort(np.concatenate([self._sorted.pop(), part]), kind="stable")
        self._sorted.append(part)


@dataclass(frozen=True)
class IndexedIds:
    """The rows of an index, sorted by the hashes of their URIs; a row takes 36 bytes."""

    uris: Hashes
    ids: Hashes
    shards: npt.NDArray[np.int32]

    @classmethod
    def of(cls, parts: Iterable[tuple[int, Hashes, Hashes]]) -> IndexedIds:
        """The rows of some shards, each given by its number, its hashes of URIs, and its ids."""
        rows = list(parts)
        uris = np.concatenate([np.array([], "S16"), *(uris for _, uris, _ in rows)])
        ids = np.concatenate([np.array([], "S16"), *(ids for _, _, ids in rows)])
        shards = np.concatenate([np.array([], np.int32), *(np.full(len(ids), shard, np.int32) for shard, _, ids in rows)])
        order = np.argsort(uris, kind="stable")
        return cls(uris[order], ids[order], shards[order])

    def versions(self, uris: Hashes) -> list[list[tuple[bytes, int]]]:
        """For each hash of a URI, its indexed ids and their shards; usually at most one."""
        first, last = np.searchsorted(self.uris, uris, "left"), np.searchsorted(self.uris, uris, "right")
        return [
            [(bytes(self.ids[position]), int(self.shards[position])) for position in range(start, end)]
            for start, end in zip(first.tolist(), last.tolist(), strict=True)
        ]
