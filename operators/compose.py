"""`compose`: what does the image look like now?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from operators.masks.mask import BLEND
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits, encode
from operators.pictures.picture import Edit
from operators.pictures.read_back import check_written
from operators.rows.checks import reasons_of
from operators.rows.failure import CODES, Failure
from operators.rows.table import Additions, Row, derive, map_rows


@dataclass(frozen=True)
class Compose(Operator):
    """Paste the accepted fills into the image, encode it in the source's format, give the verdict.

    The `blend` channel of the mask weighs each fill; regions that are still open keep their
    original pixels. A second decoder reads the encoded bytes again; what differs from the edit is
    rolled back as `written_wrongly`. Only an `edited` image gets `encoded` bytes: every other
    image is delivered as the source's bytes, unless its failure forbids delivery.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "bytes",
        "source_sha256",
        "regions.crop",
        "regions.mask",
        "regions.fill",
        "regions.checks",
        "regions.state",
    )
    adds: ClassVar[tuple[str, ...]] = ("encoded", "verdict", "reasons")
    limits: Limits = Limits()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Compose the images of one batch."""
        composed = map_rows(batch, self.name, self.adds, self._compose)
        return derive(composed, self.name, ("verdict", "reasons"), _decide_verdict)

    def _compose(self, row: Row) -> Additions | None:
        edits = []
        for region in row.regions:
            fill = region.fill()
            if region["state"] == "accepted" and fill is not None:
                weight = region.array("mask", 4)[:, :, BLEND].astype(np.float32) / np.float32(255)
                edits.append(Edit(region.crop.x, region.crop.y, fill, weight))
        data = row.data("bytes")
        if not edits or data is None:
            return None
        edited = FRAME_CACHE.picture(row, self.limits).edited(edits)
        try:
            encoded = encode(edited, data)
        except (OSError, TypeError, ValueError) as error:
            raise Failure("mode_unsupported", f"cannot be encoded again: {error}") from error
        difference = check_written(encoded, edited, data) if edited.changed.any() else None
        if difference is not None:
            raise Failure("written_wrongly", difference)
        return {"encoded": encoded}


def _decide_verdict(row: Row) -> Additions:
    """The verdict on one row, with its reasons.

    The reason for a failure is its code. The other reasons are the checks that fills did not pass.
    """
    failure = row["failure"]
    if failure is not None:
        return {"verdict": CODES[failure["code"]].verdict, "reasons": [failure["code"]]}
    regions = row.regions
    reasons = [reason for region in regions for reason in reasons_of(region["checks"] or [])]
    if row.data("encoded") is not None:
        return {"verdict": "edited", "reasons": reasons}
    # `passes` is not in `reads`: a flow may compose without any operator that fills.
    tried = any(region["passes"] or region["checks"] for region in regions)
    return {"verdict": "rolled_back" if tried else "untouched", "reasons": reasons}
