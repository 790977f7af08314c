"""Trains the first look, which says where in a picture text or a mark may be.

    python -m training.first_look --pictures DIR [...] --logos DIR --fonts DIR [...] --out DIR

Lines of text in many scripts and styles, and translucent logos, are drawn on parts of pictures
(`first_look_data.py`), so the truth is known. A small network sees the picture and predicts for
each cell of CELL x CELL pixels whether it holds text or a mark, how high the letters are, and how
the line is turned. Examples are drawn first and kept in `--work`; `--resume` continues from the
last checkpoint, and `--start FILE` from an exported network. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx.numpy_helper
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from operators.models.threads import use_one_thread
from operators.vision.text_detector import Scale, text_detector
from training.checkpoint import Checkpoint, averaged
from training.first_look_data import CELL, SIDE, Materials, example, typefaces
from training.schedule import set_learning_rate
from training.strokes import make_small_copies

HELD_OUT = 5
"""Every fifth picture is left out of training; the benchmark of `find` draws its text on those."""
BLOCK = 4
"""Side in pixels of the blocks that the network sees."""
CHUNK = 250
"""Examples that one job draws."""
SLANTED = 5.0
"""How much more the angle of a line counts that is turned by 45 degrees, than of an upright one."""
SURE = 0.7
"""A picture in which the detector finds text with at least this score is not used."""


class FirstLook(nn.Module):
    """A feature pyramid on 4 x 4 pixel blocks.

    The input has 3 channels (RGB in -1..1) and sides that are multiples of 32. The output has 5
    channels for each cell: the logits of text and mark, the letters' height (logarithm to base 2
    of its pixels divided by 16), and the cosine and sine of twice the line's angle.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 96, 128), lateral: int = 48) -> None:
        super().__init__()
        quarter, eighth, sixteenth, last = widths

        def block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
            convolution = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

        self.quarter = nn.Sequential(nn.PixelUnshuffle(BLOCK), block(48, quarter), block(quarter, quarter))
        self.eighth = nn.Sequential(block(quarter, eighth, 2), block(eighth, eighth))
        self.sixteenth = nn.Sequential(block(eighth, sixteenth, 2), block(sixteenth, sixteenth))
        wide = (block(last, last, 1, dilation) for dilation in (1, 2, 3))
        self.last = nn.Sequential(block(sixteenth, last, 2), *wide)
        self.lateral = nn.ModuleList(nn.Conv2d(width, lateral, 1) for width in (eighth, sixteenth, last))
        self.merged = nn.ModuleList([block(lateral, lateral), block(lateral, lateral)])
        self.head = nn.Sequential(block(lateral, 32), nn.Conv2d(32, 5, 1))
        self.wider = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What each cell holds, batch x 5 x height / CELL x width / CELL."""
        eighth = self.eighth(self.quarter(x))
        sixteenth = self.sixteenth(eighth)
        last = self.last(sixteenth)
        fine, middle, coarse = (lateral(level) for lateral, level in zip(self.lateral, (eighth, sixteenth, last), strict=True))
        middle = self.merged[0](middle + self.wider(coarse))
        result: torch.Tensor = self.head(self.merged[1](fine + self.wider(middle)))
        return result


def seen_in_pixels(network: FirstLook) -> FirstLook:
    """The same network, whose first convolution sees pixels instead of blocks of BLOCK x BLOCK.

    It returns the same values. To put pixels into blocks takes a quarter of the network's time.
    """
    result = copy.deepcopy(network)
    _, (convolution, *rest), second = result.quarter
    of_pixels = nn.Conv2d(3, convolution.out_channels, 3 * BLOCK, BLOCK, BLOCK, bias=False)
    of_pixels.weight.data.copy_(of_blocks_to_pixels(convolution.weight.data))
    result.quarter = nn.Sequential(nn.Sequential(of_pixels, *rest), second)
    return result


def of_blocks_to_pixels(weight: torch.Tensor) -> torch.Tensor:
    """Weights for pixels, outputs x 3 x 12 x 12, from those for blocks, outputs x 48 x 3 x 3."""
    parted = weight.unflatten(1, (3, BLOCK, BLOCK)).permute(0, 1, 4, 2, 5, 3)
    return parted.flatten(4, 5).flatten(2, 3)


def of_pixels_to_blocks(weight: torch.Tensor) -> torch.Tensor:
    """Weights for blocks from those for pixels."""
    parted = weight.unflatten(3, (3, BLOCK)).unflatten(2, (3, BLOCK)).permute(0, 1, 3, 5, 2, 4)
    return parted.flatten(1, 3)


class WithProbabilities(nn.Module):
    """A network whose first two outputs are probabilities instead of logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The network's output, with text and mark in 0..1."""
        output = self.network(x)
        return torch.cat([torch.sigmoid(output[:, :2]), output[:, 2:]], 1)


def focal(logits: torch.Tensor, truth: torch.Tensor, sure: torch.Tensor) -> torch.Tensor:
    """Focal cross entropy (Lin et al. 2017, gamma 1.5) plus Dice over the cells that are sure."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    probability = torch.sigmoid(logits)
    wrong = torch.where(truth > 0, 1 - probability, probability)
    weighted = (wrong**1.5 * entropy * sure).sum() / sure.sum().clamp(min=1) * 4
    overlap = (probability * truth * sure).sum((1, 2))
    total = ((probability + truth) * sure).sum((1, 2))
    return weighted + 0.3 * (1 - (2 * overlap + 1) / (total + 1)).mean()


def loss_of(output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The loss of a batch; the planes of `truth` are those of `Example.truth`."""
    text, sure, mark, sure_mark, height, cosine, sine, counts = truth.unbind(1)
    high, turned = (counts >= 1).float(), (counts >= 2).float()
    errors = functional.smooth_l1_loss(output[:, 2], height, reduction="none", beta=0.2)
    height_error = (errors * high).sum() / high.sum().clamp(min=1)
    # Most lines are upright. The mean absolute error would be least for a sine that is always 0.
    turned = turned * (1 + SLANTED * sine**2)
    turns = (output[:, 3] - cosine) ** 2 + (output[:, 4] - sine) ** 2
    angle_error = (turns * turned).sum() / turned.sum().clamp(min=1)
    return focal(output[:, 0], text, sure) + 0.5 * focal(output[:, 1], mark, sure_mark) + 0.3 * height_error + 0.4 * angle_error


def start_from(network: nn.Module, path: Path, pictures: np.ndarray) -> None:
    """Give a network the weights of an exported one.

    The export holds each convolution together with its batch normalisation. They are parted again
    by what the convolutions return for some pictures (uint8, batch x SIDE x SIDE x 3).
    """
    graph = onnx.load(str(path)).graph
    values = {value.name: torch.from_numpy(onnx.numpy_helper.to_array(value).copy()) for value in graph.initializer}
    exported = iter([[values[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"])
    offsets: dict[nn.Module, torch.Tensor] = {}
    layers = list(network.modules())
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            weight, offset = next(exported)
            layer.weight.data.copy_(weight if offsets else of_pixels_to_blocks(weight))
            if layer.bias is None:
                offsets[layers[number + 1]] = offset
            else:
                layer.bias.data.copy_(offset)

    def part(norm: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        norm.running_mean, norm.running_var = mean, variance
        norm.weight.data.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.data.copy_(mean + offsets[norm])

    hooks = [norm.register_forward_pre_hook(part) for norm in offsets]
    network.eval()
    with torch.no_grad():
        network(torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1)
    for hook in hooks:
        hook.remove()


class Job(NamedTuple):
    """Examples to draw: the number of the job, and what they are made of."""

    number: int
    materials: Materials


def draw_examples(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """The examples of one job, stacked: the pictures and their truth."""
    cv2.setNumThreads(1)
    rng, examples = random.Random(job.number), []
    while len(examples) < CHUNK:
        try:
            examples.append(example(rng, job.materials))
        except (OSError, ValueError, Image.DecompressionBombError):  # A typeface lacks a size, or a file is broken.
            continue
    return np.stack([one.picture for one in examples]), np.stack([one.truth for one in examples])


def holds_text(file: str) -> bool:
    """Whether the detector is sure of a text in a picture, which would be an example of no text."""
    use_one_thread()
    with Image.open(file) as picture:
        rgb = np.asarray(picture.convert("RGB"))
    height, width = rgb.shape[:2]
    _, scores = text_detector().polygons(text_detector().probability(rgb, Scale().factor(width, height)), width, height)
    return max(scores, default=0.0) > SURE


def augmented(pictures: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch as the network sees it, mirrored and with other colours by chance."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    y = torch.from_numpy(truth).float()
    if rng.random() < 0.5:
        x, y = x.flip(3), y.flip(3)
        y[:, 6] = -y[:, 6]
    if rng.random() < 0.5:
        x, y = x.flip(2), y.flip(2)
        y[:, 6] = -y[:, 6]
    if rng.random() < 0.5:
        x = x[:, [2, 0, 1]]
    if rng.random() < 0.3:
        x = -x
    if rng.random() < 0.5:
        x = x * rng.uniform(0.5, 1.0) + rng.uniform(-0.3, 0.3)
    return x + torch.randn_like(x) * (rng.random() < 0.2) * rng.uniform(0, 0.05), y


def export(network: FirstLook, path: Path) -> None:
    """Write the network: input `picture` (1 x 3 x height x width), output `cells` (1 x 5 x height /
    CELL x width / CELL), with text and mark as probabilities.
    """

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        WithProbabilities(seen_in_pixels(network)).eval(),
        (torch.zeros(1, 3, SIDE, SIDE),),
        str(path),
        input_names=["picture"],
        output_names=["cells"],
        dynamic_axes={"picture": {2: "height", 3: "width"}, "cells": {2: "rows", 3: "columns"}},
        opset_version=17,
        dynamo=False,
    )


def validate(network: nn.Module, pictures: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Loss, recall and precision of text cells at 0.3, and the mean errors of height in octaves and
    of the line's angle in degrees.
    """
    network.eval()
    losses, hits, found, true, heights, counted, angles, turned = [], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    with torch.no_grad():
        for start in range(0, len(pictures), 16):
            x = torch.from_numpy(np.asarray(pictures[start : start + 16])).permute(0, 3, 1, 2).float() / 127.5 - 1
            y = torch.from_numpy(np.asarray(truth[start : start + 16])).float()
            output = network(x)
            losses.append(float(loss_of(output, y)))
            seen = (torch.sigmoid(output[:, 0]) > 0.3).float() * y[:, 1]
            hits, found = hits + float((seen * y[:, 0]).sum()), found + float(seen.sum())
            true += float((y[:, 0] * y[:, 1]).sum())
            high = (y[:, 7] >= 1).float()
            heights, counted = heights + float(((output[:, 2] - y[:, 4]).abs() * high).sum()), counted + float(high.sum())
            between = torch.atan2(output[:, 4], output[:, 3]) - torch.atan2(y[:, 6], y[:, 5])
            error = torch.atan2(torch.sin(between), torch.cos(between)).abs() / 2
            straight = (y[:, 7] >= 2).float()
            angles, turned = angles + float((error * straight).sum()), turned + float(straight.sum())
    return {
        "loss": round(float(np.mean(losses)), 4),
        "recall": round(hits / max(1, true), 4),
        "precision": round(hits / max(1, found), 4),
        "height": round(heights / max(1, counted), 4),
        "angle": round(math.degrees(angles / max(1, turned)), 2),
    }


def main() -> None:
    """Draw the examples, then train and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--logos", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/first-look"))
    parser.add_argument("--examples", type=int, default=16_000)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--start", type=Path, help="exported network with whose weights training starts")
    parser.add_argument("--draw-only", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    files = [arguments.work / f"{name}.npy" for name in ("pictures", "truth")]
    if not (arguments.resume and all(file.exists() for file in files)):
        copies = make_small_copies(arguments.pictures, arguments.work / "copies")
        with ProcessPoolExecutor(arguments.processes) as pool:
            texts = list(pool.map(holds_text, copies, chunksize=8))
        copies = [file for file, has_text in zip(copies, texts, strict=True) if not has_text]
        (arguments.work / "pictures.txt").write_text("\n".join(copies))
        trained = [file for number, file in enumerate(copies) if number % HELD_OUT]
        logos = sorted(str(file) for file in arguments.logos.rglob("*.png"))
        fonts = typefaces(arguments.fonts)
        print(
            len(trained), "pictures", len(logos), "logos", {script: len(found) for script, found in fonts.items()}, flush=True
        )
        materials = Materials(trained, logos, fonts)
        count = arguments.examples // CHUNK * CHUNK
        pictures = np.lib.format.open_memmap(str(files[0]), "w+", np.uint8, (count, SIDE, SIDE, 3))
        truth = np.lib.format.open_memmap(str(files[1]), "w+", np.float16, (count, 8, SIDE // CELL, SIDE // CELL))
        with ProcessPoolExecutor(arguments.processes) as pool:
            jobs = [Job(number, materials) for number in range(count // CHUNK)]
            for number, (drawn, known) in enumerate(pool.map(draw_examples, jobs)):
                pictures[number * CHUNK : (number + 1) * CHUNK], truth[number * CHUNK : (number + 1) * CHUNK] = drawn, known
                print(f"{(number + 1) * CHUNK} examples", flush=True)
    if not arguments.draw_only:
        train(*(np.load(file, mmap_mode="r") for file in files), arguments)


def train(pictures: np.ndarray, truth: np.ndarray, arguments: argparse.Namespace) -> None:
    """Train for `minutes`; write a checkpoint and the exported network every 200 steps.

    The last CHUNK examples are for validation.
    """
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    network = FirstLook()
    if arguments.start:
        start_from(network, arguments.start, np.asarray(pictures[:64]))
    network = network.to(memory_format=torch.channels_last)
    average = averaged(network, 0.995)
    optimiser = torch.optim.AdamW(network.parameters(), arguments.learning_rate, weight_decay=1e-3)
    checkpoint = Checkpoint(arguments.work / "checkpoint.pt", network, average, optimiser)
    step, spent = checkpoint.load() if arguments.resume else (0, 0.0)
    rng, start, running = np.random.default_rng(step), time.time(), 0.0
    curve = arguments.work / "curve.jsonl"
    while (minutes := spent + (time.time() - start) / 60) < arguments.minutes:
        set_learning_rate(optimiser, arguments.learning_rate, step, 200, minutes / arguments.minutes)
        chosen = np.sort(rng.integers(0, len(pictures) - CHUNK, arguments.batch))
        x, y = augmented(np.asarray(pictures[chosen]), np.asarray(truth[chosen]), rng)
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            output = network(x.contiguous(memory_format=torch.channels_last))
        loss = loss_of(output.float(), y)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average.update_parameters(network)
        running = float(loss.detach()) if step == 0 else 0.98 * running + 0.02 * float(loss.detach())
        step += 1
        if step % 200 == 0:
            checkpoint.save(step, minutes)
            export(average.module, arguments.out / "first_look.onnx")
            figures = validate(average.module, pictures[-CHUNK:], truth[-CHUNK:]) if step % 1000 == 0 else {}
            line = json.dumps({"step": step, "minutes": round(minutes, 1), "training": round(running, 4), **figures})
            print(line, flush=True)
            with curve.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
