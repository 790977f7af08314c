"""Copies within an S3 store: made by the store, verified, and never wrong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest

from operators.storage import files as storage
from operators.storage import s3_copy
from operators.write import Write
from tests.fixtures.flaky_s3 import SLOW_DOWN, FlakyS3


def put_source(front: FlakyS3, bucket: str, source: bytes = b"data") -> tuple[str, str]:
    s3_copy._refusing_pairs.clear()
    storage.write(f"{bucket}/source", source)
    etag = storage.filesystem(bucket)[0].info(f"{bucket}/source")["ETag"].strip('"')
    front.requests.clear()
    return f"{bucket}/source", etag


def test_a_store_copies_an_unchanged_source(front: FlakyS3, bucket: str) -> None:
    source, etag = put_source(front, bucket)
    assert s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")
    assert storage.read(f"{bucket}/images/copy") == b"data"
    assert [method for _, method, _ in front.requests] == ["PUT", "GET"]


def test_a_source_that_has_changed_is_not_copied(front: FlakyS3, bucket: str) -> None:
    source, etag = put_source(front, bucket)
    storage.write(source, b"other data")
    assert not s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")
    assert not storage.exists(f"{bucket}/images/copy")
    source, etag = put_source(front, bucket)
    assert s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")


def test_a_copy_with_other_bytes_is_not_accepted(front: FlakyS3, bucket: str) -> None:
    """As from a store that ignores the condition: the bytes are not the version of the etag."""
    source, etag = put_source(front, bucket)
    assert not s3_copy.copy_on_server(source, etag, b"older data", f"{bucket}/images/copy")
    assert not s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy"), "the store is not asked again"


def test_an_object_that_was_uploaded_in_parts_does_not_stop_copies_of_others(front: FlakyS3, bucket: str) -> None:
    """Its etag is not an MD5. Whether its copy can be verified depends on the store."""
    data = bytes(2 * storage.PART_BYTES)
    large, etag = put_source(front, bucket, data)
    assert "-" in etag
    if s3_copy.copy_on_server(large, etag, data, f"{bucket}/images/large"):
        assert storage.read(f"{bucket}/images/large") == data
    storage.write(f"{bucket}/small", b"small")
    small_etag = storage.filesystem(bucket)[0].info(f"{bucket}/small")["ETag"].strip('"')
    assert s3_copy.copy_on_server(f"{bucket}/small", small_etag, b"small", f"{bucket}/images/small")


def test_a_store_that_refuses_copies_is_asked_once(front: FlakyS3, bucket: str) -> None:
    source, etag = put_source(front, bucket)
    front.misbehave = lambda method, path: (501, b"<Error><Code>NotImplemented</Code><Message>No</Message></Error>")
    for _ in range(3):
        assert not s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")
    assert len(front.requests) == 1


def test_a_copy_outlasts_bad_answers(front: FlakyS3, bucket: str) -> None:
    source, etag = put_source(front, bucket)
    front.first(3, SLOW_DOWN)
    assert s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")


def test_write_lets_the_store_copy_images_that_were_not_edited(front: FlakyS3, bucket: str, rows: Callable[..., Any]) -> None:
    original = os.urandom(300_000)
    source, etag = put_source(front, bucket, original)
    front.received = 0
    table = rows({"path": "a.png", "uri": source, "etag": etag, "bytes": original, "verdict": "untouched"})
    [row] = Write(dest=f"{bucket}/out").apply(table).to_pylist()
    assert row["output_sha256"] == row["source_sha256"] == hashlib.sha256(original).hexdigest()
    assert storage.read(f"{bucket}/out/images/a.png") == original
    assert front.received < 50_000

    storage.write(source, b"changed since it was read")
    Write(dest=f"{bucket}/again").apply(table)
    assert storage.read(f"{bucket}/again/images/a.png") == original


@pytest.mark.parametrize("etag", [None, ""])
def test_without_a_version_nothing_is_copied(front: FlakyS3, bucket: str, etag: str | None) -> None:
    source, _ = put_source(front, bucket)
    assert not s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")
    assert not s3_copy.copy_on_server("/a/disk", "1-1", b"data", f"{bucket}/images/copy")
    assert front.requests == []
