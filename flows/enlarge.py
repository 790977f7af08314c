"""The flow that enlarges pictures, such as thumbnails to prints.

A network enlarges textured areas, resampling the flat ones.
"""

from __future__ import annotations

import re

from flows.flow import Flow
from operators.enlarge import Enlarge, Print
from operators.fetch import Fetch
from operators.pictures.codec import Limits
from operators.pictures.provenance import Signing
from operators.rows.failure import RunError
from operators.upscalers.enlargement import Routing

SCALES = (2, 4)
"""The factors that the command line offers."""


def enlarge_pictures(
    scale: float = 4.0,
    paper: Print | None = None,
    routing: Routing = Routing(),
    limits: Limits = Limits(),
    signing: Signing | None = None,
    to_format: str | None = None,
) -> Flow:
    """Enlarge every picture by `scale`, or to the size of `paper` if that is given.

    `signing` and `to_format` are those of `Enlarge`.
    """
    return Flow((Fetch(limits), Enlarge(scale, paper, routing, limits=limits, signing=signing, to_format=to_format)))


def parse_paper(text: str, dots_per_inch: float) -> Print:
    """Parse a print size such as `20x30cm` or `8x10in`. Raises RunError option_invalid."""
    size = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)(cm|mm|in)", text.strip().lower())
    if not size or not all(float(side) > 0 for side in size.groups()[:2]):
        raise RunError("option_invalid", f"--print {text}: expected a size such as 20x30cm, 200x300mm or 8x12in")
    centimetres = {"cm": 1.0, "mm": 0.1, "in": 2.54}[size[3]]
    return Print(float(size[1]) * centimetres, float(size[2]) * centimetres, dots_per_inch)
