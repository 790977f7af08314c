"""Storage calls to an S3 server that is busy, breaks off, or is gone for a while.

The answers are real ones over HTTP.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from operators.rows.failure import Failure
from operators.storage import files as storage
from operators.storage import retries
from tests.fixtures.flaky_s3 import BROKEN, HALF, HANG_UP, SLOW_DOWN, TOO_MANY, UNHEARD, FlakyS3

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3


@pytest.mark.parametrize("answer", [SLOW_DOWN, TOO_MANY, BROKEN, HANG_UP], ids=["SlowDown", "429", "500", "broken off"])
def test_a_read_and_a_write_outlast_bad_answers(front: FlakyS3, bucket: str, answer: tuple[int, bytes]) -> None:
    front.first(4, answer)
    storage.write(f"{bucket}/a", b"data")
    front.first(4, answer)
    assert storage.read(f"{bucket}/a") == b"data"


def test_an_answer_that_breaks_off_is_not_taken_for_the_object(front: FlakyS3, bucket: str) -> None:
    data = os.urandom(100_000)
    storage.write(f"{bucket}/a", data)
    front.first(2, HALF, "GET")
    assert storage.read(f"{bucket}/a") == data


def test_a_refusal_and_a_missing_key_are_reported_at_once(front: FlakyS3, bucket: str) -> None:
    with pytest.raises(Failure, match="key_missing"):
        storage.read(f"{bucket}/none")
    assert len(front.requests) == 1
    front.requests.clear()
    front.misbehave = lambda method, path: (403, b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>")
    with pytest.raises(Failure, match="access_denied"):
        storage.write(f"{bucket}/a", b"data")
    assert len(front.requests) == 1


def test_an_object_is_read_by_one_request(front: FlakyS3, bucket: str) -> None:
    storage.write(f"{bucket}/a", b"data")
    front.requests.clear()
    storage.read(f"{bucket}/a")
    assert len(front.requests) == 1


def test_a_store_that_is_gone_for_a_while_fails_nothing(front: FlakyS3, bucket: str) -> None:
    storage.write(f"{bucket}/a", b"data")
    front.misbehave = lambda method, path: HANG_UP
    threading.Timer(4, lambda: setattr(front, "misbehave", lambda method, path: None)).start()
    start = time.monotonic()
    assert storage.read(f"{bucket}/a") == b"data"
    assert time.monotonic() - start > 4


def test_a_wrong_address_is_reported_quickly(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(storage, "FIRST_CONTACT_SECONDS", 1)
    storage.filesystem("s3://")[0].clear_instance_cache()
    start = time.monotonic()
    with pytest.raises(Failure, match="storage_error"):
        storage.check_reachable("s3://anything/here")
    assert time.monotonic() - start < storage.FIRST_CONTACT_SECONDS + 8
    storage.filesystem("s3://")[0].clear_instance_cache()


def test_requests_slow_down_when_the_store_asks_for_it(front: FlakyS3, bucket: str) -> None:
    """Eight threads use a store that accepts 20 requests a second; few more arrive."""
    storage.write(f"{bucket}/a", b"data")
    lock, accepted = threading.Lock(), []

    def misbehave(method: str, path: str) -> tuple[int, bytes] | None:
        with lock:
            now = time.monotonic()
            accepted[:] = [moment for moment in accepted if now - moment < 1]
            if len(accepted) >= 20:
                return SLOW_DOWN
            accepted.append(now)
            return None

    front.misbehave = misbehave
    done: list[bytes] = []
    until = time.monotonic() + 8

    def reader() -> None:
        while time.monotonic() < until:
            done.append(storage.read(f"{bucket}/a"))

    threads = [threading.Thread(target=reader) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    late = [moment for moment, _, _ in front.requests if until - 4 <= moment < until]
    assert set(done) == {b"data"}
    assert 8 <= len(late) / 4 <= 30


def test_a_large_object_is_uploaded_in_parts_and_read_whole(front: FlakyS3, bucket: str) -> None:
    data = os.urandom(2 * storage.PART_BYTES + 5)
    storage.write(f"{bucket}/large", data)
    assert len([path for path in front.seen("PUT") if "partNumber=" in path]) == 3
    assert storage.read(f"{bucket}/large") == data


def uploads(bucket: str) -> list[Any]:
    files = storage.filesystem(bucket)[0]
    return files.call_s3("list_multipart_uploads", Bucket=bucket.removeprefix("s3://")).get("Uploads") or []


def test_a_large_object_that_fails_leaves_neither_an_object_nor_parts(
    front: FlakyS3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "RETRY_SECONDS", 1)
    refused = (403, b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>")
    for answer in (refused, SLOW_DOWN):
        front.misbehave = lambda method, path, answer=answer: answer if "partNumber=2" in path else None
        with pytest.raises(Failure):
            storage.write(f"{bucket}/large", bytes(2 * storage.PART_BYTES))
        front.misbehave = lambda method, path: None
        assert not storage.exists(f"{bucket}/large")
        assert uploads(bucket) == []


def test_parts_that_a_killed_process_left_are_removed_by_the_next_attempt(front: FlakyS3, bucket: str) -> None:
    files = storage.filesystem(bucket)[0]
    name = bucket.removeprefix("s3://")
    for key in ("large", "large.other"):
        files.call_s3("create_multipart_upload", Bucket=name, Key=key)
    storage.write(f"{bucket}/large", bytes(2 * storage.PART_BYTES))
    assert [upload["Key"] for upload in uploads(bucket)] == ["large.other"]
    assert storage.size(f"{bucket}/large") == 2 * storage.PART_BYTES


def test_a_copy_whose_source_breaks_off_puts_nothing(front: FlakyS3, bucket: str, tmp_path: Any) -> None:
    """The source is a store of another kind, so the bytes stream through this machine."""
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/slow/source", bytes(storage.PART_BYTES + 5))

    class Breaking(type(memory)):  # type: ignore[misc]
        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return "/" + path.removeprefix("breaking://").lstrip("/")

        def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
            file, reads = super()._open(path, *arguments, **options), itertools.count()
            read = file.read

            def breaking(size: int = -1) -> bytes:
                if next(reads) == 2:
                    raise PermissionError("the rights are gone")
                return bytes(read(size))

            file.read = breaking
            return file

    fsspec.register_implementation("breaking", Breaking, clobber=True)
    try:
        with pytest.raises(Failure, match="access_denied"):
            storage.copy("breaking://slow/source", f"{bucket}/copy")
        assert not storage.exists(f"{bucket}/copy")
        assert uploads(bucket) == []
        storage.copy("memory://slow/source", f"{bucket}/copy")
        assert storage.size(f"{bucket}/copy") == storage.PART_BYTES + 5
    finally:
        memory.rm("/slow", recursive=True)


def test_an_object_that_was_created_although_the_reply_was_lost_belongs_to_its_creator(front: FlakyS3, bucket: str) -> None:
    """The front passes the first put on and hangs up without a reply."""
    passed = []

    def misbehave(method: str, path: str) -> tuple[int, bytes] | None:
        if method == "PUT" and not passed:
            passed.append(path)
            return UNHEARD
        return None

    front.misbehave = misbehave
    assert storage.create(f"{bucket}/lease", b"mine")
    assert not storage.create(f"{bucket}/lease", b"another's")
