"""What operators do when an S3 server is busy, breaks off, is far away, or is gone for a while:
real answers over HTTP.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from operators.rows.failure import Failure
from operators.storage import files as storage
from operators.storage import retries, s3_copy
from operators.storage.listing import list_source
from operators.write import Write
from tests.front import BROKEN, HALF, HANG_UP, SLOW_DOWN, TOO_MANY, UNHEARD, Front, front_of

if TYPE_CHECKING:
    from tests.conftest import S3

numbers = itertools.count()


@pytest.fixture
def front(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """A front before the S3 server, to which all that `storage` does goes, by a client that is
    this test's own.
    """
    with front_of(os.environ["AWS_ENDPOINT_URL"]) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.url)
        fsspec.filesystem("s3").clear_instance_cache()
        yield front
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture
def bucket(front: Front) -> str:
    name = f"slow{next(numbers)}"
    storage.filesystem("s3://")[0].mkdir(name)
    front.requests.clear()
    return f"s3://{name}"


@pytest.mark.parametrize("answer", [SLOW_DOWN, TOO_MANY, BROKEN, HANG_UP], ids=["SlowDown", "429", "500", "broken off"])
def test_a_read_and_a_write_outlast_bad_answers(front: Front, bucket: str, answer: tuple[int, bytes]) -> None:
    front.first(4, answer)
    storage.write(f"{bucket}/a", b"data")
    front.first(4, answer)
    assert storage.read(f"{bucket}/a") == b"data"


def test_an_answer_that_breaks_off_in_its_middle_is_not_taken_for_the_object(front: Front, bucket: str) -> None:
    data = os.urandom(100_000)
    storage.write(f"{bucket}/a", data)
    front.first(2, HALF, "GET")
    assert storage.read(f"{bucket}/a") == data


def test_a_refusal_and_a_missing_key_are_told_at_once(front: Front, bucket: str) -> None:
    with pytest.raises(Failure, match="key_missing"):
        storage.read(f"{bucket}/none")
    assert len(front.requests) == 1
    front.requests.clear()
    front.misbehave = lambda method, path: (403, b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>")
    with pytest.raises(Failure, match="access_denied"):
        storage.write(f"{bucket}/a", b"data")
    assert len(front.requests) == 1


def test_an_object_is_read_by_one_request(front: Front, bucket: str) -> None:
    storage.write(f"{bucket}/a", b"data")
    front.requests.clear()
    storage.read(f"{bucket}/a")
    assert len(front.requests) == 1


def test_a_store_that_is_gone_for_a_while_fails_nothing(front: Front, bucket: str) -> None:
    storage.write(f"{bucket}/a", b"data")
    front.misbehave = lambda method, path: HANG_UP
    threading.Timer(4, lambda: setattr(front, "misbehave", lambda method, path: None)).start()
    start = time.monotonic()
    assert storage.read(f"{bucket}/a") == b"data"
    assert time.monotonic() - start > 4


def test_a_wrong_address_is_told_soon(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(storage, "FIRST_CONTACT_SECONDS", 1)
    fsspec.filesystem("s3").clear_instance_cache()
    start = time.monotonic()
    with pytest.raises(Failure, match="storage_error"):
        storage.reach("s3://anything/here")
    assert time.monotonic() - start < storage.FIRST_CONTACT_SECONDS + 8
    fsspec.filesystem("s3").clear_instance_cache()


def test_requests_become_fewer_where_the_store_asks_for_it(front: Front, bucket: str) -> None:
    """A store that bears 20 requests a second, asked by eight threads: hardly more come, once it
    has said so.
    """
    storage.write(f"{bucket}/a", b"data")
    lock, borne = threading.Lock(), []

    def misbehave(method: str, path: str) -> tuple[int, bytes] | None:
        with lock:
            now = time.monotonic()
            borne[:] = [at for at in borne if now - at < 1]
            if len(borne) >= 20:
                return SLOW_DOWN
            borne.append(now)
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
    late = [at for at, _, _ in front.requests if until - 4 <= at < until]
    assert set(done) == {b"data"}
    assert 8 <= len(late) / 4 <= 30


def test_a_large_object_goes_in_parts_and_stands_whole(front: Front, bucket: str) -> None:
    data = os.urandom(2 * storage.PART_BYTES + 5)
    storage.write(f"{bucket}/large", data)
    assert len([path for path in front.seen("PUT") if "partNumber=" in path]) == 3
    assert storage.read(f"{bucket}/large") == data


def uploads(bucket: str) -> list[Any]:
    files = storage.filesystem(bucket)[0]
    return files.call_s3("list_multipart_uploads", Bucket=bucket.removeprefix("s3://")).get("Uploads") or []


def test_a_large_object_that_fails_leaves_neither_half_of_it_nor_parts(
    front: Front, bucket: str, monkeypatch: pytest.MonkeyPatch
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


def test_parts_that_a_killed_process_left_are_removed_by_the_next_attempt(front: Front, bucket: str) -> None:
    files = storage.filesystem(bucket)[0]
    name = bucket.removeprefix("s3://")
    for key in ("large", "large.other"):
        files.call_s3("create_multipart_upload", Bucket=name, Key=key)
    storage.write(f"{bucket}/large", bytes(2 * storage.PART_BYTES))
    assert [upload["Key"] for upload in uploads(bucket)] == ["large.other"]
    assert storage.size(f"{bucket}/large") == 2 * storage.PART_BYTES


def test_a_copy_whose_source_breaks_off_puts_nothing(front: Front, bucket: str, tmp_path: Any) -> None:
    """The source is a store of another kind, so that the bytes stream through."""
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


def test_a_lease_that_was_put_though_nobody_heard_so_is_the_putters_own(front: Front, bucket: str) -> None:
    """The front passes the first put on and hangs up before it answers."""
    passed = []

    def misbehave(method: str, path: str) -> tuple[int, bytes] | None:
        if method == "PUT" and not passed:
            passed.append(path)
            return UNHEARD
        return None

    front.misbehave = misbehave
    assert storage.create(f"{bucket}/lease", b"mine")
    assert not storage.create(f"{bucket}/lease", b"another's")


KEYS = [f"{folder:02d}/{number:03d}.png" for folder in range(20) for number in range(52)] + ["a.png", "b/notes.txt"]


@pytest.fixture(scope="module")
def thousand(s3: S3) -> str:
    """A bucket of more keys than one page of a listing holds, in twenty folders."""
    files: Any = s3.files()
    files.mkdir("thousand")
    files.pipe({f"thousand/{key}": b"x" for key in KEYS})
    return "s3://thousand"


def test_a_distant_store_is_listed_many_pages_at_a_time_in_the_same_order_each_time(front: Front, thousand: str) -> None:
    front.delay = 0.5
    first = [item.path for item in list_source(thousand, "/elsewhere")]
    assert sorted(first) == sorted(key for key in KEYS if key.endswith(".png"))
    assert front.most_at_once >= 8
    front.delay = 0
    assert [item.path for item in list_source(thousand, "/elsewhere")] == first


def test_a_listing_outlasts_bad_answers(front: Front, thousand: str) -> None:
    asked = itertools.count()
    front.misbehave = lambda method, path: SLOW_DOWN if next(asked) % 5 == 0 else None
    assert len(list(list_source(thousand, "/elsewhere"))) == len(KEYS) - 1


# --- copies that the store makes


def served(front: Front, bucket: str, source: bytes = b"data") -> tuple[str, str]:
    s3_copy._unable.clear()
    storage.write(f"{bucket}/source", source)
    etag = storage.filesystem(bucket)[0].info(f"{bucket}/source")["ETag"].strip('"')
    front.requests.clear()
    return f"{bucket}/source", etag


def test_a_store_copies_within_itself_what_is_held(front: Front, bucket: str) -> None:
    source, etag = served(front, bucket)
    assert s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")
    assert storage.read(f"{bucket}/images/copy") == b"data"
    assert [method for _, method, _ in front.requests] == ["PUT", "GET"]


def test_a_source_that_has_changed_is_not_copied(front: Front, bucket: str) -> None:
    source, etag = served(front, bucket)
    storage.write(source, b"other data")
    assert not s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")
    assert not storage.exists(f"{bucket}/images/copy")
    source, etag = served(front, bucket)
    assert s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")


def test_a_copy_that_does_not_hold_the_bytes_is_not_taken_for_one(front: Front, bucket: str) -> None:
    """As from a store that ignores the condition: what is held is another version than what the
    etag names.
    """
    source, etag = served(front, bucket)
    assert not s3_copy.copy_on_server(source, etag, b"older data", f"{bucket}/images/copy")
    assert not s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy"), "it is not asked again"


def test_an_object_that_was_uploaded_in_parts_does_not_end_the_copies_of_others(front: Front, bucket: str) -> None:
    """Its etag is no MD5; whether the store's copy can be told to be right depends on the store,
    not what is delivered.
    """
    data = bytes(2 * storage.PART_BYTES)
    large, etag = served(front, bucket, data)
    assert "-" in etag
    if s3_copy.copy_on_server(large, etag, data, f"{bucket}/images/large"):
        assert storage.read(f"{bucket}/images/large") == data
    storage.write(f"{bucket}/small", b"small")
    small_etag = storage.filesystem(bucket)[0].info(f"{bucket}/small")["ETag"].strip('"')
    assert s3_copy.copy_on_server(f"{bucket}/small", small_etag, b"small", f"{bucket}/images/small")


def test_a_store_that_refuses_copies_is_asked_once(front: Front, bucket: str) -> None:
    source, etag = served(front, bucket)
    front.misbehave = lambda method, path: (501, b"<Error><Code>NotImplemented</Code><Message>No</Message></Error>")
    for _ in range(3):
        assert not s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")
    assert len(front.requests) == 1


def test_a_copy_outlasts_bad_answers(front: Front, bucket: str) -> None:
    source, etag = served(front, bucket)
    front.first(3, SLOW_DOWN)
    assert s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")


def test_write_has_the_store_copy_what_was_not_edited(front: Front, bucket: str, rows: Callable[..., Any]) -> None:
    original = os.urandom(300_000)
    source, etag = served(front, bucket, original)
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
def test_without_a_version_nothing_is_copied(front: Front, bucket: str, etag: str | None) -> None:
    source, _ = served(front, bucket)
    assert not s3_copy.copy_on_server(source, etag, b"data", f"{bucket}/images/copy")
    assert not s3_copy.copy_on_server("/a/disk", "1-1", b"data", f"{bucket}/images/copy")
    assert front.requests == []
