"""Measures the cost of the same text on a picture four times larger, after decoding and
detection.

    python -m benchmarks.four_times_larger

Softening, filling, verifying and pasting are timed alternately on a picture and on a larger one
that contains it in its middle, with and without `verify`. The text is the same, so the cost should
be too. The figures are printed and saved in `results`.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import numpy as np

from benchmarks.peers.functions import Region, detect, edits_of, erase, open_models
from flows.evaluation.captions import typefaces
from flows.evaluation.draw_text import Caption, draw_all
from operators.models.threads import use_one_thread
from operators.pictures.colour import Space
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels
from operators.rows.records import JsonObject

RESULTS = Path(__file__).parent / "results" / "four_times_larger.json"
WIDTH, HEIGHT = 2000, 1500
ROUNDS = 9
MOST = 1.3
"""The largest ratio of the two costs that is aimed at."""


def pictures() -> tuple[Picture, Picture]:
    """A picture of three megapixels with text, and one of twelve that contains it."""
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


def time_steps(picture: Picture, regions: list[Region], verified: bool) -> float:
    """Processor seconds of the steps between detection and encoding, with or without
    verification.
    """
    start = time.process_time()
    picture.edited(edits_of(erase(picture, regions, verified)))
    return time.process_time() - start


def shifted(region: Region) -> Region:
    """A region of the smaller picture at its place in the larger one."""
    right, down = WIDTH // 2, HEIGHT // 2
    probability = region["probability"]
    box = {**probability["box"], "x": probability["box"]["x"] + right, "y": probability["box"]["y"] + down}
    polygons = [[[x + right, y + down] for x, y in polygon] for polygon in region["polygons"]]
    return {**region, "polygons": polygons, "probability": {**probability, "box": box}}


def measure_scaling() -> JsonObject:
    """Median milliseconds for both pictures, and the median ratio of consecutive runs."""
    use_one_thread()
    open_models()
    small, large = pictures()
    regions = detect(small)
    shifted_regions = [shifted(region) for region in regions]
    figures: JsonObject = {"regions": len(regions), "milliseconds": {}, "ratios": {}}
    for steps, verified in (("soften, inpaint, paste", False), ("soften, inpaint, verify, paste", True)):
        pairs = [
            (time_steps(small, regions, verified), time_steps(large, shifted_regions, verified)) for _ in range(1 + ROUNDS)
        ][1:]
        figures["milliseconds"][steps] = [1000 * statistics.median(times) for times in zip(*pairs, strict=True)]
        figures["ratios"][steps] = statistics.median(of_large / of_small for of_small, of_large in pairs)
    return figures


def main() -> None:
    """Measure, print a line for each group of steps, and save the figures."""
    figures = measure_scaling()
    for steps, ratio in figures["ratios"].items():
        small, large = figures["milliseconds"][steps]
        aim = "met" if ratio <= MOST else "missed"
        print(f"{steps}: {small:.0f} ms, {large:.0f} ms, {ratio:.2f} times (at most {MOST:g}: {aim})")
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
