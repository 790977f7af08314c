"""Reading and writing objects in any fsspec storage, with errors turned into stable codes."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations

from operators.rows.failure import Failure, RunError
from operators.storage.names import to_path, to_text
from operators.storage.partial_file import partial_file
from operators.storage.redirects import open_session
from operators.storage.retries import FIRST_CONTACT_SECONDS, with_retries

COPY_BYTES = 8 * 1024 * 1024
"""The size of the pieces in which a copy streams through this machine."""
PART_BYTES = 16 * 1024 * 1024
"""The part size of multipart uploads to S3, used for objects of at least twice this size."""

S3_DELETES = 1000
"""The most objects that one request to S3 deletes."""

_S3: Mapping[str, Mapping[str, Any]] = {
    "config_kwargs": {"retries": {"mode": "adaptive", "max_attempts": 3}, "max_pool_connections": 32}
}
OPTIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {"s3": _S3, "s3a": _S3}
"""The options that open each kind of store; the user's fsspec settings take precedence.

In botocore's adaptive mode, a process slows its requests down as soon as the store answers
SlowDown, and speeds them up again gradually.
"""
READING: Mapping[str, Mapping[str, Any]] = {"s3": {"max_concurrency": 1}, "s3a": {"max_concurrency": 1}}
"""One request per object: with more, s3fs first asks for the size of every object."""
WRITING: Mapping[str, Mapping[str, Any]] = {"s3": {"chunksize": PART_BYTES}, "s3a": {"chunksize": PART_BYTES}}


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path or URL, and the path inside it.

    A name that contains `#`, `%` or `?versionId=` is taken literally, and a local one that is no
    UTF-8 is spelt as `operators.storage.names` says. Listings and metadata of object stores are
    never cached, because another worker may have just written there.
    """
    if is_local(uri):
        return LocalFileSystem(), os.path.abspath(to_path(uri.removeprefix("file://")))
    kind = uri.partition("://")[0]
    settings = fsspec.config.conf.get(kind, {})
    options: dict[str, Any] = {name: {**defaults, **settings.get(name, {})} for name, defaults in OPTIONS.get(kind, {}).items()}
    if kind in OPTIONS:
        files = _literal_s3()(use_listings_cache=False, **options)
        files.retries = 1  # botocore and `with_retries` already retry
    else:
        if kind in ("http", "https"):
            options["get_client"] = open_session
        files = fsspec.filesystem(kind, use_listings_cache=False, **options)
    return files, str(files._strip_protocol(uri))


PACKAGES: Mapping[str, str] = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "google",
    "gcs": "google",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "adl": "azure",
}
"""The extra of this package that reaches a kind of store."""

FIRST_SEGMENTS = frozenset(("local", *known_implementations))
"""How the paths of absolute URIs of a manifest begin: `local`, or the kind of store."""


def check_scheme(uri: str) -> None:
    """Raise RunError if no installed package reaches the storage of a URI.

    The codes are option_invalid for an unknown kind of storage and package_missing.
    """
    kind = scheme(uri)
    if not kind:
        return
    try:
        fsspec.get_filesystem_class(kind)
    except ImportError:
        extra = PACKAGES.get(kind)
        install = f"install cleanplate[{extra}]" if extra else str(known_implementations[kind].get("err", ""))
        raise RunError("package_missing", f"{uri}: {install}") from None
    except ValueError:
        known = "a path, s3://, gs://, az://, https:// or another URL that fsspec knows"
        raise RunError("option_invalid", f"{uri}: there is no storage {kind!r}; give {known}") from None


def absolute(uri: str) -> str:
    """A path on this machine as an absolute one; a URL as it is."""
    return to_text(os.path.abspath(to_path(uri.removeprefix("file://")))) if is_local(uri) else uri


@functools.cache
def _literal_s3() -> type[Any]:
    """The class of S3 file systems, whose keys may contain `?versionId=` like any other text."""
    from s3fs import S3FileSystem

    class LiteralS3FileSystem(S3FileSystem):  # type: ignore[misc]
        """S3 whose keys are taken as they are."""

        def split_path(self, path: str) -> tuple[str, str, str | None]:
            """The bucket and the key of a path; s3fs would take a part of the key as a version."""
            trailing = path[len(path.rstrip("/")) :]
            stripped = self._strip_protocol(path).lstrip("/")
            if "/" not in stripped:
                return stripped, "", None
            bucket, key = self._find_bucket_key(stripped)
            return bucket, key + trailing, None

    return LiteralS3FileSystem


def scheme(uri: str) -> str:
    """The kind of store of a URI, such as `s3`; empty for a path on this machine."""
    return "" if is_local(uri) else uri.partition("://")[0]


def is_local(uri: str) -> bool:
    """Whether a SOURCE or DEST is a plain path or a file:// URL on this machine."""
    return "://" not in uri or uri.startswith("file://")


def join(uri: str, *parts: str) -> str:
    """A URI with path segments appended."""
    return "/".join([uri.rstrip("/"), *parts])


def check_reachable(uri: str) -> None:
    """Raise Failure quickly if the storage of a URI does not answer.

    The object need not exist.
    """
    files, path = filesystem(uri)
    with_retries(uri, lambda: files.exists(path), FIRST_CONTACT_SECONDS)


def read(uri: str) -> bytes:
    """The object's bytes.

    Raises Failure key_missing, access_denied or storage_error, and not_an_image for a folder.
    """
    files, path = filesystem(uri)

    def call() -> bytes:
        data: bytes = files.cat_file(path, **READING.get(scheme(uri), {}))
        return data

    return _read_file(uri, call)


def read_head(uri: str, length: int) -> bytes:
    """The first `length` bytes of an object that is not empty. Raises Failure as `read` does."""
    files, path = filesystem(uri)

    def call() -> bytes:
        data: bytes = files.cat_file(path, start=0, end=length)
        return data

    return _read_file(uri, call)


def read_range(uri: str, start: int, length: int) -> bytes:
    """The bytes of an object from `start` on, fewer than `length` where it ends before.

    Raises Failure as `read` does.
    """
    if not length:
        return b""
    files, path = filesystem(uri)

    def call() -> bytes:
        try:
            data: bytes = files.cat_file(path, start=start, end=start + length)
        except Exception as error:
            if "InvalidRange" in f"{error!r}{error.__cause__!r}":  # S3 has no empty answer
                return b""
            raise
        return data

    return _read_file(uri, call)


def _read_file(uri: str, call: Callable[[], bytes]) -> bytes:
    """What `call` reads. A folder is no conflict of paths here, because nothing is written."""

    def call_or_say() -> bytes:
        try:
            return call()
        except IsADirectoryError:
            raise Failure("not_an_image", f"{uri} is a folder") from None

    return with_retries(uri, call_or_say)


def size(uri: str) -> int:
    """The object's size in bytes, without reading it. Raises Failure as `read` does."""
    files, path = filesystem(uri)
    return with_retries(uri, lambda: int(files.size(path) or 0))


def write(uri: str, data: bytes | memoryview) -> None:
    """Put an object atomically: readers see the old one or the whole new one. Raises Failure.

    On a local disk the bytes first go to a hidden file in the same folder, which is then renamed;
    object stores put atomically. The parts of an upload that did not finish are removed, either
    immediately or by the next attempt at the same key.
    """
    files, path = filesystem(uri)

    def call() -> None:
        if isinstance(files, LocalFileSystem):
            _write_local(Path(path), data)
        else:
            files.pipe_file(path, bytes(data), **WRITING.get(scheme(uri), {}))

    with _remove_leftover_parts(uri, len(data)):
        with_retries(uri, call)


@contextlib.contextmanager
def _remove_leftover_parts(uri: str, size: int | None) -> Iterator[None]:
    """Abort unfinished uploads to an S3 key when the block ends, with or without an error.

    Their parts would be invisible but charged for. `size` is None if it is unknown.
    """
    try:
        yield
    finally:
        if scheme(uri) in WRITING and (size is None or size >= PART_BYTES):
            with contextlib.suppress(Exception):
                files, path = filesystem(uri)
                bucket, key, _ = files.split_path(path)
                for upload in files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads") or []:
                    if upload["Key"] == key:
                        files.abort_mpu(bucket, key, upload["UploadId"])


def _write_local(path: Path, data: bytes | memoryview) -> None:
    with _open_atomically(path) as file:
        file.write(data)


@contextlib.contextmanager
def _open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only after the block has ended without an error.

    By then all its bytes are on the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial_file(path) as partial:
        yield partial.file
        partial.file.flush()
        os.fsync(partial.file.fileno())
        partial.path.replace(path)


def copy(source: str, target: str) -> None:
    """Copy an object without holding it in memory. Raises Failure as `read` and `write` do.

    A store that holds both source and target copies by itself. Otherwise the bytes stream through
    this machine, and the target appears when the last byte has arrived.
    """
    source_files, source_path = filesystem(source)
    target_files, target_path = filesystem(target)

    def call() -> None:
        if type(source_files) is type(target_files) and not isinstance(target_files, LocalFileSystem):
            target_files.cp_file(source_path, target_path)
        elif isinstance(target_files, LocalFileSystem):
            with source_files.open(source_path, "rb") as reader, _open_atomically(Path(target_path)) as file:
                shutil.copyfileobj(reader, file, COPY_BYTES)
        else:
            _stream(source_files, source_path, target_files, target_path)

    with _remove_leftover_parts(target, None):
        with_retries(target, call)


def _stream(source_files: Any, source_path: str, target_files: Any, target_path: str) -> None:
    """Copy an object between stores through this machine.

    Without `autocommit=False`, fsspec would put an incomplete object when the source breaks off.
    """
    with source_files.open(source_path, "rb") as reader:
        writer = target_files.open(target_path, "wb", autocommit=False, block_size=PART_BYTES)
        try:
            shutil.copyfileobj(reader, writer, COPY_BYTES)
            writer.close()
        except BaseException:
            # Otherwise the garbage collector closes the writer and so puts an incomplete object.
            writer.closed = True
            writer.discard()
            raise
        writer.commit()


def create(uri: str, data: bytes) -> bool:
    """Put an object only if there is none yet. Raises Failure as `write` does.

    Return False if there is an object with other bytes. An object with the same bytes is the
    caller's: the store may have saved it although the reply was lost.
    """
    files, path = filesystem(uri)

    def call() -> bool:
        if isinstance(files, LocalFileSystem):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            if isinstance(files, LocalFileSystem):
                _create_local(Path(path), data)
            else:
                files.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except Exception as error:
            if "PreconditionFailed" in f"{error!r}{error.__cause__!r}":
                return False
            raise
        return True

    return with_retries(uri, call) or read(uri) == data


def _create_local(path: Path, data: bytes) -> None:
    """Create a file that appears under its name with all its bytes. Raises FileExistsError.

    A file system without hard links shows it before it is complete.
    """
    with partial_file(path) as partial:
        partial.file.write(data)
        partial.file.flush()
        try:
            path.hardlink_to(partial.path)
        except FileExistsError:
            raise
        except OSError:
            with path.open("xb") as file:
                file.write(data)


def list_paths(uri: str) -> list[str]:
    """The full paths, as in `filesystem`, of all objects under a URI. Raises Failure.

    The list is empty if there are none.
    """
    files, path = filesystem(uri)

    def call() -> list[str]:
        try:
            paths: list[str] = files.find(path)
        except FileNotFoundError:
            return []
        return paths

    return with_retries(uri, call)


def list_versions(uri: str) -> dict[str, str | None]:
    """The full paths of all objects under a URI, as in `list_paths`, with their versions.

    A version is the checksum that the storage keeps (ETag), or None where it keeps none. Raises
    Failure.
    """
    files, path = filesystem(uri)

    def call() -> dict[str, str | None]:
        try:
            found: dict[str, Any] = files.find(path, detail=True)
        except FileNotFoundError:
            return {}
        return {name: info.get("ETag") or info.get("etag") for name, info in found.items()}

    return with_retries(uri, call)


def drop_missing(uris: Sequence[str], start: str) -> list[str]:
    """The URIs without those of missing objects, by one listing. Raises Failure.

    All of them must begin with `start`, which ends within a name. Only S3 lists by the beginning
    of a name; elsewhere asking for an object is as fast, and all URIs are returned.
    """
    if scheme(start) not in OPTIONS:
        return list(uris)
    files, path = filesystem(start)
    folder, _, beginning = path.rpartition("/")

    def call() -> set[str]:
        try:
            return set(files.find(folder, prefix=beginning))
        except FileNotFoundError:
            return set()

    listed = with_retries(start, call)
    return [uri for uri in uris if filesystem(uri)[1] in listed]


def list_uris(folder: str) -> list[str]:
    """The URIs of all objects under a folder. Raises Failure."""
    root = filesystem(folder)[1]
    return [join(folder, name[len(root) :].lstrip("/")) for name in list_paths(folder)]


def exists(uri: str) -> bool:
    """Whether there is an object at the URI. Raises Failure."""
    files, path = filesystem(uri)
    return with_retries(uri, lambda: bool(files.exists(path)))


def remove(uri: str) -> None:
    """Delete an object or everything under a URI, if there is any. Raises Failure."""
    files, path = filesystem(uri)

    def call() -> None:
        with contextlib.suppress(FileNotFoundError):
            if isinstance(files, LocalFileSystem):
                files.rm(path, recursive=True)
                return
            names = files.find(path)
            if scheme(uri) in OPTIONS and len(names) > 1:
                _remove_from_s3(files, names)
            else:
                for name in names:
                    files.rm_file(name)

    with_retries(uri, call)


def _remove_from_s3(files: Any, names: Sequence[str]) -> None:
    """Delete objects of one bucket, many with each request. Raises OSError for a refusal."""
    bucket = files.split_path(names[0])[0]
    for start in range(0, len(names), S3_DELETES):
        keys = [{"Key": files.split_path(name)[1]} for name in names[start : start + S3_DELETES]]
        answer = files.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
        if refused := answer.get("Errors"):
            raise OSError(f"{refused[0].get('Code')}: {refused[0].get('Key')}")


def remove_empty_folders(uri: str) -> None:
    """Remove a local folder and the folders under it, as far as they are empty.

    An object store has no folders.
    """
    if is_local(uri):
        for folder, _, _ in os.walk(to_path(absolute(uri)), topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
