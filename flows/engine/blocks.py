"""Blocks: images that travel, are tried again and are committed together; few of them, and
bounded bytes.

The engine counts rows, not the bytes of files that are not read yet. So what the reader emits has
one row for each block, a list of index rows, and the engine is asked for one row a block; the
first stage takes the list apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cluster.profile import Profile

LARGEST_BLOCK = 16
LARGEST_BLOCK_BYTES = 32 * 1024 * 1024
"""Bytes of the files of a block, unless one file alone has more."""
BLOCKS_PER_WORKER = 16
UNKNOWN_BYTES = LARGEST_BLOCK_BYTES // 4
"""What a file counts whose size the index does not know."""
BLOCK = "block"
"""The one column of a table of blocks."""


def images_per_block(profile: Profile, images: int) -> int:
    """Images of a block in a run of so many: as the profile says, or few enough that each process
    gets a good many blocks.

    The profile has a stage for each of its flow's, as `Flow.lay_out` makes it.
    """
    workers = sum(stage.pool[1] for stage in profile.stages.values() if stage.pool) or 1
    return profile.images_per_block or max(1, min(LARGEST_BLOCK, images // (BLOCKS_PER_WORKER * workers)))


def ends(sizes: Sequence[int | None], images: int) -> list[int]:
    """Where blocks of at most `images` files and LARGEST_BLOCK_BYTES end in a list of file sizes
    in bytes.
    """
    found, count, total = [], 0, 0
    for position, size in enumerate(UNKNOWN_BYTES if size is None else size for size in sizes):
        if count and (count == images or total + size > LARGEST_BLOCK_BYTES):
            found.append(position)
            count = total = 0
        count, total = count + 1, total + size
    return [*found, len(sizes)] if sizes else []


def pack_blocks(rows: pa.Table, images: int) -> pa.Table:
    """Index rows as a table of blocks."""
    offsets = np.array([0, *ends(rows["size"].to_pylist(), images)], np.int32)
    structs = rows.to_struct_array().combine_chunks()
    structs = pa.concat_arrays(structs.chunks) if isinstance(structs, pa.ChunkedArray) else structs
    return pa.table({BLOCK: pa.ListArray.from_arrays(pa.array(offsets), structs)})


def unpack_blocks(table: pa.Table) -> pa.Table:
    """The rows of a table of blocks; any other table as it is."""
    if table.column_names != [BLOCK]:
        return table
    return pa.Table.from_struct_array(pa.concat_arrays([chunk.flatten() for chunk in table[BLOCK].chunks]))
