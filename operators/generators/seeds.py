"""The seed of a fill."""

from __future__ import annotations

import hashlib

from operators.rows.records import BoxRecord
from operators.rows.table import Row


def content_sha256(row: Row) -> str:
    """What the seeds of a row's fills depend on: its pixels if they have a hash, else its bytes.

    So files that share a result get the same fills, whichever of them is worked.
    """
    return str(row["pixels_sha256"] or row["source_sha256"])


def seed_of(run_seed: int, content_sha256: str, box: BoxRecord, rung: str, number: int) -> int:
    """The seed of one pass over one region (63 bits).

    It does not depend on the region's neighbours, its batch, its worker or the order of the run.
    """
    text = f"{run_seed}|{content_sha256}|{box['x']},{box['y']},{box['width']},{box['height']}|{rung}|{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
