"""Listing a prefix of an S3 server that is far away or busy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from operators.storage.listing import list_source
from tests.fixtures.flaky_s3 import SLOW_DOWN, FlakyS3

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3

KEYS = [f"{folder:02d}/{number:03d}.png" for folder in range(20) for number in range(52)] + ["a.png", "b/notes.txt"]


@pytest.fixture(scope="module")
def thousand(s3: S3) -> str:
    """A bucket of more keys than one page of a listing holds, in twenty folders."""
    files: Any = s3.files()
    files.mkdir("thousand")
    files.pipe({f"thousand/{key}": b"x" for key in KEYS})
    return "s3://thousand"


def test_a_distant_store_is_listed_many_pages_at_a_time_in_the_same_order_each_time(front: FlakyS3, thousand: str) -> None:
    front.delay = 0.5
    first = [item.path for item in list_source(thousand, "/elsewhere")]
    assert sorted(first) == sorted(key for key in KEYS if key.endswith(".png"))
    assert front.most_at_once >= 8
    front.delay = 0
    assert [item.path for item in list_source(thousand, "/elsewhere")] == first


def test_a_listing_outlasts_bad_answers(front: FlakyS3, thousand: str) -> None:
    requests = itertools.count()
    front.misbehave = lambda method, path: SLOW_DOWN if next(requests) % 5 == 0 else None
    assert len(list(list_source(thousand, "/elsewhere"))) == len(KEYS) - 1
