"""Images of the same pixels share a result, whatever their metadata."""

from __future__ import annotations

from flows.flow import Flow
from operators.fetch import Fetch
from operators.identify import Identify
from operators.rows.failure import RunError

BYTES, PIXELS = "bytes", "pixels"
SAME = (BYTES, PIXELS)
"""What images must have in common to be worked once."""


def share_results(flow: Flow, same: str) -> Flow:
    """The flow that works images once that have the same bytes, or the same pixels.

    With `pixels`, `identify` follows `fetch`. Of files that show the same pixels, only the
    first is worked. The others get its edit, and keep their own metadata. The operators must ask
    for nothing of a file but its pixels. Every image is decoded once more. Raises RunError
    option_invalid.
    """
    if same not in SAME:
        raise RunError("option_invalid", f"--same {same}: choose from {', '.join(SAME)}")
    if same == BYTES:
        return flow
    fetch, *rest = flow.operators
    assert isinstance(fetch, Fetch)
    return Flow((fetch, Identify(fetch.limits), *rest))
