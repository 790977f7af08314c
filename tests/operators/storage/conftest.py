"""An S3 server behind a front that misbehaves on request."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from operators.storage import files as storage
from tests.fixtures.flaky_s3 import FlakyS3, front_of

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3

numbers = itertools.count()


@pytest.fixture
def front(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyS3]:
    """A front before the S3 server; all requests of `storage` go through it.

    The client of this test is used by no other test.
    """
    with front_of(os.environ["AWS_ENDPOINT_URL"]) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.url)
        storage.filesystem("s3://")[0].clear_instance_cache()
        yield front
    storage.filesystem("s3://")[0].clear_instance_cache()


@pytest.fixture
def bucket(front: FlakyS3) -> str:
    """A new, empty bucket."""
    name = f"slow{next(numbers)}"
    storage.filesystem("s3://")[0].mkdir(name)
    front.requests.clear()
    return f"s3://{name}"
