"""Trains the stroke network, which finds the pixels that a line of text has touched.

    python -m training.strokes --pictures DIR [DIR ...] --fonts DIR --out DIR

Lines of text in many typefaces are drawn on crops of clean pictures, so the truth is known to the
pixel: opaque and translucent, outlined, with shadows, slanted, recompressed. A small U-Net sees
the crop, scaled so that the line is LINE_HEIGHT pixels high, and the detector's polygon, and
predicts for every pixel the probability that the text changed it. Training takes about an hour on
two cores; `--resume` continues from the last checkpoint. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import string
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image, ImageFont
from torch import nn

from flows.evaluation.draw_text import Caption, draw
from training.checkpoint import Checkpoint, averaged

LINE_HEIGHT = 56
HEIGHT, WIDTH = 112, 288
TOUCHED = 0.03
"""Coverage above which a pixel counts as touched by text."""
EMPTY = 0.06
"""Share of the examples whose polygon holds no text: a detector errs, and then the mask must stay
empty.
"""
WORDS = (
    "the of and to in for is on that by this with you it not or be are from at as your all have new more an was we "
    "will home can us about if page my has search free but our one other do no information time they site he up may "
    "what which their news out use any there see only so his when contact here business who web also now help get "
    "view online first am been would how were services some these click its like service than find price date back "
    "top people had list name just over state year day into email two health world next used go work last most "
    "products music buy data make them should product system post her city add policy number such please available "
    "copyright support message after best software then good video well where info rights public books high school "
    "through each links she review years order very privacy book items company read group need many user said set "
    "under general research university january mail full map reviews "
).split()


class StrokeNet(nn.Module):
    """A four-level U-Net on 2 x 2 pixel blocks, with three convolutions on single pixels that
    sharpen its edges.

    The input has 4 channels (RGB in -1..1, polygon in 0..1), or as many as `inputs` says, and sides
    that are multiples of 16; the output is one logit per pixel.
    """

    def __init__(
        self, widths: tuple[int, int, int, int] = (24, 40, 64, 96), features: int = 8, edge: int = 16, inputs: int = 4
    ) -> None:
        super().__init__()
        one, two, three, four = widths

        def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU(inplace=True))

        self.first = nn.Sequential(nn.PixelUnshuffle(2), block(4 * inputs, one), block(one, one))
        self.second = nn.Sequential(block(one, two, 2), block(two, two))
        self.third = nn.Sequential(block(two, three, 2), block(three, three))
        self.fourth = nn.Sequential(block(three, four, 2), block(four, four), block(four, three))
        self.up_third = block(2 * three, two)
        self.up_second = block(2 * two, one)
        self.up_first = block(2 * one, one)
        self.coarse = nn.Sequential(nn.Conv2d(one, 4 * features, 3, 1, 1), nn.PixelShuffle(2))
        self.edges = nn.Sequential(block(features + inputs, edge), block(edge, edge), nn.Conv2d(edge, 1, 3, 1, 1))
        self.wider = nn.Upsample(scale_factor=2, mode="nearest")
        for convolution in self.convolutions():
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.edges[-1].weight)  # type: ignore[arg-type]

    def convolutions(self) -> list[nn.Conv2d]:
        """The convolutions in the order of computation."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, batch x 1 x height x width."""
        first = self.first(x)
        second = self.second(first)
        third = self.third(second)
        fourth = self.fourth(third)
        third = self.up_third(torch.cat([third, self.wider(fourth)], 1))
        second = self.up_second(torch.cat([second, self.wider(third)], 1))
        first = self.up_first(torch.cat([first, self.wider(second)], 1))
        coarse = self.coarse(first)
        result: torch.Tensor = coarse[:, :1] + self.edges(torch.cat([coarse, x], 1))
        return result


def stored_convolutions(path: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight and bias of each convolution of an exported network, in the order of computation."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    stored = {part.name: torch.from_numpy(numpy_helper.to_array(part).copy()) for part in graph.initializer}
    return [(stored[node.input[1]], stored[node.input[2]]) for node in graph.node if node.op_type == "Conv"]


def start_from(network: StrokeNet, path: Path) -> None:
    """Copy the weights of an exported network, which may have fewer or narrower convolutions at
    its end.
    """
    for (weight, bias), target in zip(stored_convolutions(path), network.convolutions(), strict=False):
        with torch.no_grad():
            target.weight[: len(weight)] = weight
            target.bias[: len(bias)] = bias  # type: ignore[index]


def random_text(rng: random.Random) -> str:
    """A line of words, a price, a copyright line or random characters."""
    kind = rng.random()
    if kind < 0.6:
        text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 5)))
        return rng.choice((text, text.title(), text.upper(), text.capitalize()))
    if kind < 0.75:
        return f"{rng.choice('$€£#@')}{rng.randint(0, 9999)}{rng.choice(('', '.99', '.50', ',00', '%'))}"
    if kind < 0.85:
        return f"{rng.choice('©®™')} {rng.choice(WORDS).title()} {rng.randint(1990, 2030)}"
    alphabet = string.ascii_letters + string.digits + "&!?.,:;-+()/"
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(2, 14)))


def caption(rng: random.Random, fonts: list[str], line: float, background: np.ndarray) -> Caption:
    """A caption about `line` pixels high in a random style."""
    text, font = random_text(rng), rng.choice(fonts)
    probe = ImageFont.truetype(font, 100)
    top, bottom = probe.getbbox(text)[1::2]
    size = max(6, round(100 * line * 0.72 / max(20, bottom - top)))
    mood = rng.random()
    if mood < 0.3:
        colour = (255, 255, 255)
    elif mood < 0.5:
        colour = (rng.randint(0, 30),) * 3
    elif mood < 0.65:
        base = background.reshape(-1, 3).mean(0)
        colour = tuple(int(np.clip(v + rng.choice((-1, 1)) * rng.uniform(30, 90), 0, 255)) for v in base)
    else:
        colour = tuple(rng.randint(0, 255) for _ in range(3))
    styled = rng.random()
    return Caption(
        text,
        font,
        size,
        rng.uniform(0.2, 0.8),
        rng.uniform(0.45, 0.55),
        colour,  # type: ignore[arg-type]
        opacity=1.0 if rng.random() < 0.6 else rng.uniform(0.25, 0.95),
        outline=max(1, round(line * rng.uniform(0.02, 0.08))) if styled < 0.2 else 0,
        outline_colour=rng.choice(((0, 0, 0), (255, 255, 255), tuple(rng.randint(0, 255) for _ in range(3)))),  # type: ignore[arg-type]
        shadow=max(1, round(line * rng.uniform(0.03, 0.1))) if 0.15 < styled < 0.35 else 0,
        angle=0.0 if rng.random() < 0.75 else rng.gauss(0, 15),
    )


def polygon_of(coverage: np.ndarray, rng: random.Random) -> np.ndarray:
    """A box like a detector's around the covered pixels, slightly larger or smaller, drawn on a
    canvas (0 or 255) of the coverage's size.
    """
    canvas = np.zeros(coverage.shape, np.uint8)
    points = cv2.findNonZero((coverage > 0.2).astype(np.uint8))
    if points is None:
        return canvas
    centre, sides, angle = cv2.minAreaRect(points)
    grow = min(sides) * rng.uniform(-0.08, 0.35)
    box = cv2.boxPoints((centre, (sides[0] + grow, sides[1] + grow), angle))
    cv2.fillPoly(canvas, [np.rint(box).astype(np.int32)], 255)
    return canvas


def sample(rng: random.Random, pictures: list[str], fonts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """One example: uint8 HEIGHT x WIDTH x 4 (RGB, polygon) and uint8 HEIGHT x WIDTH (touched, 0
    or 255).
    """
    zoom = math.exp(rng.uniform(math.log(0.25), math.log(2.2)))
    height, width = round(HEIGHT * zoom), round(WIDTH * zoom)
    with Image.open(rng.choice(pictures)) as file:
        picture = file.convert("RGB")
    fraction = rng.uniform(1.0, max(1.0, min(picture.width / width, picture.height / height, 6.0)))
    box_width, box_height = min(picture.width, round(width * fraction)), min(picture.height, round(height * fraction))
    left, top = rng.randint(0, picture.width - box_width), rng.randint(0, picture.height - box_height)
    clean = np.asarray(
        picture.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + box_width, top + box_height))
    )
    if rng.random() < 0.15:
        clean = np.asarray(Image.fromarray(clean).convert("L").convert("RGB"))
    if rng.random() < 0.15:
        clean = (clean * rng.uniform(0.15, 0.5)).astype(np.uint8)
    style = caption(rng, fonts, LINE_HEIGHT * zoom * rng.uniform(0.75, 1.2), clean)
    shown, coverage = draw(clean, style)
    polygon = polygon_of(coverage, rng)
    if rng.random() < EMPTY:
        shown, coverage = clean, np.zeros_like(coverage)
    elif rng.random() < 0.3:
        neighbour = caption(rng, fonts, LINE_HEIGHT * zoom * rng.uniform(0.5, 1.2), clean)
        y = rng.choice((-1, 1)) * rng.uniform(0.5, 0.7) + 0.5
        shown_with_neighbour, neighbour_coverage = draw(shown, Caption(**{**vars(neighbour), "y": y, "angle": style.angle}))
        if not (neighbour_coverage[coverage > TOUCHED] > TOUCHED).any():
            shown = shown_with_neighbour
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "JPEG", quality=rng.randint(50, 95))
        shown = np.asarray(Image.open(buffer))
    method = cv2.INTER_AREA if zoom > 1 else cv2.INTER_LINEAR
    inputs = cv2.resize(np.dstack([shown, polygon]), (WIDTH, HEIGHT), interpolation=method)
    target = (cv2.resize(coverage, (WIDTH, HEIGHT), interpolation=method) > TOUCHED).astype(np.uint8) * 255
    return inputs, target


class SampleJob(NamedTuple):
    """Examples to draw: their seed and number, and the pictures and typefaces to use."""

    seed: int
    examples: int
    pictures: list[str]
    fonts: list[str]


def draw_samples(job: SampleJob) -> tuple[np.ndarray, np.ndarray]:
    """The examples of one job, stacked."""
    cv2.setNumThreads(1)
    rng, examples = random.Random(job.seed), []
    while len(examples) < job.examples:
        try:
            examples.append(sample(rng, job.pictures, job.fonts))
        except (OSError, ValueError):
            continue
    return np.stack([inputs for inputs, _ in examples]), np.stack([target for _, target in examples])


def make_small_copies(folders: list[Path], cache: Path) -> list[str]:
    """The folders' pictures as JPEGs of at most 1600 pixels a side, cached."""
    cache.mkdir(parents=True, exist_ok=True)
    files = sorted(
        f for folder in folders for f in folder.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp", ".tga")
    )
    copies = []
    for number, file in enumerate(files):
        target = cache / f"{number:05d}.jpg"
        if not target.exists():
            try:
                with Image.open(file) as picture:
                    if min(picture.size) < 128 or "A" in picture.mode or picture.mode == "P":
                        continue
                    picture.draft("RGB", (1600, 1600))
                    small = picture.convert("RGB")
                    small.thumbnail((1600, 1600))
                    small.save(target, quality=92)
            except (OSError, ValueError, SyntaxError):
                continue
        copies.append(str(target))
    return copies


def usable_fonts(folder: Path) -> list[str]:
    """The typefaces in a folder that have Latin letters."""
    fonts = []
    for file in sorted(f for f in folder.rglob("*") if f.suffix.lower() in (".ttf", ".otf")):
        try:
            font = ImageFont.truetype(str(file), 40)
            shapes = {bytes(font.getmask(letter)) for letter in "agRs4"}
        except OSError:
            continue
        if len(shapes) == 5:
            fonts.append(str(file))
    return fonts


def loss_of(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy for a calibrated probability, plus Dice for thin strokes."""
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum((1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 1)
    return nn.functional.binary_cross_entropy_with_logits(logits, target) + 0.2 * dice.mean()


def as_input(inputs: np.ndarray) -> torch.Tensor:
    """Examples as inputs, batch x 4 x height x width: RGB in -1..1, polygon in 0..1."""
    x = torch.from_numpy(inputs).permute(0, 3, 1, 2).float() / 255
    return torch.cat([x[:, :3] * 2 - 1, x[:, 3:]], 1)


def export(network: StrokeNet, path: Path, inputs: int = 4, output: str = "probability") -> None:
    """Write the network as ONNX.

    Its input is `crop` (1 x inputs x height x width). Its output, 1 x 1 x height x width and 0..1,
    has the name `output`.
    """
    network.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        nn.Sequential(network, nn.Sigmoid()),
        (torch.zeros(1, inputs, HEIGHT, WIDTH),),
        str(path),
        input_names=["crop"],
        output_names=[output],
        dynamic_axes={"crop": {2: "height", 3: "width"}, output: {2: "height", 3: "width"}},
        opset_version=17,
        dynamo=False,
    )


def parse_options(description: str | None, work: Path, examples: int, minutes: float, batch: int) -> argparse.Namespace:
    """The options of a training on drawn lines, with these defaults; makes the folder `work`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=work)
    parser.add_argument("--examples", type=int, default=examples)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--start", type=Path, help="exported network to start from")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    return arguments


def main() -> None:
    """Draw the examples, then train and export."""
    arguments = parse_options(__doc__, Path("build/strokes"), 24_000, 45, 32)
    pictures, fonts = make_small_copies(arguments.pictures, arguments.work / "pictures"), usable_fonts(arguments.fonts)
    print(f"{len(pictures)} pictures, {len(fonts)} typefaces", flush=True)
    files = [arguments.work / f"{name}.npy" for name in ("inputs", "targets")]
    if not (arguments.resume and all(file.exists() for file in files)):
        chunk = 500
        jobs = [SampleJob(seed, chunk, pictures, fonts) for seed in range(arguments.examples // chunk)]
        with ProcessPoolExecutor(arguments.processes) as pool:
            parts = list(pool.map(draw_samples, jobs))
        for file, column in zip(files, zip(*parts, strict=True), strict=True):
            np.save(file, np.concatenate(column))
    inputs, targets = (np.load(file, mmap_mode="r") for file in files)
    print(f"{len(inputs)} examples", flush=True)
    train(inputs, targets, arguments)


def train(inputs: np.ndarray, targets: np.ndarray, arguments: argparse.Namespace) -> None:
    """Train for `minutes`; write a checkpoint and the exported network every 100 steps."""
    torch.manual_seed(0)
    network = StrokeNet()
    if arguments.start:
        start_from(network, arguments.start)
    average = averaged(network, 0.998)
    optimiser = torch.optim.AdamW(network.parameters(), arguments.learning_rate, weight_decay=1e-4)
    checkpoint = Checkpoint(arguments.work / "checkpoint.pt", network, average, optimiser)
    step, spent = checkpoint.load() if arguments.resume else (0, 0.0)
    rng, start, running = np.random.default_rng(step), time.time(), 0.0
    while (minutes := spent + (time.time() - start) / 60) < arguments.minutes:
        for group in optimiser.param_groups:
            group["lr"] = (
                arguments.learning_rate * min(1, step / 200) * (0.5 + 0.5 * math.cos(math.pi * minutes / arguments.minutes))
            )
        chosen = rng.integers(0, len(inputs), arguments.batch)
        x, y = (
            as_input(np.asarray(inputs[np.sort(chosen)])),
            torch.from_numpy(np.asarray(targets[np.sort(chosen)])).float()[:, None] / 255,
        )
        if rng.random() < 0.5:
            x, y = x.flip(3), y.flip(3)
        if rng.random() < 0.5:
            x[:, :3] = x[:, [2, 0, 1]]
        if rng.random() < 0.3:
            x[:, :3] = -x[:, :3]
        x[:, :3] += torch.randn_like(x[:, :3]) * (rng.random() < 0.3) * rng.uniform(0, 0.08)
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x)
        loss = loss_of(logits.float(), y)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update_parameters(network)
        running = 0.98 * running + 0.02 * float(loss.detach())
        step += 1
        if step % 100 == 0:
            checkpoint.save(step, minutes)
            export(average.module, arguments.out / "strokes.onnx")
            print(
                json.dumps(
                    {"step": step, "examples": step * arguments.batch, "minutes": round(minutes, 1), "loss": round(running, 4)}
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
