"""`record`: what was found, and where?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import pyarrow as pa

from operators.ledger import ledger
from operators.masks.mask import CORE
from operators.operator import Operator
from operators.rows.failure import CODES
from operators.rows.regions import KEPT
from operators.rows.schema import ledger_rows
from operators.rows.table import Additions, Row, derive, map_rows, without_pixels
from operators.rows.timing import timed
from operators.storage import files as store

FOUND, NOTHING_FOUND = "found", "nothing_found"
"""The verdicts on a picture that is only looked at."""


@dataclass(frozen=True)
class Record(Operator):
    """Store the mask of every image in which text was found, then commit the batch's ledger rows.

    Masks come from `soften`; without it in the flow there are none. Images are neither edited nor
    delivered. A mask is a PNG of the image's size under DEST/masks,
    at the image's relative path with `.png` added: 255 where the strokes of a text are, else 0.
    Other editors take it as it is, and so does `cleanplate inpaint --masks DEST/masks --mask-name
    '{name}.png'`.
    """

    reads: ClassVar[tuple[str, ...]] = ("image_id", "path", "shard", "width", "height", "regions.state")
    adds: ClassVar[tuple[str, ...]] = ("output_uri", "output_sha256", "verdict", "reasons", "texts")
    storage: ClassVar[bool] = True
    ends: ClassVar[bool] = True
    dest: str = ""
    """The run's destination: a path or an fsspec URL."""
    threads: int = 8
    """Masks of one batch that are stored at the same time."""

    def address(self, path: str) -> str:
        """Where the mask of the image of a path is stored."""
        return store.join(self.dest, "masks", f"{path}.png")

    def apply(self, batch: pa.Table) -> pa.Table:
        """Record one batch.

        Raises Failure if the ledger rows cannot be committed, because the findings would be lost.
        """
        stored = map_rows(batch, self.name, self.adds[:2], self._store, threads=self.threads)
        recorded = without_pixels(derive(stored, self.name, self.adds[2:], decide_verdict))
        ledger.commit(self.dest, ledger_rows(recorded))
        return recorded

    def _store(self, row: Row) -> Additions | None:
        masked = [region for region in row.regions if region["mask"] is not None]
        if not masked:
            return None
        canvas = np.zeros((row["height"], row["width"]), np.uint8)
        for region in masked:
            box = region.crop
            place = canvas[box.y : box.y + box.height, box.x : box.x + box.width]
            place[region.array("mask", 4)[:, :, CORE] > 0] = 255
        data = cv2.imencode(".png", canvas)[1].tobytes()
        uri = self.address(row["path"])
        with timed("io"):
            store.write(uri, data)
        return {"output_uri": uri, "output_sha256": hashlib.sha256(data).hexdigest()}


def decide_verdict(row: Row) -> Additions:
    """Whether text was found; the reasons are those of the texts that `erase` would keep."""
    failure = row["failure"]
    kept = [region["reason"] for region in row.regions if region["state"] == KEPT]
    counts = {"found": len(row.regions), "erased": 0, "kept": len(kept), "refused": 0}
    if failure is not None:
        return {"verdict": CODES[failure["code"]].verdict, "reasons": [failure["code"]], "texts": counts}
    return {"verdict": FOUND if len(row.regions) > len(kept) else NOTHING_FOUND, "reasons": kept, "texts": counts}
