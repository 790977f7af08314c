"""Listing a folder on this machine: links are followed once, and nothing is passed over silently.

What a link to a folder inside SOURCE leads to is listed once more, under the path of the link. A
link back to a folder in which it lies is a loop, and so is a link to itself: neither is followed.
Nor is any link that leads outside SOURCE, because a folder may come from anybody. The outputs of
earlier runs are left out; see `operators.storage.earlier_runs`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from operators.rows.failure import RunError
from operators.storage.earlier_runs import INDEX, RECORD_FOLDERS, SHARD, may_be_run
from operators.storage.left_out import BROKEN, EARLIER_RUN, HIDDEN, LINKED_AGAIN, LOOP, OUTSIDE, SPECIAL, UNREADABLE, LeftOut
from operators.storage.names import printable, to_text
from operators.storage.source_image import SourceImage

SYSTEM_NAMES = frozenset(
    {
        "@eaDir",
        "@Recycle",
        "@Recently-Snapshot",
        "#recycle",
        "#snapshot",
        "__MACOSX",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
    }
)
"""Names that network storages, macOS and Windows give to folders of their own."""


def hidden_name(path: str) -> str | None:
    """The first hidden or system name in a relative path; None if there is none.

    `._*`, a resource fork beside each file of a Mac, is returned as that pattern.
    """
    for name in path.split("/"):
        if name.startswith("._"):
            return "._*"
        if name in SYSTEM_NAMES or (name.startswith(".") and name.strip(".")):
            return name
    return None


@dataclass(frozen=True)
class _Folder:
    """A folder that is still to be listed."""

    path: str
    """As the listing names it, perhaps through links."""
    ancestors: tuple[str, ...]
    """The real paths of the folder and of those above it, up to SOURCE."""
    linked: bool = False
    """Whether a link led here."""
    hidden: str | None = None
    """The hidden name on the way here, if its files are only counted."""


@dataclass
class _Walk:
    root: str
    excluded: str
    """The real path of a folder that is passed over, such as DEST; empty for none."""
    left_out: LeftOut
    with_runs: bool
    """Whether the outputs of earlier runs are listed like any files."""
    real_root: str = field(init=False)
    through_links: set[str] = field(default_factory=set)
    """The real paths of the folders that links led to."""

    def __post_init__(self) -> None:
        self.real_root = os.path.realpath(self.root)

    def relative(self, path: str) -> str:
        return to_text(os.path.relpath(path, self.root))

    def files(self) -> Iterator[SourceImage]:
        """Every file, those of a folder before those of its subfolders."""
        folders = [_Folder(self.root, (self.real_root,))]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder.path) as entries:
                    ordered = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                if folder.path == self.root:
                    raise _unreadable_source(self.root, error) from error
                self.left_out.add(UNREADABLE, self.relative(folder.path))
                continue
            if not self.with_runs and folder.hidden is None and _is_run(ordered):
                if folder.path != self.root:
                    self.left_out.add(EARLIER_RUN, self.relative(folder.path))
                    continue
                ordered = self._without_records(ordered)
            for entry in ordered:
                if folder.hidden or hidden_name(entry.name):
                    folders += self._count_hidden(folder, entry)
                    continue
                found = self._look_at(folder, entry)
                if isinstance(found, SourceImage):
                    yield found
                elif found is not None:
                    folders.append(found)

    def _without_records(self, entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
        """What SOURCE holds beside the folders in which the run that made it keeps its records."""
        kept = [entry for entry in entries if entry.name not in RECORD_FOLDERS or not entry.is_dir()]
        for entry in entries:
            if entry not in kept:
                self.left_out.add(EARLIER_RUN, self.relative(entry.path))
        return kept

    def _count_hidden(self, folder: _Folder, entry: os.DirEntry[str]) -> list[_Folder]:
        """Count a hidden file, or return a hidden folder whose files are to be counted."""
        name = folder.hidden or hidden_name(entry.name) or entry.name
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
        except OSError:
            is_folder = False
        if is_folder:
            real = os.path.join(folder.ancestors[0], entry.name)
            return [] if real == self.excluded else [_Folder(entry.path, (real,), hidden=name)]
        self.left_out.add(HIDDEN, self.relative(entry.path), to_text(name))
        return []

    def _look_at(self, folder: _Folder, entry: os.DirEntry[str]) -> SourceImage | _Folder | None:
        """The file or folder that an entry is; None, and counted, if it is neither."""
        try:
            if entry.is_symlink():
                return self._follow(folder, entry)
            if entry.is_dir(follow_symlinks=False):
                return self._enter(folder, entry.path, os.path.join(folder.ancestors[0], entry.name), folder.linked)
            return self._file(entry.path)
        except OSError:
            self.left_out.add(UNREADABLE, self.relative(entry.path))
            return None

    def _follow(self, folder: _Folder, entry: os.DirEntry[str]) -> SourceImage | _Folder | None:
        try:
            real = os.path.realpath(entry.path, strict=True)
        except OSError as error:
            reason = {errno.ELOOP: LOOP, errno.ENOENT: BROKEN, errno.ENOTDIR: BROKEN}.get(error.errno or 0, UNREADABLE)
            if reason == UNREADABLE and not self._is_inside(os.path.realpath(entry.path)):
                reason = OUTSIDE
            self.left_out.add(reason, self.relative(entry.path))
            return None
        if not self._is_inside(real):
            self.left_out.add(OUTSIDE, self.relative(entry.path))
            return None
        if hidden := hidden_name(os.path.relpath(real, self.real_root)):
            self.left_out.add(HIDDEN, self.relative(entry.path), to_text(hidden))
            return None
        return self._enter(folder, entry.path, real, True) if os.path.isdir(real) else self._file(entry.path)

    def _is_inside(self, real: str) -> bool:
        """Whether a real path is that of SOURCE or lies below it."""
        return f"{real}/".startswith(f"{self.real_root.rstrip('/')}/")

    def _enter(self, folder: _Folder, path: str, real: str, linked: bool) -> _Folder | None:
        if real == self.excluded:
            return None
        if real in folder.ancestors or any(ancestor.startswith(f"{real.rstrip('/')}/") for ancestor in folder.ancestors):
            self.left_out.add(LOOP, self.relative(path))
            return None
        if linked:
            if real in self.through_links:
                self.left_out.add(LINKED_AGAIN, self.relative(path))
                return None
            self.through_links.add(real)
        return _Folder(path, (real, *folder.ancestors), linked)

    def _file(self, path: str) -> SourceImage | None:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            self.left_out.add(SPECIAL, self.relative(path))
            return None
        return _image(path, self.relative(path), status)


def local_files(root: str, excluded: str, left_out: LeftOut, with_runs: bool = False) -> Iterator[SourceImage]:
    """Every file under a folder that is neither hidden nor under `excluded`, or one single file.

    The outputs of earlier runs are left out, unless `with_runs` is set. The rest is counted in
    `left_out`. Raises RunError source_missing or access_denied for the
    folder itself.
    """
    try:
        status = os.stat(root)
    except OSError as error:
        raise _unreadable_source(root, error) from error
    if stat.S_ISREG(status.st_mode):
        yield _image(root, to_text(os.path.basename(root)), status)
    elif stat.S_ISDIR(status.st_mode):
        yield from _Walk(root, os.path.realpath(excluded) if excluded else "", left_out, with_runs).files()
    else:
        raise RunError("source_missing", f"{printable(root)} is neither a folder nor a file")


def _is_run(entries: list[os.DirEntry[str]]) -> bool:
    """Whether the entries of a folder are those of the DEST of a run."""
    names = {entry.name: entry for entry in entries}
    try:
        return may_be_run(names, names) and any(name.startswith(SHARD) for name in os.listdir(names[INDEX].path))
    except OSError:
        return False


def _image(file: str, path: str, status: os.stat_result) -> SourceImage:
    return SourceImage(to_text(file), path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def _unreadable_source(root: str, error: OSError) -> RunError:
    name = printable(root)
    if isinstance(error, PermissionError):
        return RunError("access_denied", f"{name} cannot be read")
    if error.errno == errno.ELOOP:
        return RunError("source_missing", f"{name} is a link to itself")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return RunError("source_missing", f"there is no {name}")
    return RunError("source_missing", f"{name}: {error.strerror}")
