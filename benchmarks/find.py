"""Measures how well and how fast texts are found, beside the packaged detector at its defaults.

    python -m benchmarks.find --pictures FOLDER --fonts FOLDER [FOLDER ...] [--set tune|report]

Texts of many kinds are drawn on pictures without text, so every text is known. A text is found if
polygons cover at least COVERED of its pixels. What polygons cover beside texts is false area. The
pictures of the sets differ, and so do their texts. Both detectors run on one thread, one after the
other on each picture. The model card of the first look names pictures and typefaces that serve.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.no_harm import pictures
from flows.evaluation.draw_text import Caption, draw, polygon_of
from operators.detect import Detect
from operators.masks.geometry import Polygon
from operators.models.threads import use_one_thread
from operators.rows.arrays import Pixels, Selection
from operators.vision.find_texts import find_texts
from operators.vision.seen import judged
from training.first_look_data import ALPHABETS, typefaces, words

RESULTS = Path(__file__).parent / "results" / "find.json"
COVERED = 0.9
"""Share of a text's pixels that polygons cover if it is found."""
BESIDE = 0.6
"""How far around a text polygons may reach, in heights of its letters."""
SETS = ("tune", "report")
HANDWRITTEN = ("dancing", "kristi", "breip", "femkeklaver", "isabella", "rufscript", "humor", "ecolier", "kaushan", "radisnoir")
"""Parts of the names of typefaces that look handwritten."""

Fonts = dict[str, list[str]]


@dataclass(frozen=True)
class Scene:
    """A picture with texts that are known."""

    bucket: str
    picture: Pixels
    texts: list[tuple[Polygon, Selection, float]]
    """The outline, the pixels and the height of the letters of each text."""


@dataclass(frozen=True)
class Score:
    """What one detector did on one scene."""

    bucket: str
    texts: int
    found: int
    polygons: int
    invented: int
    """Polygons that lie mostly beside all texts."""
    false_area: float
    """Share of the picture, 0..1."""
    seconds: float


def styles(fonts: Fonts) -> dict[str, Callable[[random.Random, Pixels], list[Caption]]]:
    """How the texts of each bucket are drawn on a picture."""

    def line(rng: random.Random, script: str = "latin", low: float = 18, high: float = 60, **more: Any) -> Caption:
        font = more.pop("font", None) or rng.choice(fonts[script])
        size = round(math.exp(rng.uniform(math.log(low), math.log(high))) / 0.72)
        place = {"x": rng.uniform(0.25, 0.75), "y": rng.uniform(0.15, 0.85)}
        colour = rng.choice(((255, 255, 255), (0, 0, 0), (250, 210, 40), (200, 30, 40), (30, 70, 190)))
        return Caption(**{"text": words(rng, script)[:24], "font": font, "size": size, "colour": colour, **place, **more})

    def faint(rng: random.Random, ground: Pixels) -> list[Caption]:
        colour = ground.reshape(-1, 3).mean(axis=0)
        step = rng.choice((-1, 1)) * rng.uniform(10, 25)
        tone = [int(v) for v in np.clip(colour + step, 0, 255)]
        return [line(rng, colour=(tone[0], tone[1], tone[2]))]

    def tiled(rng: random.Random, ground: Pixels) -> list[Caption]:
        first = line(rng, low=14, high=30, opacity=rng.uniform(0.25, 0.6), angle=rng.choice((0.0, 30.0, -30.0, 45.0)))
        first = replace(first, text=first.text[:12], colour=rng.choice(((255, 255, 255), (128, 128, 128))))
        return [replace(first, x=x, y=y) for x in (0.2, 0.5, 0.8) for y in (0.15, 0.4, 0.65, 0.9)]

    def handwritten(rng: random.Random, ground: Pixels) -> list[Caption]:
        pens = [font for font in fonts["latin"] if any(part in font.lower() for part in HANDWRITTEN)]
        return [line(rng, low=24, font=rng.choice(pens))]

    def curved(rng: random.Random, ground: Pixels) -> list[Caption]:
        return [line(rng, arc=rng.choice((-1, 1)) * rng.uniform(60, 240), text=words(rng, "latin")[:30] + " around")]

    def vertical(rng: random.Random, ground: Pixels) -> list[Caption]:
        script = rng.choice(("han", "kana", "hangul"))
        text = "".join(rng.choice(ALPHABETS[script]) for _ in range(rng.randint(3, 8)))
        return [line(rng, script, vertical=True, text=text, high=40)]

    chosen: dict[str, Callable[[random.Random, Pixels], list[Caption]]] = {
        "plain": lambda rng, ground: [line(rng) for _ in range(3)],
        "watermark": lambda rng, ground: [line(rng, opacity=rng.uniform(0.25, 0.7), low=24, high=80)],
        "tiled": tiled,
        "faint": faint,
        "slanted": lambda rng, ground: [line(rng, angle=rng.choice((-1, 1)) * rng.uniform(15, 75))],
        "curved": curved,
        "vertical": vertical,
        "handwriting": handwritten,
        "8 to 12 px": lambda rng, ground: [line(rng, low=8, high=12) for _ in range(3)],
        "over 150 px": lambda rng, ground: [line(rng, low=150, high=260, text=words(rng, "latin")[:5])],
        "tall": lambda rng, ground: [line(rng, low=14, high=40) for _ in range(5)],
        "wide": lambda rng, ground: [line(rng, low=14, high=40) for _ in range(5)],
        "clean": lambda rng, ground: [],
    }
    for script in fonts:
        if script != "latin":
            chosen[script] = lambda rng, ground, script=script: [line(rng, script) for _ in range(2)]  # type: ignore[misc]
    return chosen


def scenes(files: Sequence[Path], fonts: Fonts, number: int, seed: str) -> Iterator[Scene]:
    """`number` scenes for each bucket; without text twice as many."""
    for bucket, style in styles(fonts).items():
        for index in range(number * (3 if bucket == "clean" else 1)):
            rng = random.Random(f"{seed} {bucket} {index}")
            ground = _ground(rng, files, {"tall": (640, 4000), "wide": (4000, 640)}.get(bucket, (1200, 834)))
            picture, texts, taken = ground, [], np.zeros(ground.shape[:2], bool)
            for caption in style(rng, ground):
                drawn, coverage = draw(picture, caption)
                pixels = coverage > 0.3 * caption.opacity
                if pixels.any() and not (taken & pixels).any() and _visible(picture, drawn, pixels, bucket):
                    picture, taken = drawn, taken | (coverage > 0)
                    outline = polygon_of(caption, np.asarray(pixels, np.float32))
                    texts.append((outline, pixels, caption.size * 0.72))
            if texts or bucket == "clean":
                yield Scene(bucket, picture, texts)


def _visible(before: Pixels, after: Pixels, pixels: Selection, bucket: str) -> bool:
    """Whether a person sees most of the letters."""
    step = np.abs(after.astype(np.int16) - before).max(axis=2)[pixels]
    return float(np.median(step)) >= (8 if bucket == "faint" else 25)


def _ground(rng: random.Random, files: Sequence[Path], size: tuple[int, int]) -> Pixels:
    with Image.open(rng.choice(files)) as file:
        picture = file.convert("RGB")
    ratio = max(size[0] / picture.width, size[1] / picture.height)
    grown = picture.resize((math.ceil(picture.width * ratio), math.ceil(picture.height * ratio)), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(grown)[: size[1], : size[0]])


def score(scene: Scene, polygons: Sequence[Polygon], seconds: float) -> Score:
    """The score of a detector's polygons on a scene."""
    shape = scene.picture.shape[:2]
    covered, allowed = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for outline, _, height in scene.texts:
        own = np.zeros(shape, np.uint8)
        cv2.fillPoly(own, [np.rint(outline).astype(np.int32)], 1)
        side = 2 * round(BESIDE * height) + 1
        allowed |= cv2.dilate(own, np.ones((side, side), np.uint8))
    invented = 0
    for polygon in polygons:
        own = np.zeros(shape, np.uint8)
        cv2.fillPoly(own, [np.rint(polygon).astype(np.int32)], 1)
        invented += bool((own & ~allowed & 1).sum() > 0.5 * own.sum())
        covered |= own
    found = sum((covered[pixels] > 0).mean() >= COVERED for _, pixels, _ in scene.texts)
    false = float(((covered > 0) & (allowed == 0)).mean())
    return Score(scene.bucket, len(scene.texts), int(found), len(polygons), invented, false, seconds)


def packaged() -> Callable[[Pixels], list[Polygon]]:
    """The packaged detector at its defaults, on one thread."""
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = RapidOCR(params={"Global.log_level": "critical", **threads})

    def find(rgb: Pixels) -> list[Polygon]:
        output = engine(np.ascontiguousarray(rgb[:, :, ::-1]), use_det=True, use_cls=False, use_rec=False)
        return [] if output.boxes is None else [np.asarray(box).tolist() for box in output.boxes]

    return find


def own(confirmed: bool) -> Callable[[Pixels], list[Polygon]]:
    """What `detect` finds, or only what it confirms."""
    operator = Detect()
    operator.open()

    def find(rgb: Pixels) -> list[Polygon]:
        height, width = rgb.shape[:2]
        factor = operator.view.factor(width, height)
        texts = find_texts(rgb, width, height, factor, operator.least_score)
        if confirmed:
            seen = judged(operator.confirmation, rgb, texts, width, height)
            texts = [one.text for one in seen if one.verdict.confirmed]
        return [text.polygon for text in texts]

    return find


def table(scores: dict[str, list[Score]]) -> str:
    """Recall, invented polygons a picture, false area in percent and seconds, by bucket."""
    lines = [f"{'bucket':14}" + "".join(f"{name:>32}" for name in scores)]
    buckets: dict[str, None] = dict.fromkeys(one.bucket for each in scores.values() for one in each)
    for bucket in [*buckets, "all"]:
        line = f"{bucket:14}"
        for each in scores.values():
            chosen = [one for one in each if bucket in (one.bucket, "all")]
            texts, count = sum(one.texts for one in chosen), len(chosen)
            recall = sum(one.found for one in chosen) / texts if texts else float("nan")
            invented, area = sum(one.invented for one in chosen) / count, sum(one.false_area for one in chosen) / count
            line += f"{recall:12.3f}{invented:7.2f}{100 * area:6.2f}%{sum(one.seconds for one in chosen) / count:6.2f}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, nargs="+", required=True)
    parser.add_argument("--set", choices=SETS, default="tune")
    parser.add_argument("--number", type=int, default=12)
    parser.add_argument("--buckets", nargs="*")
    parser.add_argument("--misses", type=Path, help="folder for pictures of what was missed or invented")
    arguments = parser.parse_args()
    use_one_thread()
    files = [file for number, file in enumerate(pictures(arguments.pictures)) if SETS[number % 2] == arguments.set]
    detectors = {"packaged": packaged(), "found": own(False), "confirmed": own(True)}
    scores: dict[str, list[Score]] = defaultdict(list)
    for number, scene in enumerate(scenes(files, typefaces(arguments.fonts), arguments.number, arguments.set)):
        if arguments.buckets and scene.bucket not in arguments.buckets:
            continue
        for name, find in detectors.items():
            start = time.perf_counter()
            polygons = find(scene.picture)
            result = score(scene, polygons, time.perf_counter() - start)
            scores[name].append(result)
            if arguments.misses and name == "confirmed" and (result.found < result.texts or result.invented):
                _draw_misses(scene, polygons, arguments.misses / f"{scene.bucket.replace(' ', '-')}-{number}.jpg")
    print(table(scores))
    if arguments.set == "report":
        content = {name: [asdict(one) for one in each] for name, each in scores.items()}
        RESULTS.write_text(json.dumps({"table": table(scores).splitlines(), "scenes": content}, indent=1) + "\n")


def _draw_misses(scene: Scene, polygons: Sequence[Polygon], path: Path) -> None:
    shown = scene.picture.copy()
    for outline, _, _ in scene.texts:
        cv2.polylines(shown, [np.rint(outline).astype(np.int32)], True, (0, 255, 0), 2)
    for polygon in polygons:
        cv2.polylines(shown, [np.rint(polygon).astype(np.int32)], True, (255, 0, 0), 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(shown).save(path, quality=90)


if __name__ == "__main__":
    main()
