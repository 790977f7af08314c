"""Listing a SOURCE one image at a time: a folder, an object-store prefix, a glob, a manifest,
Parquet files or archives.

The order depends only on the listed images, so the first N images are the same every time. A file
of a folder or prefix is an image if its name says so or, under any other name, if its content is a
picture. Whatever else is there is counted; see `operators.storage.left_out`.
"""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from operators.rows.failure import Failure, RunError
from operators.rows.signatures import HEAD_BYTES, picture_kind
from operators.storage import files as storage
from operators.storage.archives import OWN, archive_images, is_archive
from operators.storage.earlier_runs import INDEX, RECORD_FOLDERS, SHARD, may_be_run
from operators.storage.left_out import EARLIER_RUN, HIDDEN, NOT_PICTURE, UNREADABLE, LeftOut, sorted_details
from operators.storage.local_listing import hidden_name, local_files
from operators.storage.manifest import is_manifest, manifest_rows, own_schema
from operators.storage.names import printable, to_path, to_text
from operators.storage.retries import storage_failure
from operators.storage.s3_listing import s3_objects
from operators.storage.source_image import SourceImage
from operators.storage.tables import is_table, root_of, table_files

NEWER = (".avif", ".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpx")
EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", *NEWER)
"""The endings of the formats that are edited; masks may have them too."""
PICTURE_EXTENSIONS = (
    *EXTENSIONS,
    *(".apng", ".dib", ".mpo", ".jpf", ".j2c"),
)
"""The file names that a folder or prefix lists as images unseen; others are looked into.

A glob or a manifest lists any name.
"""
HEADS_AT_ONCE = 32
"""Remote files whose first bytes are asked for at the same time."""


SPELLINGS = {"": "%empty", ".": "%dot", "..": "%dotdot"}
"""How an output path spells segments that some storages drop or resolve."""


def list_source(source: str, excluded: str = "", left_out: LeftOut | None = None) -> Iterator[SourceImage]:
    """Every image of a folder, prefix, glob, manifest or archive, one at a time.

    Images under `excluded` are left out, except those of a manifest; everything else that is left
    out, such as the outputs of earlier runs, is counted in `left_out`. Raises RunError
    source_missing if nothing is there, manifest_invalid, and access_denied or storage_error
    according to the storage's answer.
    """
    if is_manifest(source):
        yield from manifest_rows(source, manifest_files(source))
        return
    left_out = LeftOut() if left_out is None else left_out
    if is_archive(source):
        yield from archive_images(manifest_files(source), PICTURE_EXTENSIONS, left_out)
        return
    if _is_glob(source):
        yield from _list_glob(source, excluded, left_out)
    else:
        yield from _only_pictures(_list_objects(source, excluded, left_out), left_out)


def require_images(source: str, excluded: str = "") -> None:
    """Raise RunError no_images, with the reason, if a SOURCE has no image."""
    left_out = LeftOut()
    if next(list_source(source, excluded, left_out), None) is None:
        raise no_images(source, left_out)


def no_images(source: str, left_out: LeftOut) -> RunError:
    """The error of a SOURCE without images, which says what is there instead."""
    reason = "; ".join(left_out.lines()) or ("the manifest has no rows" if is_manifest(source) else "it is empty")
    return RunError("no_images", f"0 images in {printable(source)}: {reason}{_collection_hint(source, left_out)}")


def _collection_hint(source: str, left_out: LeftOut) -> str:
    """How to name the collections in a folder without pictures; empty if there are none."""
    endings = [ending for ending, _ in sorted_details(left_out.counts.get(NOT_PICTURE, Counter()))]
    for ending in endings:
        if is_manifest(f"x{ending}") or is_archive(f"x{ending}"):
            paths = [path for path in left_out.examples[NOT_PICTURE] if path.lower().endswith(ending)]
            folders = "*/" * (paths[0].count("/") if paths else 0)
            pattern = f"{source.rstrip('/')}/{folders}*{ending}"
            return f"; to read the images inside {ending} files, name them: '{printable(pattern)}'"
    return ""


def _only_pictures(files: Iterator[SourceImage], left_out: LeftOut) -> Iterator[SourceImage]:
    """The files that are pictures by name or content, in the same order; others are counted.

    The first bytes of remote files are read several at a time.
    """
    waiting: deque[tuple[SourceImage, Future[bool] | None]] = deque()
    pool: ThreadPoolExecutor | None = None
    try:
        for file in files:
            if file.path.lower().endswith(PICTURE_EXTENSIONS):
                waiting.append((file, None))
            elif storage.is_local(file.uri):
                if _looks_like_picture(file, left_out):
                    yield file
                continue
            else:
                pool = pool or ThreadPoolExecutor(HEADS_AT_ONCE, thread_name_prefix="heads")
                waiting.append((file, pool.submit(_looks_like_picture, file, left_out)))
            while waiting and (len(waiting) > 2 * HEADS_AT_ONCE or _is_known(waiting[0][1])):
                yield from _taken(*waiting.popleft())
        while waiting:
            yield from _taken(*waiting.popleft())
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _is_known(answer: Future[bool] | None) -> bool:
    return answer is None or answer.done()


def _taken(file: SourceImage, answer: Future[bool] | None) -> list[SourceImage]:
    return [file] if answer is None or answer.result() else []


def _looks_like_picture(file: SourceImage, left_out: LeftOut) -> bool:
    """Whether a file's first bytes are those of a picture; if not, it is counted.

    Raises RunError if the storage does not answer.
    """
    try:
        head = storage.read_head(file.uri, HEAD_BYTES) if file.size else b""
    except Failure as failure:
        if failure.code == "storage_error":
            raise RunError(failure.code, failure.message, 3) from failure
        left_out.add(UNREADABLE, file.path)
        return False
    if picture_kind(head) is not None:
        return True
    left_out.add(NOT_PICTURE, file.path, _ending(file.path))
    return False


def _ending(path: str) -> str:
    """The ending of a file's name in lower case, such as `.txt`."""
    ending = os.path.splitext(path)[1].lower()
    return printable(ending) if 1 < len(ending) <= 12 else "without an ending"


def own_columns(source: str) -> pa.Schema:
    """The columns that the images of a SOURCE bring along: those of a manifest, or of archives.

    Raises RunError.
    """
    return OWN if is_archive(source) else own_schema(source, manifest_files(source))


def manifest_files(source: str) -> Iterator[SourceImage]:
    """The files of a manifest, the archives or a table: one, or all that a glob matches.

    Raises RunError.
    """
    source = re.sub(r"#column=.+$", "", source)
    if is_table(source):
        yield from table_files(source)
        return
    list_all = _list_glob if _is_glob(source) else _list_objects
    yield from list_all(source, "", LeftOut(), with_runs=True)


def _is_glob(source: str) -> bool:
    """Whether a SOURCE is a pattern; a file or folder with exactly this name is none."""
    return ("*" in source or "?" in source) and not (storage.is_local(source) and os.path.lexists(_local_path(source)))


def folder_of(source: str) -> str:
    """The folder of a table, or before the first wildcard of a SOURCE; any other as it is."""
    if not _is_glob(source):
        return root_of(source) if is_table(source) else source
    return re.split(r"[*?]", source, maxsplit=1)[0].rpartition("/")[0] or ("/" if source.startswith("/") else ".")


def _list_objects(source: str, excluded: str, left_out: LeftOut, with_runs: bool = False) -> Iterator[SourceImage]:
    """Every object that is neither hidden nor under `excluded`; hidden ones are counted.

    The outputs of earlier runs are left out and counted, unless `with_runs` is set.
    """
    if storage.is_local(source):
        passed_over = _local_path(excluded) if storage.is_local(excluded) and excluded else ""
        yield from local_files(_local_path(source), passed_over, left_out, with_runs)
        return
    start = excluded.rstrip("/") + "/" if excluded else None

    def leave_out(path: str) -> None:
        if start is None or not f"{source.rstrip('/')}/{path}/".startswith(start):
            left_out.add(EARLIER_RUN, path)

    for image in _list_remote(source, None if with_runs else leave_out):
        if start is not None and image.uri.startswith(start):
            continue
        if name := hidden_name(image.path):
            left_out.add(HIDDEN, image.path, name)
        else:
            yield image


def _local_path(uri: str) -> str:
    """The absolute path of a local SOURCE or DEST."""
    return os.path.abspath(to_path(uri.removeprefix("file://")))


def location(uri: str) -> str:
    """A SOURCE or DEST in the spelling in which what it holds is listed."""
    return to_text(_local_path(uri)) if storage.is_local(uri) else uri


def _list_remote(source: str, leave_out: Callable[[str], None] | None) -> Iterator[SourceImage]:
    files, root = storage.filesystem(source)
    protocol = source.partition("://")[0]
    empty = True
    for info in _read_infos(files, root, source, leave_out):
        empty = False
        name = str(info["name"])
        if name.endswith("/") or info.get("type") == "directory":
            continue
        path = name[len(root) :].removeprefix("/") or name.rpartition("/")[2]
        yield SourceImage(f"{protocol}://{name}", path, int(info["size"] or 0), _version(info))
    if empty:
        raise RunError("source_missing", f"there is nothing under {source}")


def _version(info: Mapping[str, Any]) -> str:
    etag = info.get("ETag") or info.get("etag")
    return str(etag).strip('"') if etag else f"{info.get('size')}-{info.get('mtime') or info.get('LastModified')}"


def _read_infos(files: Any, root: str, source: str, leave_out: Callable[[str], None] | None) -> Iterator[Mapping[str, Any]]:
    try:
        if storage.scheme(source) in storage.OPTIONS:
            yield from s3_objects(files, root, source, leave_out)
            return
        for folder, folders, infos in files.walk(root, detail=True):
            path = folder[len(root) :].strip("/")
            if leave_out and not hidden_name(path) and may_be_run(infos, folders) and _has_index(files, folder):
                if path:
                    leave_out(path)
                    folders.clear()
                    continue
                for name in [name for name in RECORD_FOLDERS if name in folders]:
                    leave_out(name)
                    del folders[name]
            yield from infos.values()
    except Exception as error:
        failure = storage_failure(error, source)
        code = "source_missing" if failure.code == "key_missing" else failure.code
        raise RunError(code, failure.message, 2 if code == "source_missing" else 3) from error


def _has_index(files: Any, folder: str) -> bool:
    """Whether a folder of a remote storage holds the index of a run."""
    return any(str(name).rpartition("/")[2].startswith(SHARD) for name in files.ls(f"{folder}/{INDEX}", detail=False))


def _list_glob(source: str, excluded: str, left_out: LeftOut, with_runs: bool = False) -> Iterator[SourceImage]:
    """Objects whose path matches a pattern.

    Their paths are relative to the folder before the first wildcard. What does not match was not
    asked for, so it is not counted.
    """
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pattern = re.compile(
        "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", location(source))), re.DOTALL
    )
    matched = False
    for image in _list_objects(folder_of(source), excluded, left_out, with_runs):
        if pattern.fullmatch(image.uri):
            matched = True
            yield image
    if not matched:
        runs = "" if not left_out.counts.get(EARLIER_RUN) else " outside of the outputs of earlier runs"
        raise RunError("source_missing", f"nothing matches {printable(source)}{runs}")


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
