"""Temporary folders that go with their process, even if it is killed.

Python removes a temporary folder when its block ends, which a killed process never reaches. A
shell waits beside it for the end of a pipe that only this process holds open, and then removes the
folder.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_PARENT = 30
"""Characters of the folder for temporary files, above which `/tmp` is taken.

Ray's sockets lie deep in its folder, and the path of a socket has at most 107 characters.
"""
_WAIT_AND_REMOVE = 'cat >/dev/null; for pause in 0 1 2 4 8; do sleep $pause; rm -rf -- "$1"; done'
"""Others may still write for a moment after the process has ended, so it is done again."""


def disposable_folder(prefix: str) -> Path:
    """A new folder for temporary files that is removed soon after this process has ended."""
    parent = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix=prefix, dir=parent if len(parent) <= LONGEST_PARENT else "/tmp")
    _watchers.append(
        subprocess.Popen(
            ["/bin/sh", "-c", _WAIT_AND_REMOVE, "sh", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    )
    return Path(folder)


_watchers: list[subprocess.Popen[bytes]] = []
"""Kept so that the pipes stay open as long as this process lives."""


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder for temporary files that is removed when the block or the process ends."""
    folder = disposable_folder(prefix)
    watcher = _watchers.pop()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        watcher.kill()
        watcher.communicate()
