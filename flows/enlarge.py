"""Enlarge: thumbnails to prints, by a network where there is texture and by resampling where it
is flat.
"""

from __future__ import annotations

import re

from flows.flow import Flow
from operators.enlarge import Enlarge, Print
from operators.fetch import Fetch
from operators.pictures.codec import Limits
from operators.rows.failure import RunError
from operators.upscalers.enlargement import Routing

SCALES = (2, 4)


def enlarge_pictures(
    scale: float = 4.0, paper: Print | None = None, routing: Routing = Routing(), limits: Limits = Limits()
) -> Flow:
    """Enlarge every picture by `scale`, or to fill `paper` if that is given."""
    return Flow((Fetch(limits), Enlarge(scale, paper, routing, limits=limits)))


def paper_of(text: str, dots_per_inch: float) -> Print:
    """A print size such as `20x30cm` or `8x10in`. Raises RunError option_invalid."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)(cm|mm|in)", text.strip().lower())
    if not found or not all(float(side) > 0 for side in found.groups()[:2]):
        raise RunError("option_invalid", f"--print {text}: a size such as 20x30cm, 200x300mm or 8x12in")
    unit = {"cm": 1.0, "mm": 0.1, "in": 2.54}[found[3]]
    return Print(float(found[1]) * unit, float(found[2]) * unit, dots_per_inch)
