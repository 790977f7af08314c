"""Retries of calls to a storage that does not answer.

test_slow_storage.py has the answers of a real storage.
"""

import errno
import itertools
import time

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from operators.rows.failure import Failure
from operators.storage import retries
from operators.storage.retries import LEAST_ATTEMPTS, STORE_OUTAGES, storage_failure, unavailable, wait, with_retries


def answered(status, code):
    """An error as s3fs raises it: an OSError caused by an error of botocore."""
    error = OSError(errno.EIO, "the message")
    error.__cause__ = ClientError(
        {"Error": {"Code": code, "Message": "the message"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject"
    )
    return error


def calling(*answers):
    """A call that gives the answers in turn, then repeats the last one; and its times."""
    calls, upcoming = [], itertools.chain(answers, itertools.repeat(answers[-1]))

    def call():
        calls.append(time.monotonic())
        answer = next(upcoming)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call, calls


def code_of(call):
    with pytest.raises(Failure) as caught:
        call()
    return caught.value.code


@pytest.fixture
def hurried(monkeypatch):
    """A patience of half a second and waits of milliseconds."""
    monkeypatch.setattr(retries, "RETRY_SECONDS", 0.5)
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError(2, "no"), "key_missing"),
        (PermissionError(13, "no"), "access_denied"),
        (OSError(errno.ENOSPC, "full"), "disk_full"),
        (OSError(errno.EDQUOT, "quota"), "disk_full"),
        (OSError(errno.EROFS, "read-only"), "access_denied"),
        (IsADirectoryError(21, "no"), "output_path_conflict"),
        (OSError(errno.EIO, "input/output error"), "storage_error"),
        (RuntimeError("An error occurred (AccessDenied) when calling GetObject"), "access_denied"),
        (RuntimeError("An error occurred (NoSuchKey) when calling GetObject"), "key_missing"),
        (TimeoutError(), "storage_error"),
        (answered(503, "SlowDown"), "storage_error"),
    ],
)
def test_a_storage_exception_has_its_code(error, code):
    assert storage_failure(error, "s3://bucket/key").code == code


@pytest.mark.parametrize(
    "error",
    [
        answered(500, "InternalError"),
        answered(503, "SlowDown"),
        answered(503, "ServiceUnavailable"),
        answered(429, "TooManyRequests"),
        answered(400, "RequestTimeout"),
        answered(409, "OperationAborted"),
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
        EndpointConnectionError(endpoint_url="http://nowhere"),
        ReadTimeoutError(endpoint_url="http://nowhere"),
    ],
    ids=str,
)
def test_calls_to_a_busy_or_silent_store_are_retried(hurried, error):
    call, calls = calling(*[error] * (2 * LEAST_ATTEMPTS), b"data")
    assert with_retries("s3://waited/key", call) == b"data"
    assert len(calls) == 2 * LEAST_ATTEMPTS + 1


@pytest.mark.parametrize(
    "error",
    [
        answered(403, "AccessDenied"),
        answered(404, "NoSuchKey"),
        answered(412, "PreconditionFailed"),
        answered(501, "NotImplemented"),
        answered(409, "BucketAlreadyExists"),
        FileNotFoundError(),
        OSError(errno.ENOSPC, "full"),
    ],
    ids=str,
)
def test_a_decision_of_the_store_is_no_outage(error):
    assert not unavailable(error)


@pytest.mark.parametrize("error", [FileNotFoundError(), PermissionError(), OSError(errno.ENOSPC, "full")], ids=repr)
def test_a_missing_key_a_refusal_and_a_full_disk_are_not_retried(error):
    call, calls = calling(error)
    code_of(lambda: with_retries("s3://decided/key", call))
    assert len(calls) == 1


def test_any_other_error_is_retried_a_few_times(hurried):
    call, calls = calling(OSError(errno.EIO, "input/output error"))
    assert code_of(lambda: with_retries("/a/disk", call)) == "storage_error"
    assert len(calls) == LEAST_ATTEMPTS


def test_patience_ends(hurried):
    call, calls = calling(ConnectionRefusedError())
    assert code_of(lambda: with_retries("s3://silent/key", call)) == "storage_error"
    assert 0.5 <= calls[-1] - calls[0] < 1.0


def test_calls_do_not_wait_again_for_a_store_that_has_been_silent_for_long(hurried):
    silent, calls = calling(ConnectionRefusedError())
    code_of(lambda: with_retries("s3://long-silent/1", silent))
    calls.clear()
    code_of(lambda: with_retries("s3://long-silent/2", silent))
    assert len(calls) == LEAST_ATTEMPTS

    call, calls = calling(ConnectionRefusedError())
    code_of(lambda: with_retries("s3://another/1", call))
    assert len(calls) > LEAST_ATTEMPTS

    with_retries("s3://long-silent/3", lambda: b"an answer")
    call, calls = calling(ConnectionRefusedError())
    code_of(lambda: with_retries("s3://long-silent/4", call))
    assert len(calls) > LEAST_ATTEMPTS


def test_a_refusal_is_an_answer_too(hurried):
    STORE_OUTAGES.seconds_silent("s3://refusing")
    code_of(lambda: with_retries("s3://refusing/key", calling(PermissionError())[0]))
    assert STORE_OUTAGES.seconds_silent("s3://refusing") == 0


def test_waits_grow_are_bounded_and_vary():
    assert all(0.1 <= wait(0) <= 0.2 for _ in range(100))
    assert all(0.8 <= wait(3) <= 1.6 for _ in range(100))
    assert all(4 <= wait(20) <= 8 for _ in range(100))
    assert len({wait(3) for _ in range(100)}) > 90
