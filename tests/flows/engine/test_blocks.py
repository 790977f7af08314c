"""Blocks hold few images and bounded bytes, whatever the sizes of the files."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as some

from flows.engine.blocks import LARGEST_BLOCK, LARGEST_BLOCK_BYTES, UNKNOWN_BYTES, block_ends, pack_blocks, unpack_blocks

MB = 2**20
SIZES = some.lists(some.none() | some.integers(0, 2 * LARGEST_BLOCK_BYTES), max_size=60)


def lengths(sizes: list[int | None], images: int) -> list[int]:
    positions = [0, *block_ends(sizes, images)]
    return [end - start for start, end in pairwise(positions)]


@pytest.mark.parametrize(
    ("sizes", "images", "expected"),
    [
        ([], 16, []),
        ([1] * 33, 16, [16, 16, 1]),
        ([1] * 5, 2, [2, 2, 1]),
        ([20 * MB] * 3, 16, [1, 1, 1]),
        ([16 * MB] * 5, 16, [2, 2, 1]),
        ([1, 500 * MB, 1, 1], 16, [1, 1, 2]),
        ([None] * 9, 16, [4, 4, 1]),
        ([0] * 20, 16, [16, 4]),
    ],
    ids=["none", "small", "few wanted", "large", "two fit", "one alone is too large", "unknown", "empty files"],
)
def test_a_block_ends_where_the_next_file_would_be_too_much(sizes: list[int | None], images: int, expected: list[int]) -> None:
    assert lengths(sizes, images) == expected


@given(SIZES, some.integers(1, LARGEST_BLOCK))
def test_every_file_is_in_one_block_and_no_block_is_too_large(sizes: list[int | None], images: int) -> None:
    assert sum(lengths(sizes, images)) == len(sizes)
    start = 0
    for length in lengths(sizes, images):
        block_sizes = [UNKNOWN_BYTES if size is None else size for size in sizes[start : start + length]]
        assert 1 <= length <= images
        assert length == 1 or sum(block_sizes) <= LARGEST_BLOCK_BYTES
        start += length


@given(SIZES)
def test_blocks_hold_the_rows_as_they_were_the_users_columns_too(sizes: list[int | None]) -> None:
    rows = pa.table({"size": pa.array(sizes, pa.int64()), "tags": pa.array([["a"] for _ in sizes], pa.list_(pa.string()))})
    if not sizes:
        return
    blocks = pack_blocks(rows, 3)
    assert blocks.num_rows == len(block_ends(sizes, 3))
    assert unpack_blocks(blocks).equals(rows)
    assert pa.concat_tables([unpack_blocks(blocks.slice(row, 1)) for row in range(blocks.num_rows)]).equals(rows)


def test_a_table_of_rows_is_left_as_it_is() -> None:
    rows = pa.table({"size": [1, 2]})
    assert unpack_blocks(rows) is rows
