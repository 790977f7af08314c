"""Blocks: small groups of images that travel, are retried and are committed together.

A block has few images and bounded bytes. Ray Data splits by rows and cannot know the size of
files that are not read yet. So the reader emits one row per block, which holds a list of index
rows, and Ray Data passes these rows on one by one; the first stage unpacks the list.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cluster.profile import Profile

LARGEST_BLOCK = 16
"""Images of a block, at most."""
LARGEST_BLOCK_BYTES = 32 * 1024 * 1024
"""Bytes of the files of a block, at most, unless a single file is larger."""
BLOCKS_PER_WORKER = 16
"""Blocks that each process should get, so that none is left without work near the end."""
UNKNOWN_BYTES = LARGEST_BLOCK_BYTES // 4
"""Assumed bytes of a file whose size the index does not know."""
BLOCK = "block"
"""The one column of a table of blocks."""


def images_per_block(profile: Profile, images: int) -> int:
    """Images of a block in a run of `images` images.

    The profile may fix the number. Otherwise blocks are as large as possible, up to
    LARGEST_BLOCK, while each process gets BLOCKS_PER_WORKER of them. The profile must be the one
    that `Flow.lay_out` returns.
    """
    workers = sum(stage.pool[1] for stage in profile.stages.values() if stage.pool) or 1
    return profile.images_per_block or max(1, min(LARGEST_BLOCK, images // (BLOCKS_PER_WORKER * workers)))


def block_ends(sizes: Sequence[int | None], images: int) -> list[int]:
    """The end position of each block in a list of file sizes in bytes.

    A block has at most `images` files and LARGEST_BLOCK_BYTES. A size of None is unknown.
    """
    positions, count, total = [], 0, 0
    for position, size in enumerate(UNKNOWN_BYTES if size is None else size for size in sizes):
        if count and (count == images or total + size > LARGEST_BLOCK_BYTES):
            positions.append(position)
            count = total = 0
        count, total = count + 1, total + size
    return [*positions, len(sizes)] if sizes else []


def pack_blocks(rows: pa.Table, images: int) -> pa.Table:
    """Turn index rows into a table of blocks of at most `images` rows each."""
    offsets = np.array([0, *block_ends(rows["size"].to_pylist(), images)], np.int32)
    structs = rows.to_struct_array().combine_chunks()
    structs = pa.concat_arrays(structs.chunks) if isinstance(structs, pa.ChunkedArray) else structs
    return pa.table({BLOCK: pa.ListArray.from_arrays(pa.array(offsets), structs)})


def unpack_blocks(table: pa.Table) -> pa.Table:
    """The rows of a table of blocks; any other table is returned unchanged."""
    if table.column_names != [BLOCK]:
        return table
    return pa.Table.from_struct_array(pa.concat_arrays([chunk.flatten() for chunk in table[BLOCK].chunks]))
