"""Files that are written under another name first, so that nobody sees a part of them.

The name of a partial file follows from that of its target. A process that is killed while it writes
leaves its partial file behind, and whoever writes the same target next takes it over, so that
nothing is left in the folder when a run has been resumed. A writer holds a lock on its partial
file. Two writers of one target at a time do not share one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple


class PartialFile(NamedTuple):
    """A partial file that is open for writing, and its path."""

    file: BinaryIO
    path: Path


@contextlib.contextmanager
def partial_file(target: Path) -> Iterator[PartialFile]:
    """Open the empty partial file of a target, in the same folder.

    At the end of the block it is closed. It is removed, unless the block has renamed it.
    """
    partial = _open_partial(target)
    with partial.file:
        try:
            yield partial
        finally:
            if _is_named(partial.file, partial.path):
                partial.path.unlink()


def partial_path(target: Path) -> Path:
    """The path of the partial file of a target, if no other writer is at it."""
    name = hashlib.blake2b(os.fsencode(target.name), digest_size=16).hexdigest()
    return target.parent / f".{name}.partial"


def _open_partial(target: Path) -> PartialFile:
    usual = partial_path(target)
    file = _taken_over(usual)
    if file is not None:
        return PartialFile(file, usual)
    own = target.parent / f".{uuid.uuid4().hex}.partial"
    return PartialFile(own.open("xb"), own)


def _taken_over(path: Path) -> BinaryIO | None:
    """The file at this path, created or emptied, with a lock; None if another writer has it.

    None as well where files cannot be locked. A second name of a file that has been delivered is
    removed and not emptied.
    """
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb")
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_named(file, path):
            if path.stat().st_nlink == 1:
                file.truncate(0)
                return file
            path.unlink()
    file.close()
    return None


def _is_named(file: BinaryIO, path: Path) -> bool:
    """Whether an open file still has this path, which it loses when it is renamed."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
