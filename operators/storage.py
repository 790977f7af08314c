"""Bytes in and out of any fsspec storage, with storage errors turned into stable codes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from operators.failure import Failure

Result = TypeVar("Result")
ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.2
COPY_BYTES = 8 * 1024 * 1024


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path or URL, and the path inside it. A name with `#` or `%` is taken literally.

    Object-store listings and metadata are never cached: another worker may have just written there.
    """
    if is_local(uri):
        return LocalFileSystem(), os.path.abspath(uri.removeprefix("file://"))
    files = fsspec.filesystem(uri.partition("://")[0], use_listings_cache=False)
    return files, str(files._strip_protocol(uri))


def is_local(uri: str) -> bool:
    """Whether a SOURCE or DEST is a plain path (or a file:// URL) of this machine."""
    return "://" not in uri or uri.startswith("file://")


def joined(uri: str, *parts: str) -> str:
    """A URI with path segments appended."""
    return "/".join([uri.rstrip("/"), *parts])


def storage_failure(error: Exception, uri: str) -> Failure:
    """The failure that an exception of a storage call amounts to."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, FileNotFoundError):
        return Failure("key_missing", uri)
    if isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError):
        return Failure("output_path_conflict", uri)
    if isinstance(error, PermissionError):
        return Failure("access_denied", uri)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("disk_full", uri)
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return Failure("access_denied", f"{uri} (read-only)")
    text = f"{type(error).__name__}: {error}"
    if "AccessDenied" in text or "Forbidden" in text or "InvalidAccessKeyId" in text:
        return Failure("access_denied", uri)
    if "NoSuchKey" in text or "NoSuchBucket" in text:
        return Failure("key_missing", uri)
    return Failure("storage_error", f"{uri}: {text}"[:500])


def with_retries(uri: str, call: Callable[[], Result]) -> Result:
    """The call's result, tried again with growing waits while the storage does not answer. Raises Failure."""
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except Exception as error:
            failure = storage_failure(error, uri)
            if failure.code != "storage_error" or attempt == ATTEMPTS - 1:
                raise failure from error
        time.sleep(FIRST_WAIT_SECONDS * 2**attempt)
    raise AssertionError("unreachable")


def read(uri: str) -> bytes:
    """The object's bytes. Raises Failure: key_missing, access_denied or storage_error."""
    files, path = filesystem(uri)

    def call() -> bytes:
        data: bytes = files.cat_file(path)
        return data

    return with_retries(uri, call)


def size(uri: str) -> int:
    """The object's bytes, without reading them. Raises Failure as `read` does."""
    files, path = filesystem(uri)
    return with_retries(uri, lambda: int(files.size(path) or 0))


def write(uri: str, data: bytes | memoryview) -> None:
    """Put an object in one atomic step: readers see the old one or the whole new one. Raises Failure.

    On a local disk the bytes go to a hidden neighbour first, which is then renamed; object stores put atomically.
    """
    files, path = filesystem(uri)

    def call() -> None:
        if isinstance(files, LocalFileSystem):
            _write_local(Path(path), data)
        else:
            files.pipe_file(path, bytes(data))

    with_retries(uri, call)


def _write_local(path: Path, data: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{uuid.uuid4().hex}.partial"
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def copy(source: str, target: str) -> None:
    """Put an object's bytes elsewhere without holding them in memory. Raises Failure as `read` and `write` do."""
    source_files, source_path = filesystem(source)
    target_files, target_path = filesystem(target)

    def call() -> None:
        if type(source_files) is type(target_files) and not isinstance(target_files, LocalFileSystem):
            target_files.cp_file(source_path, target_path)
            return
        if isinstance(target_files, LocalFileSystem):
            Path(target_path).parent.mkdir(parents=True, exist_ok=True)
            partial = Path(target_path).parent / f".{uuid.uuid4().hex}.partial"
            try:
                with source_files.open(source_path, "rb") as reader, partial.open("wb") as file:
                    shutil.copyfileobj(reader, file, COPY_BYTES)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(target_path)
            finally:
                partial.unlink(missing_ok=True)
            return
        with source_files.open(source_path, "rb") as reader, target_files.open(target_path, "wb") as writer:
            shutil.copyfileobj(reader, writer, COPY_BYTES)

    with_retries(target, call)


def create(uri: str, data: bytes) -> bool:
    """Put an object only if there is none yet; False if there is. Raises Failure as `write` does."""
    files, path = filesystem(uri)

    def call() -> bool:
        if isinstance(files, LocalFileSystem):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            if isinstance(files, LocalFileSystem):
                with open(path, "xb") as file:
                    file.write(data)
            else:
                files.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except Exception as error:
            told = f"{error!r}{error.__cause__!r}"
            if "PreconditionFailed" in told or "ConditionalRequestConflict" in told:
                return False
            raise
        return True

    return with_retries(uri, call)


def names(uri: str) -> list[str]:
    """Full paths of all objects under a URI, as `filesystem` names them; empty if there are none. Raises Failure."""
    files, path = filesystem(uri)

    def call() -> list[str]:
        try:
            found: list[str] = files.find(path)
        except FileNotFoundError:
            return []
        return found

    return with_retries(uri, call)


def exists(uri: str) -> bool:
    """Whether an object stands at the URI. Raises Failure."""
    files, path = filesystem(uri)
    return with_retries(uri, lambda: bool(files.exists(path)))


def remove(uri: str) -> None:
    """Delete an object or everything under a URI; nothing happens if there is none. Raises Failure."""
    files, path = filesystem(uri)

    def call() -> None:
        with contextlib.suppress(FileNotFoundError):
            if isinstance(files, LocalFileSystem):
                files.rm(path, recursive=True)
            else:
                for name in files.find(path):
                    files.rm_file(name)

    with_retries(uri, call)
