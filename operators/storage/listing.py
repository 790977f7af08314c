"""What a SOURCE holds, one image at a time: a folder, a prefix of an object store, a glob, or a
manifest.

The order of a listing follows from what is listed, so the first N of it are the same each time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from operators.rows.failure import RunError
from operators.storage import files as storage
from operators.storage.manifest import is_manifest, manifest_rows
from operators.storage.retries import storage_failure
from operators.storage.s3_listing import s3_objects
from operators.storage.source_image import SourceImage

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
"""What a listing takes for an image; a glob or a manifest takes whatever it names."""


def list_source(source: str, excluded: str) -> Iterator[SourceImage]:
    """Every image of a folder, prefix, glob or manifest, one at a time, leaving out what lies
    under `excluded`.

    Raises RunError source_missing if nothing is there, manifest_invalid, and access_denied or
    storage_error as the storage says.
    """
    if is_manifest(source):
        yield from manifest_rows(source, manifest_files(source))
        return
    under, pattern = _location(excluded).rstrip("/") + "/", _is_glob(source)
    for item in _glob(source) if pattern else _listing(source):
        if (pattern or item.path.lower().endswith(EXTENSIONS)) and not _location(item.uri).startswith(under):
            yield item


def manifest_files(source: str) -> Iterator[SourceImage]:
    """The files that a manifest consists of: one, or what a glob matches. Raises RunError."""
    source = re.sub(r"#column=.+$", "", source)
    yield from _glob(source) if _is_glob(source) else _listing(source)


def _is_glob(source: str) -> bool:
    return "*" in source or "?" in source


def _listing(source: str) -> Iterator[SourceImage]:
    return _local(source) if storage.is_local(source) else _remote(source)


def _location(uri: str) -> str:
    return os.path.abspath(uri.removeprefix("file://")) if storage.is_local(uri) else uri


def _local(source: str) -> Iterator[SourceImage]:
    root = _location(source)
    if os.path.isfile(root):
        yield _local_file(root, os.path.basename(root))
        return
    if not os.path.isdir(root):
        raise RunError("source_missing", f"there is no {source}")
    folders = [root]
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file() and not entry.name.startswith(".") and entry.name.isprintable():
                    yield _local_file(entry.path, os.path.relpath(entry.path, root))


def _local_file(file: str, path: str) -> SourceImage:
    status = os.stat(file)
    return SourceImage(file, path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def _remote(source: str) -> Iterator[SourceImage]:
    files, root = storage.filesystem(source)
    protocol = source.partition("://")[0]
    empty = True
    for info in _objects(files, root, source):
        empty = False
        name = str(info["name"])
        if name.endswith("/") or info.get("type") == "directory":
            continue
        path = name[len(root) :].lstrip("/") or name.rpartition("/")[2]
        yield SourceImage(f"{protocol}://{name}", path, int(info["size"] or 0), _version(info))
    if empty:
        raise RunError("source_missing", f"there is nothing under {source}")


def _version(info: Mapping[str, Any]) -> str:
    etag = info.get("ETag") or info.get("etag")
    return str(etag).strip('"') if etag else f"{info.get('size')}-{info.get('mtime') or info.get('LastModified')}"


def _objects(files: Any, root: str, source: str) -> Iterator[Mapping[str, Any]]:
    try:
        if storage.scheme(source) in storage.OPTIONS:
            yield from s3_objects(files, root, source)
            return
        for _, _, found in files.walk(root, detail=True):
            yield from found.values()
    except Exception as error:
        failure = storage_failure(error, source)
        code = "source_missing" if failure.code == "key_missing" else failure.code
        raise RunError(code, failure.message, 2 if code == "source_missing" else 3) from error


def _glob(source: str) -> Iterator[SourceImage]:
    """Objects whose path matches a pattern; output paths are relative to the folder before its
    first wildcard.
    """
    fixed = re.split(r"[*?]", source, maxsplit=1)[0].rpartition("/")[0] or ("/" if source.startswith("/") else ".")
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    wanted = re.compile(
        "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", _location(source)))
    )
    matched = False
    for item in _listing(fixed):
        if wanted.fullmatch(_location(item.uri)):
            matched = True
            yield item
    if not matched:
        raise RunError("source_missing", f"nothing matches {source}")


def output_path(path: str) -> str:
    """A source's path as a path that any storage keeps apart from every other: empty and dotted
    segments are spelt out.

    Injective: `a//b`, `a/./b`, `a/../b` and `a/b` have four different results, and so has a name
    that looks spelt out.
    """

    def segment(name: str) -> str:
        spelt = {"": "%empty", ".": "%dot", "..": "%dotdot"}.get(name)
        return spelt or (f"%{name}" if re.fullmatch(r"%+(empty|dot|dotdot)", name) else name)

    return "/".join(segment(name) for name in path.split("/"))
