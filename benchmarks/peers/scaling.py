"""What the same text costs on a picture four times larger, once it is found and the picture
decoded.

Softening, filling, verifying and pasting are timed in turns on a picture and on one that holds it
in its middle. Without `verify` too: its second look at the text is a detection, and on a larger
picture it looks from farther away, which costs less.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from benchmarks.peers.functions import Held, Region, detected, erased, opened_models
from flows.evaluation.default_suite import typefaces
from flows.evaluation.draw_text import Caption, draw_all
from operators.masks.mask import BLEND
from operators.models.threads import use_one_thread
from operators.pictures.colour import Space
from operators.pictures.picture import Edit, Picture
from operators.rows.arrays import Pixels

WIDTH, HEIGHT = 2000, 1500
ROUNDS = 9


def pictures() -> tuple[Picture, Picture]:
    """A picture of three megapixels with text, and the one of twelve that holds it."""
    from skimage import data

    clean = np.pad(data.coffee(), ((0, 2 * HEIGHT - 400), (0, 2 * WIDTH - 600), (0, 0)), mode="symmetric")
    font = typefaces()["sans bold"]
    captions = [Caption("Do not copy", font, 60, 0.5, 0.42), Caption("Breaking news", font, 60, 0.5, 0.58)]
    large = draw_all(clean, captions)[0]
    return _picture(large[_middle()]), _picture(large)


def _middle() -> tuple[slice, slice]:
    return np.s_[HEIGHT // 2 : HEIGHT // 2 + HEIGHT, WIDTH // 2 : WIDTH // 2 + WIDTH]


def _picture(pixels: Pixels) -> Picture:
    return Picture("PNG", "RGB", np.ascontiguousarray(pixels), Space("rgb"), 1, (pixels.shape[1], pixels.shape[0]))


def worked(picture: Picture, regions: list[Region], verified: bool) -> float:
    """Processor seconds for everything between detection and encoding, verification left out or
    not.
    """
    start = time.process_time()
    edits = []
    for region in erased(picture, regions, verified):
        weight = Held(region).array("mask", 4)[:, :, BLEND].astype(np.float32) / np.float32(255)
        edits.append(Edit(region["crop"]["x"], region["crop"]["y"], region["fill"], weight))
    picture.edited(edits)
    return time.process_time() - start


def moved(region: Region) -> Region:
    """A region of the smaller picture where it lies in the larger one."""
    right, down = WIDTH // 2, HEIGHT // 2
    probability = region["probability"]
    box = {**probability["box"], "x": probability["box"]["x"] + right, "y": probability["box"]["y"] + down}
    polygons = [[[x + right, y + down] for x, y in polygon] for polygon in region["polygons"]]
    return {**region, "polygons": polygons, "probability": {**probability, "box": box}}


def measured() -> dict[str, Any]:
    """Median milliseconds for both pictures, and the median ratios of neighbouring runs."""
    use_one_thread()
    opened_models()
    small, large = pictures()
    regions = detected(small)
    shifted = [moved(region) for region in regions]
    figures: dict[str, Any] = {"regions": len(regions), "milliseconds": {}, "ratios": {}}
    for steps, verified in (("soften, inpaint, paste", False), ("soften, inpaint, verify, paste", True)):
        pairs = [(worked(small, regions, verified), worked(large, shifted, verified)) for _ in range(1 + ROUNDS)][1:]
        figures["milliseconds"][steps] = [1000 * statistics.median(times) for times in zip(*pairs, strict=True)]
        figures["ratios"][steps] = statistics.median(other / one for one, other in pairs)
    return figures


if __name__ == "__main__":
    print(measured())
