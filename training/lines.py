"""Trains the line network, which says whether a straightened rectangle holds a line of text.

    python -m training.lines --pictures DIR [...] --icons DIR --fonts DIR [...] --out DIR

`lines_data.py` draws lines of text in many scripts and what looks like one but is not. Half of each
batch is text. Training takes half an hour on one core; `--resume` continues from the last
checkpoint. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from operators.models.threads import use_one_thread
from operators.rows.arrays import Pixels
from operators.vision.line_network import HEIGHT, WIDTH
from training.checkpoint import Checkpoint, averaged
from training.first_look import HELD_OUT, holds_text
from training.first_look_data import Materials, typefaces
from training.lines_data import (
    false_detections,
    icons_example,
    label_example,
    rectangle_example,
    shapes_example,
    text_example,
)
from training.schedule import set_learning_rate
from training.strokes import make_small_copies

TEXT = "text"
BATCH = {TEXT: 32, "false": 18, "drawn": 10, "rectangle": 8}
"""Examples of each kind in a batch."""
VALIDATION = 8
"""Every eighth example is for validation."""
LEARNING_RATE = 3e-3

Examples = dict[str, list[Pixels]]


class LineNet(nn.Module):
    """Eight convolutions, the mean and the maximum over the line, and two layers; about 0.24
    million weights.

    The input has 3 channels (RGB in -1..1) of HEIGHT x WIDTH pixels; the output is one logit.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 40, 64, 96)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in widths:
            for stride in (2, 1):
                convolution = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                inputs = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * inputs, 48), nn.ReLU(inplace=True), nn.Linear(48, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One logit for each line of a batch."""
        seen = self.features(x)
        result: torch.Tensor = self.head(torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1))[:, 0]
        return result


def draw_examples(options: argparse.Namespace) -> Examples:
    """The examples of each kind."""
    use_one_thread()
    copies = make_small_copies(options.pictures, options.work / "copies")
    copies = [file for number, file in enumerate(c for c in copies if not holds_text(c)) if number % HELD_OUT]
    icons = sorted(str(file) for file in options.icons.rglob("*.png"))
    materials, rng = Materials(copies, icons, typefaces(options.fonts)), random.Random(0)

    def many(draw: Callable[[random.Random, Materials], Pixels | None], count: int) -> list[Pixels]:
        examples: list[Pixels] = []
        while len(examples) < count:
            try:
                example = draw(rng, materials)
            except (OSError, ValueError, Image.DecompressionBombError):  # A typeface lacks a size, or a file is broken.
                continue
            examples += [] if example is None else [example]
        return examples

    count = options.examples
    drawn = [*many(shapes_example, count // 4), *many(icons_example, count // 4)]
    mined = list(false_detections([Path(file) for file in (*copies, *icons[::10])], rng))
    text = [*many(text_example, count // 2), *many(label_example, count // 2)]
    kinds = {TEXT: text, "rectangle": many(rectangle_example, count // 4), "drawn": drawn, "false": mined}
    print({kind: len(examples) for kind, examples in kinds.items()}, flush=True)
    return kinds


def window(line: Pixels, rng: np.random.Generator | None = None) -> Pixels:
    """WIDTH pixels of a line, its middle or by chance; a short line is filled up."""
    spare = line.shape[1] - WIDTH
    start = abs(spare) // 2 if rng is None else int(rng.integers(0, abs(spare) + 1))
    if spare >= 0:
        return line[:, start : start + WIDTH]
    filled: Pixels = cv2.copyMakeBorder(line, 0, 0, start, -spare - start, cv2.BORDER_REPLICATE)
    return filled


def at_height(line: Pixels, stretch: float = 1.0) -> Pixels:
    """A line scaled to HEIGHT, and made longer by a factor."""
    width = max(6, round(line.shape[1] * HEIGHT / line.shape[0] * stretch))
    scaled: Pixels = cv2.resize(np.ascontiguousarray(line), (width, HEIGHT), interpolation=cv2.INTER_AREA)
    return scaled


def augmented(line: Pixels, rng: np.random.Generator) -> np.ndarray:
    """A line as the network sees it: turned, stretched, blurred and in other colours by chance."""
    if line.shape[1] < 2.2 * HEIGHT and rng.random() < 0.4:
        line = at_height(np.rot90(line, rng.integers(0, 4)))
    if rng.random() < 0.3:
        line = line[::-1, ::-1]
    if rng.random() < 0.3:
        line = at_height(line, rng.uniform(0.85, 1.2))
    if rng.random() < 0.3:
        factor = rng.uniform(0.35, 0.9)
        small = cv2.resize(np.ascontiguousarray(line), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        line = cv2.resize(small, (line.shape[1], HEIGHT))
    seen = window(np.ascontiguousarray(line), rng).astype(np.float32) / 127.5 - 1
    if rng.random() < 0.5:
        seen = seen[:, :, rng.permutation(3)]
    if rng.random() < 0.3:
        seen = -seen
    if rng.random() < 0.5:
        seen = seen * rng.uniform(0.4, 1.1) + rng.uniform(-0.3, 0.3)
    if rng.random() < 0.3:
        seen = seen + rng.normal(0, rng.uniform(0, 0.08), seen.shape)
    return seen.transpose(2, 0, 1).astype(np.float32)


def validate(network: nn.Module, kinds: Examples) -> dict[str, float]:
    """Recall of text and share of the others taken for text, both at a logit of 0."""
    figures = {}
    with torch.no_grad():
        for kind, lines in kinds.items():
            parts = np.stack([window(line).transpose(2, 0, 1) for line in lines]).astype(np.float32) / 127.5 - 1
            logits = torch.cat([network(torch.from_numpy(parts[start : start + 64])) for start in range(0, len(parts), 64)])
            figures[kind] = round(float((logits > 0).float().mean()), 4)
    return figures


def train(kinds: Examples, options: argparse.Namespace) -> None:
    """Train for `minutes`; write a checkpoint and the exported network every 300 steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scaled = {kind: [at_height(line) for line in lines] for kind, lines in kinds.items()}
    held = {kind: lines[::VALIDATION] for kind, lines in scaled.items()}
    used = {kind: [line for number, line in enumerate(lines) if number % VALIDATION] for kind, lines in scaled.items()}
    network = LineNet()
    average = averaged(network, 0.998)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    checkpoint = Checkpoint(options.work / "checkpoint.pt", network, average, optimiser)
    step, spent = checkpoint.load() if options.resume else (0, 0.0)
    rng, start = np.random.default_rng(step), time.time()
    truth = torch.tensor([float(kind == TEXT) for kind, count in BATCH.items() for _ in range(count)])
    while (minutes := spent + (time.time() - start) / 60) < options.minutes:
        set_learning_rate(optimiser, LEARNING_RATE, step, 100, minutes / options.minutes)
        chosen = [used[kind][rng.integers(len(used[kind]))] for kind, count in BATCH.items() for _ in range(count)]
        x = torch.from_numpy(np.stack([augmented(line, rng) for line in chosen]))
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x.contiguous(memory_format=torch.channels_last))
        loss = functional.binary_cross_entropy_with_logits(logits.float(), truth)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update_parameters(network)
        step += 1
        if step % 300 == 0:
            checkpoint.save(step, minutes)
            average.eval()
            export(average.module, options.out / "lines.onnx")
            line = {"step": step, "minutes": round(minutes, 1), "loss": round(float(loss.detach()), 4)}
            print(json.dumps({**line, **validate(average, held)}), flush=True)


def export(network: nn.Module, path: Path) -> None:
    """Write the network: input `line` (1 x 3 x HEIGHT x WIDTH), output `logit` (1)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    example = (torch.zeros(1, 3, HEIGHT, WIDTH),)
    names = {"input_names": ["line"], "output_names": ["logit"]}
    torch.onnx.export(network.eval(), example, str(path), opset_version=17, dynamo=False, **names)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the examples, then train and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--icons", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("build/lines"))
    parser.add_argument("--examples", type=int, default=16_000, help="texts; half as many shapes and icons are drawn")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    cache = options.work / "examples.pickle"
    if not (options.resume and cache.exists()):
        cache.write_bytes(pickle.dumps(draw_examples(options)))
    train(pickle.loads(cache.read_bytes()), options)


if __name__ == "__main__":
    main()
