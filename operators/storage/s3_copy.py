"""Copies that an S3 store makes by itself, where what is to be delivered is the source as it was."""

from __future__ import annotations

import hashlib

from operators.storage import files as storage
from operators.storage.retries import unavailable, with_retries

LARGEST_BYTES = 5 * 1024**3
"""What S3 copies in one request."""

_unable: set[tuple[str, str]] = set()
"""Pairs of buckets between which the store refused a copy, or made one that could not be told to
be right.
"""


def copy_on_server(source: str, etag: str | None, data: bytes | memoryview, target: str) -> bool:
    """Whether the store has put at `target` a copy of `source` that holds exactly `data`. Raises
    Failure storage_error.

    It is asked to copy the version named by `etag` and no other, and its copy's own etag must be
    the MD5 of `data`: a source that was changed since it was read, and a store that ignores the
    condition or has other etags (encrypted by a key of the user's, say), both end in False. So
    does whatever the store refuses; the caller puts the bytes then.
    """
    if not {storage.scheme(source), storage.scheme(target)} <= {"s3", "s3a"} or not etag or len(data) > LARGEST_BYTES:
        return False
    files, path = storage.filesystem(target)
    from_bucket, from_key, _ = files.split_path(storage.filesystem(source)[1])
    to_bucket, to_key, _ = files.split_path(path)
    if (from_bucket, to_bucket) in _unable:
        return False
    wanted = hashlib.md5(data, usedforsecurity=False).hexdigest()

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
                _unable.add((from_bucket, to_bucket))
            return False
        if str(answer["CopyObjectResult"]["ETag"]).strip('"') == wanted:
            return True
        if "-" not in etag:  # the etag of an object that was uploaded in parts is no MD5, and its copy's need not be
            _unable.add((from_bucket, to_bucket))
        return False

    return with_retries(target, call)
