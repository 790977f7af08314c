"""Measures the cost and quality of routed enlargement: pictures are reduced by 4, enlarged again
in every way, and compared with the originals.

    python -m benchmarks.enlarge [--model animevideov3] [--page FILE.html]
    python -m benchmarks.enlarge --photographs FOLDER [--side 2048]

The second command takes your own pictures: every other one for the sweep, the rest for the
report. The threshold is swept on one set of pictures (`tune`), everything else is reported on
another (`report`). Compute is measured in the pixels that the network sees, overlaps included,
and in processor seconds of this one process. The page shows the curve, the figures, and each
picture: the original, its enlargement in every way, and a map with the network's part in green.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flows.evaluation.captions import typefaces
from flows.evaluation.scenes import flat_shapes, ruled_paper
from flows.reports import charts
from operators.enlarge import assemble
from operators.metrics.naturalness import band_energies, overshoot_share
from operators.metrics.perceptual import perceptual_distance
from operators.metrics.quality import psnr, ssim
from operators.models.threads import use_one_thread
from operators.rows.arrays import Pixels
from operators.rows.records import JsonObject
from operators.upscalers.catalogue import find_upscaler
from operators.upscalers.detail_loss import BLOCK
from operators.upscalers.enlargement import Enlargement, Routing
from operators.upscalers.tiles import grid, pixels_seen, upscale_whole

RESULTS = Path(__file__).parent / "results"
SCALE = 4
SIDE = 1024
"""Pixels to which the longer side of a packaged picture is first reduced, so that the small
picture is a thumbnail of 256.
"""
THRESHOLDS = (-1.0, 2.0, 4.0, 6.0, 8.0, 11.0, 15.0, 22.0, math.inf)
"""The first threshold sends every block to the network, the last none."""
FIGURES = ("psnr", "ssim", "perceptual", "overshoot", "band_0", "band_1", "seam", "seconds")


@dataclass(frozen=True)
class Example:
    """A picture and its reduced copy, of kind photo, texture, text, line art or noisy JPEG."""

    name: str
    kind: str
    truth: Pixels
    small: Pixels


def reduced(truth: Pixels) -> Pixels:
    """The picture at a quarter of its sides, each pixel the mean of sixteen."""
    small: Pixels = cv2.resize(truth, (truth.shape[1] // SCALE, truth.shape[0] // SCALE), interpolation=cv2.INTER_AREA)
    return small


def noisy_jpeg(truth: Pixels, seed: int) -> Pixels:
    """The reduced picture with noise of 4 grey levels, as a JPEG of quality 60."""
    small = reduced(truth).astype(np.float32) + np.random.default_rng(seed).normal(0, 4, (*reduced(truth).shape[:2], 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.rint(small), 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def draw_letters(number: int) -> Pixels:
    """A column of text in several sizes."""
    font = list(typefaces().values())[2 + number]
    image = Image.new("RGB", (1024, 1024), ((250, 248, 240), (30, 34, 48))[number])
    draw, y = ImageDraw.Draw(image), 90
    words = ("Clean plates of millions of images", "A slow brown dog, 27 lazy foxes & an ox")[number]
    for size in (44, 34, 28, 24, 20, 40):
        draw.text((120, y), words, font=ImageFont.truetype(font, size), fill=((20, 20, 30), (240, 230, 210))[number])
        y += round(size * 4)
    return np.asarray(image)


def draw_lines(seed: int) -> Pixels:
    """A drawing of thin curves and straight lines on paper."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (4096, 4096), (252, 252, 250))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        points = [tuple(point) for point in rng.uniform(0, 4096, (2, 2))]
        draw.line(points, fill=(20, 20, 20), width=int(rng.integers(6, 16)))
        x, y, size = *rng.uniform(0, 3600, 2), rng.uniform(200, 900)
        draw.ellipse((x, y, x + size, y + size * rng.uniform(0.4, 1)), outline=(30, 30, 90), width=int(rng.integers(6, 16)))
    return np.asarray(image.resize((1024, 1024), Image.Resampling.BOX))


def _fitted(picture: Pixels, side: int = SIDE) -> Pixels:
    """The whole picture in RGB, its longer side at most `side` pixels, both sides divisible by
    SCALE.
    """
    rgb = picture[:, :, :3] if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    factor = min(1.0, side / max(rgb.shape[:2]))
    height, width = (int(length * factor) // SCALE * SCALE for length in rgb.shape[:2])
    fitted: Pixels = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    return fitted


def examples(chosen: str) -> Iterator[Example]:
    """The pictures of a set; no picture is in both sets."""
    import random

    from skimage import data

    tune = chosen == "tune"
    photographs = (data.astronaut, data.coffee, data.hubble_deep_field) if tune else (data.chelsea, data.rocket, data.retina)
    textures = (data.brick, data.immunohistochemistry) if tune else (data.grass, data.gravel)
    for kind, loaders in (("photo", photographs), ("texture", textures)):
        for picture in loaders:
            truth = _fitted(picture())
            yield Example(picture.__name__, kind, truth, reduced(truth))
    motorcycle = data.stereo_motorcycle()
    truth = _fitted(motorcycle[0]) if not tune else _fitted(data.camera())
    yield Example("camera" if tune else "motorcycle", "photo", truth, reduced(truth))
    number = 0 if tune else 1
    drawn = {"letters": ("text", _fitted(draw_letters(number))), "lines": ("line art", _fitted(draw_lines(number)))}
    drawn["graphic"] = ("line art", _fitted(flat_shapes(random.Random(40 + number))))
    drawn["page"] = ("text", _fitted(ruled_paper(np.random.default_rng(40 + number), scanned=True)))
    for name, (kind, truth) in drawn.items():
        yield Example(name, kind, truth, reduced(truth))
    truth = _fitted(photographs[1]())
    yield Example(f"{photographs[1].__name__} thumbnail", "noisy JPEG", truth, noisy_jpeg(truth, number))


def photographs(folder: Path, side: int, chosen: str) -> Iterator[Example]:
    """The JPEG files of a folder in the order of their names, every other one in each set."""
    for path in sorted(folder.glob("*.jp*g"))[("tune", "report").index(chosen) :: 2]:
        with Image.open(path) as file:
            truth = _fitted(np.asarray(file.convert("RGB")), side)
        yield Example(path.stem, "photo", truth, reduced(truth))


def _resized(small: Pixels, method: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(small).resize((small.shape[1] * SCALE, small.shape[0] * SCALE), method))


def network_alone(small: Pixels, model: str) -> Pixels:
    """The whole picture enlarged by the network in tiles, without limits on its detail."""
    enlarged = upscale_whole(find_upscaler(model, SCALE), small.astype(np.float32) / 255)
    return np.rint(np.clip(enlarged, 0, 1) * 255).astype(np.uint8)


def enlargement(small: Pixels, routing: Routing) -> Enlargement:
    """The enlargement of a picture to four times its sides."""
    return Enlargement(small, False, (small.shape[1] * SCALE, small.shape[0] * SCALE), routing)


def seam_ratio(result: Pixels, routed: np.ndarray) -> float:
    """Mean luma step across the borders of routed blocks, plus one, over the mean step one and
    two source pixels away from them, plus one.

    All of these steps lie between two source pixels. There every way of enlarging, the network's
    included, has larger steps than in the middle of a source pixel, with or without a seam.
    """
    grey = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across: list[np.ndarray] = []
    beside: list[np.ndarray] = []
    for values, chosen in ((grey, routed), (grey.T, routed.T)):
        steps, side = np.abs(np.diff(values, axis=1)), BLOCK * SCALE
        for row, column in zip(*np.nonzero(chosen[:, 1:] != chosen[:, :-1]), strict=True):
            x, rows = (column + 1) * side - 1, slice(row * side, (row + 1) * side)
            across.append(steps[rows, x])
            offsets = (-2 * SCALE, -SCALE, SCALE, 2 * SCALE)
            beside.extend(steps[rows, x + offset] for offset in offsets if 0 <= x + offset < steps.shape[1])
    if not across:
        return float("nan")
    return float((np.concatenate(across).mean() + 1) / (np.concatenate(beside).mean() + 1))


def figures(example: Example, result: Pixels, routed: np.ndarray) -> dict[str, float]:
    """The figures of a result against the original and against the small picture."""
    everywhere = np.ones(result.shape[:2], bool)
    energies = zip(band_energies(result, everywhere), band_energies(example.truth, everywhere), strict=True)
    ratios = [(energy + 0.25) / (true + 0.25) for energy, true in energies]
    return {
        "psnr": min(99.0, psnr(result, example.truth)),
        "ssim": ssim(result, example.truth),
        "perceptual": perceptual_distance().distance(result, example.truth),
        "overshoot": overshoot_share(result, _resized(example.small, Image.Resampling.NEAREST), everywhere),
        "band_0": ratios[0],
        "band_1": ratios[1],
        "seam": seam_ratio(result, routed),
    }


def timed(work: Callable[[], Pixels]) -> tuple[Pixels, float]:
    """A result, and the processor seconds it took."""
    start = time.process_time()
    return work(), time.process_time() - start


def ways(model: str, routing: Routing) -> dict[str, Callable[[Pixels], Pixels]]:
    """Every way of enlarging, by name."""
    return {
        "nearest": lambda small: _resized(small, Image.Resampling.NEAREST),
        "bicubic": lambda small: _resized(small, Image.Resampling.BICUBIC),
        "lanczos": lambda small: _resized(small, Image.Resampling.LANCZOS),
        "network alone": lambda small: network_alone(small, model),
        "network, guarded": lambda small: assemble(enlargement(small, replace(routing, threshold=-1.0))),
        "routed": lambda small: assemble(enlargement(small, routing)),
    }


def sweep(routing: Routing, chosen: list[Example]) -> list[dict[str, float]]:
    """Mean perceptual distance per threshold, and compute relative to the network everywhere.

    Thresholds that send the same blocks of a picture to the network share its result.
    """
    points = {threshold: {"threshold": threshold, "seen": 0.0, "perceptual": 0.0} for threshold in THRESHOLDS}
    for example in chosen:
        known: dict[bytes, float] = {}
        for threshold, point in points.items():
            routed = enlargement(example.small, replace(routing, threshold=threshold))
            blocks = routed.routed.tobytes()
            if blocks not in known:
                known[blocks] = perceptual_distance().distance(assemble(routed), example.truth)
            point["seen"] += routed.network_pixels()
            point["perceptual"] += known[blocks] / len(chosen)
    curve_points = [{**point, "compute": point["seen"] / points[THRESHOLDS[0]]["seen"]} for point in points.values()]
    for point in curve_points:
        print(f"threshold {point['threshold']:5.1f}: compute {point['compute']:.3f}, distance {point['perceptual']:.4f}")
    return curve_points


def knee(points: list[dict[str, float]]) -> float:
    """The threshold whose point lies furthest below the line between the ends of the curve
    (Satopaa et al., 2011).
    """
    x = np.array([point["compute"] for point in points])
    y = np.array([point["perceptual"] for point in points])
    x, y = (x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y)
    return points[int(np.argmin(x + y))]["threshold"]


def draw_curve(points: list[dict[str, float]], title: str) -> str:
    """An SVG of perceptual distance over compute."""
    width, height, left, bottom = 640, 360, 70, 50
    low, high = (bound([point["perceptual"] for point in points]) for bound in (min, max))

    def place(point: dict[str, float]) -> tuple[float, float]:
        x = left + point["compute"] * (width - left - 30)
        return x, 30 + (high - point["perceptual"]) / max(high - low, 1e-9) * (height - 30 - bottom)

    marks = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/><text x="{x + 5:.1f}" y="{y - 5:.1f}">{point["threshold"]:g}</text>'
        for point in points
        for x, y in (place(point),)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points))
    labels = (
        f'<text x="{left}" y="18">{title}</text>'
        f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">compute, 1 = the network everywhere</text>'
        f'<text x="8" y="34">{high:.3f}</text><text x="8" y="{height - bottom}">{low:.3f}</text>'
        f'<text x="{left}" y="{height - 32}">0</text><text x="{width - 34}" y="{height - 32}">1</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="white"/>{labels}'
        f'<polyline points="{line}" fill="none" stroke="#2a7f62" stroke-width="2"/>{"".join(marks)}</svg>\n'
    )


def _inline_image(picture: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=85)
    return f'<img src="data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def tinted(example: Example, routed: Enlargement) -> Pixels:
    """The small picture with the blocks that went to the network in green."""
    blocks = np.kron(routed.routed, np.ones((BLOCK * SCALE,) * 2, bool))[: example.truth.shape[0], : example.truth.shape[1]]
    small = _resized(example.small, Image.Resampling.NEAREST).astype(np.float32)
    return np.where(blocks[:, :, None], small * 0.6 + np.array([0, 102, 0], np.float32), small).astype(np.uint8)


def page_part(example: Example, record: JsonObject, results: dict[str, Pixels], routed: Enlargement) -> str:
    """One picture's part of the page: the original, every way with its distance, and the map of
    the network's part.
    """
    pictures = {"what it was": example.truth, **results, "to the network": tinted(example, routed)}
    captions = {name: f"{name}, {record[name]['perceptual']:.3f}" for name in results}
    cells = "".join(
        f"<figure>{_inline_image(picture)}<figcaption>{escape(captions.get(name, name))}</figcaption></figure>"
        for name, picture in pictures.items()
    )
    share = record["seen"] / record["full"]
    return f"<h2>{escape(example.name)} ({example.kind}): {share:.0%} of the network's compute</h2><div>{cells}</div>"


def write_page(path: Path, content: JsonObject, drawing: str, parts: list[str]) -> None:
    """Write the curve, the figures and the pictures as one self-contained file."""
    records, rows = content["pictures"], []
    names = [name for name in records[0] if isinstance(records[0][name], dict)]
    for name in names:
        rows.append(
            f"<tr><th>{name}</th>" + "".join(f"<td>{_mean(records, name, figure):.4f}</td>" for figure in FIGURES) + "</tr>"
        )
    kinds = list(dict.fromkeys(record["kind"] for record in records))
    by_kind = {
        kind: {
            name: _mean([record for record in records if record["kind"] == kind], name, "perceptual")
            for name in ("lanczos", "network alone", "network, guarded", "routed")
        }
        for kind in kinds
    }
    summary = "".join(
        f"<tr><th>{name.replace('_', ' ')}</th><td>{value:.4f}</td></tr>" for name, value in content["summary"].items()
    )
    head = "".join(f"<th>{figure}</th>" for figure in FIGURES)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "<!doctype html><meta charset=utf-8><title>What routing costs and keeps</title><style>"
        "body{font:14px sans-serif;margin:2em}div{display:flex;flex-wrap:wrap;gap:8px}figure{margin:0;width:300px}"
        "img{width:100%}svg{max-width:700px;display:block}th{text-align:left}td{text-align:right;padding-left:1em}</style>"
        f"<h1>What routing costs and keeps</h1>{drawing}{charts.bars('Perceptual distance by kind', by_kind)}"
        f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table><table>{summary}</table>{''.join(parts)}"
    )


def full_cost(small: Pixels, model: str) -> int:
    """Pixels that the network sees when it enlarges the whole picture."""
    height, width = small.shape[:2]
    return pixels_seen(find_upscaler(model, SCALE), grid(width, height, 256), width, height)


def compare_ways(model: str, routing: Routing, chosen: Iterable[Example]) -> tuple[list[JsonObject], list[str]]:
    """Enlarge each of these pictures in every way: their figures, and their parts of the page."""
    records, parts = [], []
    for example in chosen:
        routed, results = enlargement(example.small, routing), {}
        record: JsonObject = {"name": example.name, "kind": example.kind, "noise": routed.noise}
        record |= {"seen": routed.network_pixels(), "full": full_cost(example.small, model)}
        for name, way in ways(model, routing).items():
            result, seconds = timed(lambda way=way, example=example: way(example.small))
            results[name] = result
            record[name] = {**figures(example, result, routed.routed), "seconds": seconds}
        record["truth"] = figures(example, example.truth, routed.routed)
        records.append(record)
        parts.append(page_part(example, record, results, routed))
        print(f"{example.name:18} {record['seen'] / record['full']:.2f} of the compute", flush=True)
    return records, parts


def _mean(records: list[JsonObject], way: str, figure: str) -> float:
    values = [record[way][figure] for record in records if figure in record[way] and math.isfinite(record[way][figure])]
    return float(np.mean(values)) if values else float("nan")


def print_table(records: list[JsonObject], names: list[str]) -> None:
    """Print the means over all pictures, and the perceptual distance by kind."""
    print(f"{'':18}" + "".join(f"{figure:>11}" for figure in FIGURES))
    for name in names:
        print(f"{name:18}" + "".join(f"{_mean(records, name, figure):11.4f}" for figure in FIGURES))
    kinds = list(dict.fromkeys(record["kind"] for record in records))
    print("\nperceptual distance by kind\n" + " " * 18 + "".join(f"{kind:>11}" for kind in kinds))
    for name in names:
        by_kind = [[record for record in records if record["kind"] == kind] for kind in kinds]
        print(f"{name:18}" + "".join(f"{_mean(part, name, 'perceptual'):11.4f}" for part in by_kind))


def main() -> None:
    """Sweep, compare, print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=Routing.model)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--photographs", type=Path, help="folder of JPEG files to use instead of the packaged pictures")
    parser.add_argument("--side", type=int, default=2048, help="pixels to which their longer side is first reduced")
    parser.add_argument("--only", choices=("sweep", "compare"))
    options = parser.parse_args()
    use_one_thread()
    import torch

    torch.set_num_threads(1)
    routing = Routing(options.model)
    name = f"enlarge-{options.model}-photographs" if options.photographs else f"enlarge-{options.model}"
    pictures = partial(photographs, options.photographs, options.side) if options.photographs else examples
    path = RESULTS / f"{name}.json"
    content = json.loads(path.read_text()) if path.is_file() else {}
    if options.only != "compare":
        content["sweep"] = sweep(routing, list(pictures("tune")))
        content["knee"] = knee(content["sweep"])
        path.with_suffix(".svg").write_text(
            draw_curve(content["sweep"], f"{options.model}: threshold in grey levels at each point")
        )
        print(f"knee at threshold {content['knee']:g}; the default is {Routing.threshold:g}\n")
    if options.only != "sweep":
        content["threshold"] = routing.threshold
        content["pictures"], parts = compare_ways(options.model, routing, pictures("report"))
        records = content["pictures"]
        names = list(ways(options.model, routing))
        print_table(records, names)
        saved = 1 - sum(record["seen"] for record in records) / sum(record["full"] for record in records)
        seconds = {name: sum(record[name]["seconds"] for record in records) for name in names}
        content["summary"] = {
            "compute_saved": saved,
            "seconds_saved": 1 - seconds["routed"] / seconds["network alone"],
            "distance_to_network_alone": _mean(records, "routed", "perceptual") / _mean(records, "network alone", "perceptual"),
            "distance_to_network_guarded": _mean(records, "routed", "perceptual")
            / _mean(records, "network, guarded", "perceptual"),
            "seam": _mean(records, "routed", "seam"),
            "seam_of_the_originals": _mean(records, "truth", "seam"),
            "seam_of_network_alone": _mean(records, "network alone", "seam"),
            "overshoot": _mean(records, "routed", "overshoot"),
            "overshoot_of_lanczos": _mean(records, "lanczos", "overshoot"),
        }
        print("\n" + "\n".join(f"{name:28} {value:.4f}" for name, value in content["summary"].items()))
        drawing = path.with_suffix(".svg")
        write_page(
            options.page or Path("build") / f"{name}.html",
            content,
            drawing.read_text() if drawing.is_file() else "",
            parts,
        )
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
