"""Trains the coverage network, which finds how much of each pixel a translucent overlay covers.

    python -m training.coverage --pictures DIR [DIR ...] --fonts DIR --out DIR

Translucent lines of text are drawn on crops of clean pictures, so their coverage is known to the
pixel: alone, slanted, tiled, in one colour or with a shadow, saved as PNG or JPEG. The network is
the stroke network with more inputs, and starts from it. It sees a crop, scaled so that the line is
LINE_HEIGHT pixels high, the same crop as it would look below an overlay that covered all of it, and
the line's polygon. Where a pixel is covered, the second picture goes on from the first one beside
it. Opacity and colour are given with the errors that an estimate has. Training takes 45 minutes on
one core; `--resume` continues from the last checkpoint. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
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
from training.schedule import set_learning_rate
from training.strokes import (
    HEIGHT,
    LINE_HEIGHT,
    WIDTH,
    SampleJob,
    StrokeNet,
    export,
    make_small_copies,
    parse_options,
    polygon_of,
    random_text,
    stored_convolutions,
    usable_fonts,
)

EMPTY, OPAQUE = 0.05, 0.12
"""Shares of the examples without text, and with text that hides the picture."""
MOST_OPACITY = 0.85
"""Opacity of the examples, at most: above, too little of the picture is left."""
OPACITY_ERROR, COLOUR_ERROR = 0.025, 0.03
"""Typical errors of an estimate, of values 0..1."""
INPUTS = 7
"""Channels that the network sees: the crop, the picture below, and the polygon."""
CHANNELS = 11
"""Of an example: what is seen (3), the polygon, the alpha, the overlay's premultiplied colour (3)
and the clean picture (3).
"""


def style_of(rng: random.Random, fonts: list[str], line: float) -> Caption:
    """A translucent caption about `line` pixels high."""
    text, font = random_text(rng), rng.choice(fonts)
    top, bottom = ImageFont.truetype(font, 100).getbbox(text)[1::2]
    size = max(7, round(100 * line * 0.72 / max(20, bottom - top)))
    mood = rng.random()
    grey = 255 if mood < 0.45 else 0 if mood < 0.6 else rng.randint(0, 255)
    colour = (grey,) * 3 if mood < 0.68 else tuple(rng.randint(0, 255) for _ in range(3))
    opacity = 1.0 if rng.random() < OPAQUE else rng.uniform(0.12, 0.88)
    shadow = max(1, round(line * rng.uniform(0.03, 0.08))) if rng.random() < 0.08 else 0
    outline = max(1, round(line * rng.uniform(0.02, 0.05))) if rng.random() < 0.06 else 0
    angle = 0.0 if rng.random() < 0.6 else rng.uniform(-40, 40) if rng.random() < 0.7 else rng.gauss(0, 6)
    x, y = rng.uniform(0.25, 0.75), rng.uniform(0.42, 0.58)
    return Caption(text, font, size, x, y, colour, opacity, outline, (0, 0, 0), shadow, angle)  # type: ignore[arg-type]


def clean_crop(rng: random.Random, pictures: list[str], width: int, height: int) -> np.ndarray:
    """A part of a picture, now and then grey, dark, or with more contrast."""
    with Image.open(rng.choice(pictures)) as file:
        picture = file.convert("RGB")
    fraction = rng.uniform(1.0, max(1.0, min(picture.width / width, picture.height / height, 4.0)))
    box_width, box_height = min(picture.width, round(width * fraction)), min(picture.height, round(height * fraction))
    left, top = rng.randint(0, picture.width - box_width), rng.randint(0, picture.height - box_height)
    box = (left, top, left + box_width, top + box_height)
    clean = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box))
    kind = rng.random()
    if kind < 0.1:
        return np.asarray(Image.fromarray(clean).convert("L").convert("RGB"))
    if kind < 0.2:
        return (clean * rng.uniform(0.2, 0.6)).astype(np.uint8)
    if kind < 0.35:
        middle = clean.mean()
        return np.clip((clean - middle) * rng.uniform(1.2, 2.2) + middle, 0, 255).astype(np.uint8)
    return clean


def sample(rng: random.Random, pictures: list[str], fonts: list[str]) -> np.ndarray:
    """One example, uint8 HEIGHT x WIDTH x CHANNELS."""
    zoom = math.exp(rng.uniform(math.log(0.35), math.log(1.8)))
    height, width = round(HEIGHT * zoom), round(WIDTH * zoom)
    clean = clean_crop(rng, pictures, width, height)
    style = style_of(rng, fonts, LINE_HEIGHT * zoom * rng.uniform(0.75, 1.2))
    captions = [style]
    if rng.random() < 0.4:
        steps = [(across, down) for across in (-1, 0, 1) for down in (-1, 0, 1) if across or down]
        pitch = rng.uniform(0.5, 1.1), rng.uniform(0.75, 1.4)
        captions += [Caption(**{**vars(style), "x": style.x + a * pitch[0], "y": style.y + d * pitch[1]}) for a, d in steps]
    if rng.random() < EMPTY:
        polygon, captions = polygon_of(draw(clean, style)[1], rng), []
    shown, colour, left = clean, np.zeros_like(clean), np.ones(clean.shape[:2], np.float32)
    for number, caption in enumerate(captions):
        shown, alpha = draw(shown, caption)
        colour, left = draw(colour, caption)[0], left * (1 - alpha)
        if number == 0:
            polygon = polygon_of(alpha / max(caption.opacity, 1e-3), rng)
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "JPEG", quality=rng.randint(70, 97))
        shown = np.asarray(Image.open(buffer))
    covered = np.rint(255 * (1 - left)).astype(np.uint8)
    planes = np.dstack([shown, polygon, covered, colour, clean])
    method = cv2.INTER_AREA if zoom > 1 else cv2.INTER_LINEAR
    resized = [
        cv2.resize(np.ascontiguousarray(planes[:, :, at : at + 4]), (WIDTH, HEIGHT), interpolation=method) for at in (0, 4)
    ]
    last = cv2.resize(np.ascontiguousarray(clean), (WIDTH, HEIGHT), interpolation=method)
    return np.dstack([*resized, last])


def draw_samples(job: SampleJob) -> np.ndarray:
    """The examples of one job, stacked."""
    cv2.setNumThreads(1)
    rng, examples = random.Random(f"overlays {job.seed}"), []
    while len(examples) < job.examples:
        try:
            examples.append(sample(rng, job.pictures, job.fonts))
        except (OSError, ValueError):
            continue
    return np.stack(examples)


def start_from(network: StrokeNet, path: Path) -> None:
    """Copy the weights of an exported stroke network, whose input lacks the picture below."""
    for (weight, bias), target in zip(stored_convolutions(path), network.convolutions(), strict=True):
        with torch.no_grad():
            if weight.shape == target.weight.shape:
                target.weight.copy_(weight)
            else:
                # The last inputs are RGB and the polygon: one channel each or, unshuffled, four.
                each = 4 if weight.shape[1] == 16 else 1
                before = weight.shape[1] - 4 * each
                wider = 0.3 * target.weight
                wider[:, : before + 3 * each] = weight[:, : before + 3 * each]
                wider[:, -each:] = weight[:, -each:]
                target.weight.copy_(wider)
            target.bias.copy_(bias)  # type: ignore[union-attr]


class Batch(NamedTuple):
    """Examples as the network sees them, batch x channels x height x width."""

    inputs: torch.Tensor
    coverage: torch.Tensor
    opacity: torch.Tensor
    colour: torch.Tensor
    clean: torch.Tensor


def batch_of(examples: np.ndarray, overlays: np.ndarray, rng: np.random.Generator) -> Batch:
    """A batch, flipped and recoloured by chance, with estimates of opacity and colour that err."""
    values = torch.from_numpy(examples).permute(0, 3, 1, 2).float() / 255
    seen, polygon, alpha, clean = values[:, :3], values[:, 3:4], values[:, 4:5], values[:, 8:]
    overlay = torch.from_numpy(overlays)[:, :, None, None]
    opacity, colour = overlay[:, :1], overlay[:, 1:]
    if rng.random() < 0.5:
        seen, polygon, alpha, clean = (plane.flip(3) for plane in (seen, polygon, alpha, clean))
    if rng.random() < 0.5:
        order = list(rng.permutation(3))
        seen, clean, colour = (plane[:, order] for plane in (seen, clean, colour))
    if rng.random() < 0.3:
        seen, clean, colour = 1 - seen, 1 - clean, 1 - colour
    count = len(examples)
    noise = rng.normal(0, 1, (count, 4)).astype(np.float32) * rng.choice([0.2, 1.0, 2.0], (count, 1)).astype(np.float32)
    errors = torch.from_numpy(noise)[:, :, None, None]
    guess = (opacity + OPACITY_ERROR * errors[:, :1]).clamp(0.06, 0.88)
    # Black and white are mostly told exactly.
    plain = ((colour - 0.5).abs() > 0.49).all(1, keepdim=True) & (errors[:, 1:2] < 0.5)
    guessed = torch.where(plain, colour, (colour + COLOUR_ERROR * errors[:, 1:]).clamp(0, 1))
    return Batch(inputs_of(seen, guess, guessed, polygon), (alpha / opacity).clamp(0, 1), opacity, colour, clean)


def inputs_of(seen: torch.Tensor, opacity: torch.Tensor, colour: torch.Tensor, polygon: torch.Tensor) -> torch.Tensor:
    """What the network sees: RGB in -1..1, the picture below in -2..2, and the polygon in 0..1."""
    below = (seen - opacity * colour) / (1 - opacity)
    return torch.cat([seen * 2 - 1, (below * 2 - 1).clamp(-2, 2), polygon], 1)


def loss_of(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The errors of the coverage, and of the picture below.

    Pixels under the overlay count more, since they are few.
    """
    covered = torch.sigmoid(logits)
    seen = (batch.inputs[:, :3] + 1) / 2
    alpha = batch.opacity * covered
    below = (seen - alpha * batch.colour) / (1 - alpha)
    weight = 1 + 5 * (batch.coverage > 0.02).float()
    weight = weight / weight.mean()
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, batch.coverage, weight)
    errors = (below - batch.clean).abs().mean(1, keepdim=True).clamp_max(0.5)
    overlap = (covered * batch.coverage).sum((1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (covered.square().sum((1, 2, 3)) + batch.coverage.square().sum((1, 2, 3)) + 1)
    return entropy + 2 * (weight * errors).mean() + 0.2 * dice.mean()


def overlay_of(example: np.ndarray) -> tuple[float, ...] | None:
    """Opacity and colour (0..1) of an example's overlay.

    None if it has none, or hides the picture.
    """
    alpha, premultiplied = example[:, :, 4].astype(np.float32) / 255, example[:, :, 5:8].astype(np.float32) / 255
    inside = (example[:, :, 3] > 0) & (alpha > 0.5 * alpha.max())
    if alpha.max() < 0.08 or inside.sum() < 30:
        return None
    opacity = float(np.percentile(alpha[inside], 75))
    plateau = inside & (np.abs(alpha - opacity) < 0.03)
    colour = np.median(premultiplied[plateau] / alpha[plateau][:, None], axis=0)
    return (opacity, *np.clip(colour, 0, 1).tolist()) if opacity <= MOST_OPACITY else None


def main() -> None:
    """Draw the examples, then train and export."""
    arguments = parse_options(__doc__, Path("build/coverage"), 18_000, 42, 24)
    pictures, fonts = make_small_copies(arguments.pictures, arguments.work / "pictures"), usable_fonts(arguments.fonts)
    print(f"{len(pictures)} pictures, {len(fonts)} typefaces", flush=True)
    file, overlays_file = arguments.work / "examples.npy", arguments.work / "overlays.npy"
    if not (arguments.resume and file.exists()):
        chunk = 250
        jobs = [SampleJob(seed, chunk, pictures, fonts) for seed in range(arguments.examples // chunk)]
        with ProcessPoolExecutor(arguments.processes) as pool:
            np.save(file, np.concatenate(list(pool.map(draw_samples, jobs))))
    examples = np.load(file, mmap_mode="r")
    if not (arguments.resume and overlays_file.exists()):
        found = [overlay_of(example) for example in examples]
        np.save(overlays_file, np.array([(np.nan,) * 4 if one is None else one for one in found], np.float32))
    overlays = np.load(overlays_file)
    print(f"{np.isfinite(overlays[:, 0]).sum()} of {len(examples)} examples have an overlay", flush=True)
    train(examples, overlays, arguments)


def train(examples: np.ndarray, overlays: np.ndarray, arguments: argparse.Namespace) -> None:
    """Train for `minutes`; write a checkpoint and the exported network every 100 steps."""
    torch.manual_seed(0)
    network = StrokeNet(inputs=INPUTS)
    if arguments.start:
        start_from(network, arguments.start)
    average = averaged(network, 0.998)
    optimiser = torch.optim.AdamW(network.parameters(), arguments.learning_rate, weight_decay=1e-4)
    checkpoint = Checkpoint(arguments.work / "checkpoint.pt", network, average, optimiser)
    step, spent = checkpoint.load() if arguments.resume else (0, 0.0)
    rng, start, running = np.random.default_rng(step), time.time(), 0.0
    usable = np.flatnonzero(np.isfinite(overlays[:, 0]))
    while (minutes := spent + (time.time() - start) / 60) < arguments.minutes:
        set_learning_rate(optimiser, arguments.learning_rate, step, 200, minutes / arguments.minutes)
        chosen = np.sort(rng.choice(usable, arguments.batch, replace=False))
        batch = batch_of(np.asarray(examples[chosen]), overlays[chosen], rng)
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(batch.inputs)
        loss = loss_of(logits.float(), batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        running = float(loss.detach()) if step == 0 else 0.98 * running + 0.02 * float(loss.detach())
        step += 1
        if step % 100 == 0:
            checkpoint.save(step, minutes)
            export(average.module, arguments.out / "coverage.onnx", INPUTS, "coverage")
            print(json.dumps({"step": step, "minutes": round(minutes, 1), "loss": round(running, 4)}), flush=True)


if __name__ == "__main__":
    main()
