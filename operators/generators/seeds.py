"""The seed of a fill."""

from __future__ import annotations

import hashlib

from operators.rows.records import BoxRecord


def seed_of(run_seed: int, source_sha256: str, box: BoxRecord, rung: str, number: int) -> int:
    """The seed of one pass over one region (63 bits).

    It does not depend on the region's neighbours, its batch, its worker or the order of the run.
    """
    text = f"{run_seed}|{source_sha256}|{box['x']},{box['y']},{box['width']},{box['height']}|{rung}|{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
