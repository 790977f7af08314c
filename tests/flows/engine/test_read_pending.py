"""The reader of a run yields pending rows in blocks, and the same blocks when it reads again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.engine.blocks import unpack_blocks
from flows.engine.run import read_pending
from operators.ledger import index, ledger
from operators.rows.schema import LEDGER_SCHEMA


@pytest.fixture
def dest(tmp_path: Path) -> str:
    """A destination with ten images in its index."""
    (tmp_path / "in").mkdir()
    for number in range(10):
        (tmp_path / "in" / f"{number}.png").write_bytes(b"x")
    assert index.build(str(tmp_path / "in"), str(tmp_path / "out")) == {0: 10}
    return str(tmp_path / "out")


def commit(dest: str, rows: pa.Table) -> None:
    """Commit successful rows, as `write` does."""
    records: list[dict[str, Any]] = [
        {"image_id": image_id, "shard": 0, "verdict": "edited", "regions": []} for image_id in rows["image_id"].to_pylist()
    ]
    ledger.commit(dest, pa.Table.from_pylist(records, schema=LEDGER_SCHEMA))


def blocks(dest: str, files: list[str], only: list[str] | None = None) -> list[list[str]]:
    names = pa.list_(pa.string())
    items = pa.table({"shard": [0], "files": pa.array([files], names), "only": pa.array([only], names)})
    tables = [table.slice(row, 1) for table in read_pending(dest, 4, items) for row in range(table.num_rows)]
    return [unpack_blocks(table)["image_id"].to_pylist() for table in tables]


def test_finished_images_are_left_out(dest: str) -> None:
    rows = index.read_shard(dest, 0)
    commit(dest, rows.slice(0, 5))
    expected = rows["image_id"].to_pylist()[5:]
    assert blocks(dest, ledger.files_by_shard(dest)[0]) == [expected[:4], expected[4:]]


def test_later_commits_do_not_change_the_blocks(dest: str) -> None:
    first = blocks(dest, [])
    assert [len(block) for block in first] == [4, 4, 2]
    commit(dest, index.read_shard(dest, 0).slice(0, 7))
    assert blocks(dest, []) == first


def test_a_finished_shard_has_no_block(dest: str) -> None:
    commit(dest, index.read_shard(dest, 0))
    assert blocks(dest, ledger.files_by_shard(dest)[0]) == []


def test_only_the_images_that_are_named_are_read(dest: str) -> None:
    ids = index.read_shard(dest, 0)["image_id"].to_pylist()
    commit(dest, index.read_shard(dest, 0).slice(0, 1))
    assert blocks(dest, ledger.files_by_shard(dest)[0], [ids[0], ids[3], ids[7]]) == [[ids[3], ids[7]]]
