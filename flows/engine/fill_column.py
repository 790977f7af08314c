"""The column by which the driver learns how each rung's fills went, without the regions.

The regions of a page of text are too large for the reply of a task; these counts are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from operators.rows.fill_errors import FillCounts

FILLS = "fills"
"""The column's name."""
FILLS_TYPE = pa.list_(
    pa.struct([("rung", pa.string()), ("attempts", pa.int32()), ("errors", pa.int32()), ("message", pa.string())])
)
"""For each rung of an image: fills tried, those that ended with an error, and the first error."""


def select_columns(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """These columns of finished rows; FILLS is counted from the rows' regions and reasons."""
    counted = rows.append_column(FILLS, _count_fills(rows)) if FILLS in columns else rows
    return counted.select(list(columns))


def _count_fills(rows: pa.Table) -> pa.Array:
    images = []
    for regions, reasons in zip(rows["regions"].to_pylist(), rows["reasons"].to_pylist(), strict=True):
        counts = FillCounts()
        counts.add_image(regions or [], reasons or [])
        images.append(
            [
                {"rung": rung, "attempts": attempts, "errors": counts.errors[rung], "message": counts.messages.get(rung)}
                for rung, attempts in counts.attempts.items()
            ]
        )
    return pa.array(images, FILLS_TYPE)
