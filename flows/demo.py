"""The demonstration: draw text on clean pictures, erase it, and compare with the clean pictures.

python -m flows.demo [FOLDER]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cluster.profile import laptop
from flows.engine.run import run
from flows.engine.settings import Options
from flows.erase_text import erase_text
from flows.evaluation.draw_text import Caption, draw_all
from flows.evaluation.pages import comic_page, form, table
from flows.evaluation.surfaces import plain_wall, smooth_sky
from operators.ledger import ledger
from operators.metrics.quality import psnr, ssim
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import RegionRecord

MARGIN = 8
"""Pixels around an edited region that are compared with the clean picture as well."""


def pictures() -> Iterator[tuple[str, Pixels, tuple[Caption, ...]]]:
    """File name, clean picture (uint8 height x width x 3) and captions of every image."""
    from font_amatic_sc import AmaticSCBold
    from font_fredoka_one import FredokaOne
    from font_roboto import RobotoBold, RobotoMedium
    from font_source_serif_pro import SourceSerifPro, SourceSerifProBold
    from skimage import data

    def rgb(picture: Pixels) -> Pixels:
        return np.ascontiguousarray(picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2))

    yield (
        "astronaut.png",
        rgb(data.astronaut()),
        (
            Caption("Summer Collection 1992", RobotoBold, 34, 0.5, 0.1),
            Caption("$ 24.90", FredokaOne, 56, 0.27, 0.86, (255, 210, 0), outline=2),
        ),
    )
    yield (
        "coffee.jpg",
        rgb(data.coffee()),
        (
            Caption("Fresh every morning", SourceSerifProBold, 44, 0.5, 0.12, (255, 250, 240)),
            Caption("© Corner Café 2026", RobotoMedium, 26, 0.76, 0.93, opacity=0.75),
        ),
    )
    yield (
        "chelsea.png",
        rgb(data.chelsea()),
        (
            Caption("Have you seen this cat?", AmaticSCBold, 52, 0.45, 0.13, (20, 20, 20)),
            Caption("CALL 555 0142", RobotoBold, 30, 0.75, 0.91, (255, 255, 255), shadow=2),
        ),
    )
    yield (
        "rocket.jpg",
        rgb(data.rocket()),
        (
            Caption("Launch at dawn", SourceSerifPro, 46, 0.3, 0.16, (240, 240, 240)),
            Caption("LIVE", RobotoBold, 30, 0.92, 0.08, (230, 30, 30)),
        ),
    )
    yield ("brick.png", rgb(data.brick()), (Caption("POST NO BILLS", FredokaOne, 54, 0.5, 0.5, (250, 250, 250)),))
    yield ("gravel.png", rgb(data.gravel()), (Caption("Gravel 12,50 / kg", RobotoBold, 44, 0.5, 0.3, (255, 220, 60)),))
    yield (
        "grass.jpg",
        rgb(data.grass()),
        (Caption("keep off the lawn", SourceSerifProBold, 48, 0.5, 0.7, (255, 255, 255), shadow=3),),
    )
    yield (
        "hubble.jpg",
        rgb(data.hubble_deep_field()),
        (Caption("Hubble Deep Field", RobotoMedium, 60, 0.35, 0.08, opacity=0.8),),
    )
    yield ("retina.jpg", rgb(data.retina()), (Caption("SAMPLE - NOT FOR USE", RobotoBold, 70, 0.5, 0.5, opacity=0.6),))
    yield ("moon.png", rgb(data.moon()), ())
    yield (
        "sky.jpg",
        smooth_sky(random.Random(1), (640, 420)),
        (Caption("Above the clouds", RobotoBold, 46, 0.5, 0.2), Caption("sample", RobotoMedium, 30, 0.5, 0.5, opacity=0.6)),
    )
    yield "wall.jpg", plain_wall(random.Random(2), (640, 420)), (Caption("Back in 5 minutes", FredokaOne, 44, 0.5, 0.4),)
    for name, draw_scene in (("table.png", table), ("form.png", form), ("comic.png", comic_page)):
        scene = draw_scene(random.Random(3), (640, 480), "tune")
        yield name, scene.clean, tuple(scene.captions)


def main() -> None:
    """Write the pictures, erase their text, and print a table of results and the report's path."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/demo")
    source, dest = folder / "source", folder / "out"
    source.mkdir(parents=True, exist_ok=True)
    clean = {}
    for name, picture, captions in pictures():
        clean[name] = picture
        Image.fromarray(draw_all(picture, captions)[0]).save(source / name, quality=95)
    with Progress(transient=True) as bar:
        task = bar.add_task("erasing", total=len(clean))
        summary = run(
            erase_text(),
            str(source),
            str(dest),
            laptop(),
            Options(fresh=True),
            lambda summary: bar.update(task, completed=summary.worked),
        )
    table = Table("image", "verdict", "erased", "PSNR", "SSIM", "s", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in sorted(ledger.read(str(dest)).to_pylist(), key=lambda row: row["path"]):
        regions = [region for region in row["regions"] if region["state"] == "erased"]
        captioned, edited = (np.asarray(Image.open(path).convert("RGB")) for path in (source / row["path"], row["output_uri"]))
        seconds = f"{sum(timing['total'] for timing in row['timings']) / 1000:.1f}"
        boxes = [_edited_box(region, captioned) for region in regions]
        numbers = _compare(clean[row["path"]], captioned, edited, boxes)
        verdict = row["verdict"].replace("_", " ")
        table.add_row(row["path"], verdict, f"{len(regions)} of {len(row['regions'])}", *numbers, seconds)
    Console(width=80, highlight=False).print(table)
    print("PSNR in dB and SSIM against the clean picture, around the erased texts: before > after.")
    print(summary.line())


def _edited_box(region: RegionRecord, picture: Pixels) -> Box:
    """The bounding box of a region's polygons, MARGIN pixels larger on each side."""
    points = np.array([point for polygon in region["polygons"] for point in polygon])
    left, top = np.maximum(points.min(axis=0).astype(int) - MARGIN, 0)
    right, bottom = np.minimum(points.max(axis=0).astype(int) + MARGIN + 1, picture.shape[1::-1])
    return Box(int(left), int(top), int(right - left), int(bottom - top))


def _compare(clean: Pixels, captioned: Pixels, edited: Pixels, boxes: list[Box]) -> tuple[str, ...]:
    """Mean PSNR and SSIM over the boxes, before and after; dashes if no region was edited."""
    if not boxes:
        return ("-",) * 2
    parts = [np.s_[box.y : box.y + box.height, box.x : box.x + box.width] for box in boxes]
    return tuple(
        " > ".join(
            f"{np.mean([measure(clean[part], picture[part]) for part in parts]):{style}}" for picture in (captioned, edited)
        )
        for measure, style in ((psnr, ".1f"), (ssim, ".3f"))
    )


if __name__ == "__main__":
    main()
