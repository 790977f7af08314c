"""Listing a SOURCE one image at a time: a folder, an object-store prefix, a glob or a manifest.

The order depends only on the listed images, so the first N images are the same every time.
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

NEWER = (".avif", ".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpx")
EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", *NEWER)
"""The file names that a folder or prefix lists as images; a glob or a manifest lists any name."""


SPELLINGS = {"": "%empty", ".": "%dot", "..": "%dotdot"}
"""How an output path spells segments that some storages drop or resolve."""


def list_source(source: str, excluded: str) -> Iterator[SourceImage]:
    """Every image of a folder, prefix, glob or manifest, one at a time.

    Images under `excluded` are left out, except those of a manifest. Raises RunError
    source_missing if nothing is found, manifest_invalid, and access_denied or storage_error
    according to the storage's answer.
    """
    if is_manifest(source):
        yield from manifest_rows(source, manifest_files(source))
        return
    excluded_prefix, glob = _location(excluded).rstrip("/") + "/", _is_glob(source)
    for image in _list_glob(source) if glob else _list_objects(source):
        if (glob or image.path.lower().endswith(EXTENSIONS)) and not _location(image.uri).startswith(excluded_prefix):
            yield image


def manifest_files(source: str) -> Iterator[SourceImage]:
    """The files of a manifest: one, or all that a glob matches. Raises RunError."""
    source = re.sub(r"#column=.+$", "", source)
    yield from _list_glob(source) if _is_glob(source) else _list_objects(source)


def _is_glob(source: str) -> bool:
    return "*" in source or "?" in source


def _list_objects(source: str) -> Iterator[SourceImage]:
    return _list_local(source) if storage.is_local(source) else _list_remote(source)


def _location(uri: str) -> str:
    return os.path.abspath(uri.removeprefix("file://")) if storage.is_local(uri) else uri


def _list_local(source: str) -> Iterator[SourceImage]:
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


def _list_remote(source: str) -> Iterator[SourceImage]:
    files, root = storage.filesystem(source)
    protocol = source.partition("://")[0]
    empty = True
    for info in _read_infos(files, root, source):
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


def _read_infos(files: Any, root: str, source: str) -> Iterator[Mapping[str, Any]]:
    try:
        if storage.scheme(source) in storage.OPTIONS:
            yield from s3_objects(files, root, source)
            return
        for _, _, infos in files.walk(root, detail=True):
            yield from infos.values()
    except Exception as error:
        failure = storage_failure(error, source)
        code = "source_missing" if failure.code == "key_missing" else failure.code
        raise RunError(code, failure.message, 2 if code == "source_missing" else 3) from error


def _list_glob(source: str) -> Iterator[SourceImage]:
    """Objects whose path matches a pattern.

    Their paths are relative to the folder before the first wildcard.
    """
    folder = re.split(r"[*?]", source, maxsplit=1)[0].rpartition("/")[0] or ("/" if source.startswith("/") else ".")
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pattern = re.compile(
        "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", _location(source)))
    )
    matched = False
    for image in _list_objects(folder):
        if pattern.fullmatch(_location(image.uri)):
            matched = True
            yield image
    if not matched:
        raise RunError("source_missing", f"nothing matches {source}")


def output_path(path: str) -> str:
    """A source path as a path that every storage distinguishes from all others.

    Empty and dotted segments are spelt out. The mapping is injective: `a//b`, `a/./b`, `a/../b`
    and `a/b` have four different results, and a name that already looks spelt out is escaped.
    """
    return "/".join(_spell_out(segment) for segment in path.split("/"))


def _spell_out(segment: str) -> str:
    if segment in SPELLINGS:
        return SPELLINGS[segment]
    return f"%{segment}" if re.fullmatch(r"%+(empty|dot|dotdot)", segment) else segment
