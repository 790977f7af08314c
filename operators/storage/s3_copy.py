"""Copies within an S3 store, for images that are delivered unchanged."""

from __future__ import annotations

import hashlib

from operators.storage import files as storage
from operators.storage.retries import unavailable, with_retries

LARGEST_BYTES = 5 * 1024**3
"""The largest object that S3 copies in one request."""

_refusing_pairs: set[tuple[str, str]] = set()
"""Pairs of buckets between which the store refused a copy or made one that cannot be verified."""


def copy_on_server(source: str, etag: str | None, data: bytes | memoryview, target: str) -> bool:
    """Let the store copy `source` to `target`; return whether the copy holds exactly `data`.

    The store is asked to copy only the version with `etag`, and the etag of the copy must be the
    MD5 of `data`. The result is False if the source has changed since it was read, if the store
    ignores the condition or uses other etags (for example with encryption by a user's key), or if
    it refuses the copy; the caller then puts the bytes. Raises Failure storage_error.
    """
    if not {storage.scheme(source), storage.scheme(target)} <= {"s3", "s3a"} or not etag or len(data) > LARGEST_BYTES:
        return False
    files, path = storage.filesystem(target)
    from_bucket, from_key, _ = files.split_path(storage.filesystem(source)[1])
    to_bucket, to_key, _ = files.split_path(path)
    if (from_bucket, to_bucket) in _refusing_pairs:
        return False
    data_md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()

    def call() -> bool:
        try:
            answer = files.call_s3(
                "copy_object",
                Bucket=to_bucket,
                Key=to_key,
                CopySource={"Bucket": from_bucket, "Key": from_key},
                CopySourceIfMatch=f'"{etag}"',
            )
        except Exception as error:
            if unavailable(error):
                raise
            if not isinstance(error, FileNotFoundError) and "PreconditionFailed" not in repr(error.__cause__):
                _refusing_pairs.add((from_bucket, to_bucket))
            return False
        if str(answer["CopyObjectResult"]["ETag"]).strip('"') == data_md5:
            return True
        # The etag of an object uploaded in parts is not an MD5, and neither need its copy's be.
        if "-" not in etag:
            _refusing_pairs.add((from_bucket, to_bucket))
        return False

    return with_retries(target, call)
