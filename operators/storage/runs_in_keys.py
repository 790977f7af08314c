"""The outputs of earlier runs among the keys of a bucket; see `operators.storage.earlier_runs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from operators.storage.earlier_runs import DELIVERED_FOLDERS, INDEX, RECORD, RECORD_FOLDERS, SHARD, may_be_run
from operators.storage.local_listing import hidden_name

FOLDERS = frozenset({*RECORD_FOLDERS, *DELIVERED_FOLDERS})


class RunsInKeys:
    """The runs among the keys of a bucket, found in pages of the listing that is read anyway.

    The keys of a folder follow one another, so a page shows whether a folder that lies in it
    whole is a run. Only about a folder that goes on in the next page, and in which a page shows a
    folder named like one of a run, the bucket is asked, once.
    """

    def __init__(self, root: str, is_run: Callable[[str], bool], leave_out: Callable[[str], None]) -> None:
        """Keep how to ask and count.

        `root` is the listed prefix, `is_run` asks the bucket whether a prefix is that of a run,
        and `leave_out` is called with the relative path of every folder that is left out. Every
        prefix but an empty one ends with `/`.
        """
        self._root = root
        self._is_run = is_run
        self._leave_out = leave_out
        self._known: dict[str, bool] = {}
        self._dropped: set[str] = set()
        self._counted: set[str] = set()

    def keep(self, keys: list[str], goes_on: bool) -> list[bool]:
        """Which keys of a page lie outside of earlier runs, in the order of the page.

        `goes_on` says whether another page follows.
        """
        for prefix in sorted(self._complete(keys), key=len):
            self._note(prefix, True)
        if goes_on and keys:
            for prefix in sorted(self._cut(keys), key=len):
                if prefix not in self._known and self._dropped_at(prefix) is None:
                    self._note(prefix, self._is_run(prefix))
        return [not self.drops(key) for key in keys]

    def look_at(self, prefix: str, files: Iterable[str], folders: Iterable[str]) -> None:
        """Note whether a prefix is that of a run, by all names directly below it."""
        if prefix not in self._known and may_be_run(files, folders):
            self._note(prefix, self._is_run(prefix))

    def drops(self, key: str) -> bool:
        """Whether a key, or all below a prefix, is left out; the folder is then counted, once."""
        folder = self._dropped_at(key)
        if folder is None:
            return False
        if folder not in self._counted:
            self._counted.add(folder)
            self._leave_out(folder[len(self._root) :].rstrip("/"))
        return True

    def _note(self, prefix: str, is_run: bool) -> None:
        self._known[prefix] = is_run
        # Hidden folders are counted by file, whatever they hold.
        if is_run and not hidden_name(prefix[len(self._root) :]):
            self._dropped |= {f"{prefix}{name}/" for name in RECORD_FOLDERS} if prefix == self._root else {prefix}

    def _dropped_at(self, key: str) -> str | None:
        """The outermost folder that is left out and holds a key."""
        end = key.find("/", len(self._root))
        while end >= 0:
            if key[: end + 1] in self._dropped:
                return key[: end + 1]
            end = key.find("/", end + 1)
        return None

    def _complete(self, keys: list[str]) -> set[str]:
        """The prefixes of runs whose record and index are in a page."""
        records = {key.removesuffix(RECORD) for key in keys if key.endswith(RECORD)}
        indexes = {key.rpartition(f"{INDEX}/{SHARD}")[0] for key in keys if f"{INDEX}/{SHARD}" in key} if records else set()
        return {prefix for prefix in records & indexes if prefix == self._root or prefix.endswith("/")}

    def _cut(self, keys: list[str]) -> set[str]:
        """The prefixes that a page shows a folder of and that hold its last key too."""
        found = set()
        for key in keys:
            start = len(self._root)
            while (end := key.find("/", start)) >= 0:
                if key[start:end] in FOLDERS and keys[-1].startswith(key[:start]):
                    found.add(key[:start])
                start = end + 1
        return found
