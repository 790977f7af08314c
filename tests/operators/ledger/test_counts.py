"""Finished images are counted from the ledger, each image once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from operators.ledger import ledger
from operators.ledger.counts import Counts, count_finished
from operators.rows.schema import LEDGER_SCHEMA

TEXTS = {"found": 4, "erased": 2, "kept": 1, "refused": 1}


def rows(*records: tuple[str, str, str | None], shard: int = 0) -> pa.Table:
    """Ledger rows of images by id, verdict and failure code."""
    content: list[dict[str, Any]] = [
        {
            "image_id": image_id.ljust(32, "0"),
            "shard": shard,
            "verdict": verdict,
            "failure": code and {"operator": "fetch", "code": code, "message": "x"},
            "texts": None if code else TEXTS,
        }
        for image_id, verdict, code in records
    ]
    return pa.Table.from_pylist(content, schema=LEDGER_SCHEMA)


@pytest.fixture
def dest(tmp_path: Path) -> str:
    return str(tmp_path)


def test_finished_and_unfinished_shards_are_counted_alike(dest: str) -> None:
    ledger.commit(dest, rows(("a", "edited", None), ("b", "failed", "corrupt")))
    ledger.commit(dest, rows(("c", "untouched", None), shard=1))
    expected = Counts(
        Counter(edited=1, failed=1, untouched=1), Counter(corrupt=1), Counter(found=8, erased=4, kept=2, refused=2)
    )
    assert count_finished(dest, [0, 1]) == expected
    assert ledger.compact(dest, 0, 2)
    assert count_finished(dest, [0, 1]) == expected


def test_an_image_counts_once_and_not_before_it_is_done(dest: str) -> None:
    ledger.commit(dest, rows(("a", "failed", "storage_error"), ("b", "failed", "storage_error")))
    assert count_finished(dest, [0]) == Counts()
    ledger.commit(dest, rows(("a", "edited", None)))
    assert count_finished(dest, [0]) == Counts(Counter(edited=1), Counter(), Counter(TEXTS))


def test_a_shard_without_a_ledger_counts_nothing(dest: str) -> None:
    assert count_finished(dest, [0, 7]) == Counts()
