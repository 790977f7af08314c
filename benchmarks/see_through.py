"""Measures what is recovered below translucent marks against the truth.

    python -m benchmarks.see_through [--set tune] [--number 60]

Words of known opacity are drawn on the suite's pictures, alone, slanted or tiled, and saved as PNG
or JPEG. The strokes are masked as in a run. Each region is then filled by PatchMatch and `hybrid`,
seen through with an estimated overlay, and seen through with the true one. The figures are the
PSNR in dB at the strokes, against the clean picture saved the same way: the mean over all regions,
and for the estimates that pass their checks the same means and how often `hybrid` is better. Every
line holds one group of regions.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from flows.evaluation.captions import typefaces
from flows.evaluation.draw_text import Caption, draw, draw_all, polygon_of
from flows.evaluation.scenes import backgrounds
from flows.flow import Flow
from operators.fetch import Fetch
from operators.generators.classical import hybrid, patchmatch
from operators.masks.geometry import rasterised
from operators.masks.mask import BLEND, hole_of, pasted
from operators.masks.overlay import seen_through
from operators.operator import Operator
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.overlay import Overlay
from operators.rows.records import JsonObject
from operators.rows.regions import ACCEPTED, DETECTED, FOUND_COLUMNS, new_region
from operators.rows.schema import complete_rows
from operators.rows.table import Additions, Region, Row, map_rows, row_views
from operators.see_through import FILL_VARIANCE, RECODED_NOISE, SeeThrough
from operators.soften import Soften

RESULTS = Path(__file__).parent / "results"
WORDS = ("Sample", "PREVIEW", "studio 54", "© Jane Doe", "stockphoto", "Draft")
INKS = ((255, 255, 255), (255, 255, 255), (0, 0, 0), (200, 30, 40), (30, 70, 190), (250, 210, 40))
FORMATS = ("png", "png", "jpeg 95", "jpeg 90", "jpeg 75")
GROUNDS = ("photo", "texture", "low light", "page")
WAYS = ("patchmatch", "hybrid", "estimated", "known")
SEEN = 0.02
"""Alpha from which a pixel counts as covered."""
RIM = 9
"""Side in pixels of the square by which a mark's outline is widened, for its soft edges."""


class Scene(NamedTuple):
    """A picture with a mark, and the truth."""

    bucket: str
    form: str
    captions: Sequence[Caption]
    clean: Pixels
    """What a reader sees of the clean picture, saved in the same way."""
    encoded: bytes
    overlay: Overlay


def scenes(chosen: str, number: int) -> Iterator[Scene]:
    """`number` scenes of one set."""
    rng = random.Random("see through " + chosen)
    grounds = [(bucket, clean) for bucket, own, clean in backgrounds() if own == chosen and bucket in GROUNDS]
    rng.shuffle(grounds)
    fonts = list(typefaces().values())
    for place in range(number):
        bucket, clean = grounds[place % len(grounds)]
        word, font, ink, opacity = rng.choice(WORDS), rng.choice(fonts), rng.choice(INKS), rng.uniform(0.2, 0.8)
        mark = Caption(word, font, rng.randint(40, 90), rng.uniform(0.4, 0.6), rng.uniform(0.25, 0.75), ink, opacity)
        captions = [mark]
        if place % 3 == 1:
            captions = [replace(mark, angle=rng.choice((20.0, 35.0, -30.0)))]
        elif place % 3 == 2:
            shares = (0.2, 0.5, 0.8)
            captions = [Caption(word, font, 26, x, y, ink, opacity, angle=30.0) for x in shares for y in shares]
        form = rng.choice(FORMATS)
        black, white = (draw_all(np.full_like(clean, value), captions)[0].astype(np.float32) for value in (0, 255))
        alpha = np.clip(1 - (white - black).mean(axis=2) / 255, 0, 1).astype(np.float32)
        overlay = Overlay(alpha, np.array(ink, np.float32).reshape(1, 1, 3))
        seen = np.asarray(Image.open(io.BytesIO(_save(clean, form))).convert("RGB"))
        yield Scene(bucket, form, captions, seen, _save(draw_all(clean, captions)[0], form), overlay)


def _save(picture: Pixels, form: str) -> bytes:
    file = io.BytesIO()
    kind, _, quality = form.partition(" ")
    Image.fromarray(picture).save(file, kind, **({"quality": int(quality)} if quality else {}))
    return file.getvalue()


@dataclass(frozen=True)
class Place(Operator):
    """Put a region around each caption, as a detector would that misses nothing."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = DETECTED
    captions: tuple[Caption, ...] = ()
    size: tuple[int, int] = (0, 0)

    def apply(self, batch: pa.Table) -> pa.Table:
        """Add the regions."""
        return map_rows(batch, self.name, FOUND_COLUMNS, self._place)

    def _place(self, row: Row) -> Additions:
        width, height = self.size
        regions = []
        for caption in self.captions:
            covered = draw(np.zeros((height, width, 3), np.uint8), caption)[1]
            if not covered.any():
                continue
            polygon = polygon_of(caption, covered)
            left, top, across, down = cv2.boundingRect(np.array(polygon, np.float32))
            sure = np.full((8, 8), 255, np.uint8)
            regions.append(new_region([polygon], 1.0, "text", sure, Box(max(0, left), max(0, top), across, down)))
        return {"width": width, "height": height, "mode": "RGB", "regions": regions}


def measure(scene: Scene, folder: Path) -> list[JsonObject]:
    """The figures of every region of a scene."""
    file = folder / f"scene.{scene.form.split()[0]}"
    file.write_bytes(scene.encoded)
    height, width = scene.clean.shape[:2]
    row = {"image_id": ["scene"], "uri": [str(file)], "path": [file.name], "shard": pa.array([0], pa.int32())}
    masked = Flow((Fetch(), Place(tuple(scene.captions), (width, height)), Soften())).run(complete_rows(pa.table(row)))
    seen = SeeThrough(estimates=True).apply(masked)
    pairs = zip(row_views(masked)[0].regions, row_views(seen)[0].regions, strict=True)
    return [_figures(scene, before, after, Box(0, 0, width, height)) for before, after in pairs]


def _figures(scene: Scene, before: Region, after: Region, frame: Box) -> JsonObject:
    """The figures of one region; `estimated` is None if no overlay was found, or a check failed."""
    place = before.crop.inside(frame)
    pixels, mask, truth = before.array("pixels", 3), before.array("mask", 4), scene.clean[place]
    overlay = Overlay(scene.overlay.alpha[place], scene.overlay.colour)
    # Marks nearby belong to regions of their own.
    own = cv2.dilate(rasterised(before["polygons"], before.crop), np.ones((RIM, RIM), np.uint8)) > 0
    where = (mask[:, :, BLEND] > 0) | ((overlay.alpha > SEEN) & own)
    filled = {name: fill(pixels, hole_of(mask), 0) for name, fill in (("patchmatch", patchmatch), ("hybrid", hybrid))}
    results = {name: pasted(pixels, fill, mask[:, :, BLEND]) for name, fill in filled.items()}
    results["known"] = seen_through(pixels, overlay, filled["hybrid"], FILL_VARIANCE, RECODED_NOISE)
    if after["state"] == ACCEPTED:
        recovered = after.fill()
        assert recovered is not None
        results["estimated"] = recovered
    figures: JsonObject = dict.fromkeys(WAYS)
    figures |= {name: _psnr(result[where], truth[where]) for name, result in results.items()}
    angle = "tiled" if len(scene.captions) > 1 else "slanted" if scene.captions[0].angle else "single"
    return {"kind": angle, "form": scene.form, "opacity": scene.captions[0].opacity, **figures}


def _psnr(result: Pixels, truth: Pixels) -> float:
    error = float(np.square(result.astype(np.float32) - truth).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def table(records: Sequence[JsonObject]) -> list[JsonObject]:
    """One line per group of regions."""
    groups = {
        "all": lambda record: True,
        "png, at most 0.6": lambda record: record["form"] == "png" and record["opacity"] <= 0.6,
        "jpeg, at most 0.6": lambda record: record["form"] != "png" and record["opacity"] <= 0.6,
        "over 0.6": lambda record: record["opacity"] > 0.6,
        **{kind: (lambda record, kind=kind: record["kind"] == kind) for kind in ("single", "slanted", "tiled")},
    }
    lines = []
    for name, belongs in groups.items():
        own = [record for record in records if belongs(record)]
        taken = [record for record in own if record["estimated"] is not None]
        means = {way: _mean(own, way) for way in WAYS if way != "estimated"}
        accepted = {f"{way}_accepted": _mean(taken, way) for way in WAYS}
        worse = sum(record["estimated"] < record["hybrid"] for record in taken)
        lines.append({"group": name, "regions": len(own), **means, "accepted": len(taken), "worse": worse, **accepted})
    return lines


def _mean(records: Sequence[JsonObject], way: str) -> float | None:
    return round(float(np.mean([record[way] for record in records])), 2) if records else None


def main() -> None:
    """Print the table and write it to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=("tune", "report"), default="tune")
    parser.add_argument("--number", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        records = [record for scene in scenes(arguments.set, arguments.number) for record in measure(scene, Path(folder))]
    lines = table(records)
    for line in lines:
        print(json.dumps(line), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"see-through-{arguments.set}.json").write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
