"""Trains the generator of drawn pictures, which chooses a colour for each hidden pixel.

    python -m training.drawn_data --fonts build/diffusion/fonts --out build/drawn/data
    python -m training.drawn --data build/drawn/data --work build/drawn --minutes 33
    python -m training.drawn --data build/drawn/data --work build/drawn --compare

The first command prepares examples, the second trains both networks and exports them to WORK/model,
and the third compares the ways to decide the pixels of the held-out examples: all at once, in a few
passes with the surest first (Chang et al., MaskGIT, 2022), and group by group with the second
network, either from the border inwards or with the surest first.

In the loss, a candidate counts for the truth as far as its colour is near it. The first network is
trained with a random part of the hole decided already, in half of the examples. The second network
learns from the first one's choices of the neighbours, not only from true ones: otherwise it would
trust them too much. Pixels where the smooth fill is wrong count three times, because thin lines are
few pixels. Training writes a checkpoint and adds a line to WORK/curve.jsonl every few minutes;
`--resume` goes on from the checkpoint. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as f

from operators.generators.pixel_diffusion import hints, visible
from operators.masks.mask import hole_of
from operators.metrics.perceptual import perceptual_distance
from operators.metrics.quality import psnr
from operators.rows.arrays import Pixels
from training.checkpoint import Checkpoint, averaged
from training.diffusion import Examples
from training.drawn_candidates import COUNT, NEAR, SMOOTH, candidates, network_input
from training.drawn_data import CHANNELS as PARTS
from training.drawn_data import PICTURES
from training.drawn_generator import GROUPS, NEIGHBOURS, order_of
from training.drawn_network import Chooser, export
from training.schedule import set_learning_rate

SIDE = 96
"""Side of the view of an example that the network sees."""
BATCH = 8
RATE = 2e-3
HEAD_PIXELS = 2000
"""Pixels of a batch from which the second network learns."""
WHOLE = 0.5
"""Share of the examples in which nothing of the hole is decided yet."""
LUCKY = 0.3
"""Share of the examples whose neighbours are the true ones for the second network."""
MISSED = 2.0
"""How much more a pixel counts where the smooth fill is wrong."""
UNLIKE = 0.15
"""Agreement with the truth below which the smooth fill counts as wrong."""
WRONG = 12
"""Grey levels in any channel from which a pixel of a fill counts as wrong."""
EXAMPLES = 8
"""Held-out examples that are filled at a time."""
Fill = Callable[["Batch"], torch.Tensor]


def alike(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """How alike colours in grey levels are, as `drawn_candidates.agreement_of`."""
    return (1 + (first - second).square().mean(-1) / float(NEAR) ** 2) ** -1.5


class Batch:
    """Examples as tensors: pictures as crops x height x width x 3, and lists of the hole's
    pixels.
    """

    def __init__(self, examples: Pixels) -> None:
        parts = {name: np.ascontiguousarray(examples[..., part]) for name, part in PARTS.items()}
        clean, shown, copied, smooth, mask = parts.values()
        hole = np.stack([hole_of(one) > 0 for one in mask])
        seen = np.stack([visible(*one) for one in zip(shown, smooth, mask, strict=True)])
        found = candidates(shown, hole, smooth, copied, seen)
        pairs = zip(seen / np.float32(127.5) - 1, mask[..., 2:] / np.float32(255), strict=True)
        marks = np.stack([hints(*pair) for pair in pairs])
        inputs = torch.from_numpy(network_input(shown, smooth, mask, marks, hole, found)).permute(0, 3, 1, 2)
        self.inputs = inputs.contiguous(memory_format=torch.channels_last)
        self.hole, self.colours = torch.from_numpy(hole), torch.from_numpy(found.colours).float()
        self.clean, self.smooth = torch.from_numpy(clean).float(), torch.from_numpy(smooth).float()
        self.nearness = alike(self.colours, self.clean[self.hole][:, None])
        self.best = self.painted(self.clean, self.nearness.argmax(1))

    def painted(self, pictures: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """The pictures with the chosen candidates in their holes."""
        result = pictures.clone()
        result[self.hole] = self.colours[torch.arange(len(chosen)), chosen]
        return result

    def look(self, chooser: Chooser, hidden: torch.Tensor, decided: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first network's logits and features of the hole's pixels; those of the hole that are
        not `hidden` are decided as in the pictures `decided`.
        """
        told = (self.hole & ~hidden)[..., None].float()
        extra = torch.cat([(decided - self.smooth) / 64 * told, told], 3).permute(0, 3, 1, 2)
        packed = torch.cat([self.inputs, extra], 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=chooser.training):
            answer = chooser.network(packed)
        values = answer.float().permute(0, 2, 3, 1)[self.hole]
        return values[:, :COUNT], values[:, COUNT:]

    def around(
        self, decided: torch.Tensor, order: torch.Tensor, where: torch.Tensor, chosen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """How each candidate of the pixels `where` agrees with the neighbours that come earlier in
        `order`, and which ones do. `chosen` selects the same pixels in the lists.
        """
        earlier = _neighbours(order[..., None] + 1)[where][..., 0]
        earlier = ((earlier > 0) & (earlier <= order[where][:, None])).float()
        near = _neighbours(decided)[where]
        return alike(self.colours[chosen][:, :, None], near[:, None]) * earlier[:, None], earlier


def _neighbours(values: torch.Tensor) -> torch.Tensor:
    """Crops x height x width x c with the values of all NEIGHBOURS before the last axis."""
    height, width = values.shape[1:3]
    padded = f.pad(values, (0, 0, 2, 2, 2, 2))
    return torch.stack([padded[:, 2 + y : 2 + y + height, 2 + x : 2 + x + width] for y, x in NEIGHBOURS], 3)


def views(examples: Pixels, rng: np.random.Generator) -> Pixels:
    """A SIDE x SIDE view of each example around a random pixel of its hole; the whole batch
    flipped, rotated, and with colours swapped or inverted.
    """
    parts = []
    for example in examples:
        rows, columns = np.nonzero(hole_of(example[..., PARTS["mask"]]))
        chosen = rng.integers(len(rows))
        y, x = (int(np.clip(c - rng.integers(SIDE), 0, len(example) - SIDE)) for c in (rows[chosen], columns[chosen]))
        parts.append(example[y : y + SIDE, x : x + SIDE])
    batch = np.stack(parts)[:, :, :: 1 if rng.random() < 0.5 else -1]
    batch = np.rot90(batch, rng.integers(4), axes=(1, 2))
    pictures = batch[..., :PICTURES].reshape(*batch.shape[:3], -1, 3)[..., rng.permutation(3)]
    pictures = pictures.reshape(*batch.shape[:3], PICTURES)
    return np.concatenate([255 - pictures if rng.random() < 0.3 else pictures, batch[..., PICTURES:]], axis=3)


def random_order(hole: torch.Tensor, rng: np.random.Generator, groups: int) -> torch.Tensor:
    """The group (1 to `groups`) in which each pixel of a hole is decided: from the border inwards,
    at random, or by regions; 0 outside the hole.
    """
    orders = []
    for plane in hole.numpy():
        kind = rng.random()
        depth, noise = cv2.distanceTransform(plane.astype(np.uint8), cv2.DIST_C, 3), rng.random(plane.shape, np.float32)
        value = depth + noise * (0.01 if kind < 0.4 else 2)
        if kind >= 0.6:
            coarse = cv2.resize(rng.random((12, 12), np.float32), plane.shape[::-1])
            value = noise if kind < 0.8 else coarse
        order = np.zeros(plane.shape, np.float32)
        order[plane] = 1 + np.floor(np.argsort(np.argsort(value[plane])) * groups / max(1, plane.sum()))
        orders.append(order)
    return torch.from_numpy(np.stack(orders))


def mean_loss(logits: torch.Tensor, nearness: torch.Tensor) -> torch.Tensor:
    """The negative logarithm of the probability near the truth."""
    weight = 1 + MISSED * (nearness[:, SMOOTH] < UNLIKE).float()
    loss = -torch.logsumexp(f.log_softmax(logits, 1) + torch.log(nearness + 1e-9), 1)
    return (loss * weight).sum() / weight.sum()


def loss_of(chooser: Chooser, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
    """The loss of both networks."""
    count = len(batch.hole)
    shares = np.where(rng.random(count) < WHOLE, 1.0, np.cos(rng.random(count) * np.pi / 2)).astype(np.float32)
    hidden = batch.hole & (random_order(batch.hole, rng, 100) > 100 * (1 - torch.from_numpy(shares)[:, None, None]))
    logits, features = batch.look(chooser, hidden, batch.best)
    listed = hidden[batch.hole]
    first = mean_loss(logits[listed], batch.nearness[listed])
    order = random_order(batch.hole, rng, GROUPS) * hidden
    kept = listed & torch.from_numpy(rng.random(len(listed)) < HEAD_PIXELS / max(HEAD_PIXELS, int(listed.sum())))
    own = batch.painted(batch.best, logits.detach().argmax(1))
    lucky = ~hidden | torch.from_numpy(rng.random(count) < LUCKY)[:, None, None]
    where = torch.zeros_like(batch.hole)
    where[batch.hole] = kept
    around = batch.around(torch.where(lucky[..., None], batch.best, own), order, where, kept)
    better = chooser.head(logits[kept].detach(), features[kept], *around)
    return first + 0.5 * mean_loss(better, batch.nearness[kept])


def likeliest(logits: torch.Tensor, colours: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `drawn_generator.likeliest`: the chosen candidates, and how sure they are."""
    parts = zip(logits.softmax(1).split(2048), colours.split(2048), strict=True)
    best = [(alike(c[:, :, None], c[:, None]) * p[:, None]).sum(2).max(1) for p, c in parts]
    return torch.cat([one.indices for one in best]), torch.cat([one.values for one in best])


@torch.inference_mode()
def fill_in_passes(chooser: Chooser, batch: Batch, passes: int) -> torch.Tensor:
    """Fill by the first network alone; each pass decides the surest pixels and sees those before
    it.
    """
    pictures, hidden, total = batch.clean, batch.hole.clone(), batch.hole.sum((1, 2))
    for number in range(1, passes + 1):
        logits, _ = batch.look(chooser, hidden, pictures)
        chosen, sure = likeliest(logits, batch.colours)
        certainty = torch.full(batch.hole.shape, -1.0)
        certainty[batch.hole] = sure
        certainty[~hidden] = -1
        now = torch.zeros_like(hidden)
        for crop, plane in enumerate(certainty):
            left = 0 if number == passes else int(total[crop] * np.cos(number / passes * np.pi / 2))
            now[crop].view(-1)[plane.flatten().topk(int(hidden[crop].sum()) - left).indices] = True
        now &= hidden
        pictures = torch.where(now[..., None], batch.painted(pictures, chosen), pictures)
        hidden &= ~now
    return pictures


@torch.inference_mode()
def fill_in_groups(chooser: Chooser, batch: Batch, surest_first: bool = False) -> torch.Tensor:
    """Fill by both networks, from the border inwards or with the surest pixels first."""
    logits, features = batch.look(chooser, batch.hole, batch.clean)
    _, sure = likeliest(logits, batch.colours)
    pictures, order = batch.clean.clone(), torch.zeros(batch.hole.shape)
    if surest_first:
        certainty = torch.zeros(batch.hole.shape)
        certainty[batch.hole] = sure
        for crop, hole in enumerate(batch.hole):
            ranks = certainty[crop][hole].argsort(descending=True, stable=True).argsort(stable=True)
            order[crop][hole] = 1 + (ranks * GROUPS // max(1, len(ranks))).float()
    else:
        order = torch.from_numpy(np.stack([order_of(hole) for hole in batch.hole.numpy()])).float()
    ranks = order[batch.hole]
    for group in range(1, GROUPS + 1):
        members, where = ranks == group, order == group
        around = batch.around(pictures, order, where, members)
        better = chooser.head(logits[members], features[members], *around)
        indices, _ = likeliest(better, batch.colours[members])
        pictures[where] = batch.colours[members][torch.arange(len(indices)), indices]
    return pictures


def ways_of(chooser: Chooser) -> dict[str, Fill]:
    """The ways to decide pixels, by name."""
    passes = {f"{n} passes": (lambda batch, n=n: fill_in_passes(chooser, batch, n)) for n in (1, 2, 4, 8)}
    return {
        **passes,
        "groups inwards": lambda batch: fill_in_groups(chooser, batch),
        "groups, surest first": lambda batch: fill_in_groups(chooser, batch, surest_first=True),
    }


def judge(fills: Pixels, examples: Pixels) -> dict[str, float]:
    """Mean perceptual distance and PSNR of fills, and the share of the holes' pixels that are
    wrong.
    """
    clean = np.ascontiguousarray(examples[..., PARTS["clean"]])
    hole = np.stack([hole_of(example[..., PARTS["mask"]]) > 0 for example in examples])
    filled = np.where(hole[..., None], fills, clean)
    distance = np.mean([perceptual_distance().distance(*pair) for pair in zip(filled, clean, strict=True)])
    noise = np.mean([min(60.0, psnr(*pair)) for pair in zip(filled, clean, strict=True)])
    wrong = (np.abs(filled.astype(int) - clean).max(axis=3) > WRONG)[hole].mean()
    return {"distance": round(float(distance), 5), "psnr": round(float(noise), 3), "wrong": round(float(wrong), 4)}


def validate(chooser: Chooser, examples: Pixels, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """The figures of held-out examples, by way."""
    chooser.eval()
    ways, batches = ways_of(chooser), [Batch(part) for part in np.array_split(examples, max(1, len(examples) // EXAMPLES))]
    fills = {name: np.concatenate([ways[name](batch).round().byte().numpy() for batch in batches]) for name in names}
    return {name: judge(fill, examples) for name, fill in fills.items()}


def train(options: argparse.Namespace) -> None:
    """Train for `minutes`; write the checkpoint, the curve and the exported model."""
    torch.manual_seed(0)
    held = held_out(options.data)[: options.held]
    chooser = Chooser()
    average = averaged(chooser, 0.998)
    optimiser = torch.optim.AdamW(chooser.parameters(), RATE, weight_decay=1e-3)
    checkpoint = Checkpoint(options.work / "checkpoint.pt", chooser, average, optimiser)
    step, spent = checkpoint.load() if options.resume else (0, 0.0)
    examples, start, shown = Examples(options.data), time.time(), spent
    examples.refresh()
    with (options.work / "curve.jsonl").open("a") as curve:
        while (minutes := spent + (time.time() - start) / 60) < options.minutes:
            if step % 100 == 0:
                examples.refresh()
            rng = np.random.default_rng(step)
            set_learning_rate(optimiser, RATE, step, 100, minutes / options.minutes)
            chooser.train()
            loss = loss_of(chooser, Batch(views(examples.batch(BATCH, rng), rng)), rng)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(chooser.parameters(), 1.0)
            optimiser.step()
            average.update_parameters(chooser)
            step += 1
            if minutes - shown > options.every:
                shown = minutes
                checkpoint.save(step, minutes)
                figures = validate(average.module, held, ("1 passes", "groups inwards"))
                line = {"step": step, "minutes": round(minutes, 1), "loss": round(float(loss.detach()), 4), **figures}
                print(json.dumps(line), file=curve, flush=True)
                print(json.dumps(line), flush=True)
    checkpoint.save(step, options.minutes)
    export(average.module, options.work / "model")


def held_out(data: Path) -> Pixels:
    """The examples for validation."""
    return np.concatenate([np.load(path) for path in sorted(data.glob("validation-*.npy"))])


def compare(options: argparse.Namespace) -> None:
    """Print the figures of all ways, and of both fills among the candidates, on the held-out
    examples.
    """
    examples = held_out(options.data)
    chooser = Chooser()
    average = averaged(chooser, 0.998)
    Checkpoint(options.work / "checkpoint.pt", chooser, average, torch.optim.AdamW(chooser.parameters())).load()
    figures = {name: judge(examples[..., PARTS[name]], examples) for name in ("smooth", "patchmatch")}
    for name, line in (figures | validate(average.module, examples, tuple(ways_of(chooser)))).items():
        print(f"{name}: {json.dumps(line)}")


def main() -> None:
    """Train, or compare the ways of the trained networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=33)
    parser.add_argument("--every", type=float, default=6, help="minutes between validations")
    parser.add_argument("--held", type=int, default=16, help="held-out examples of a validation")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--compare", action="store_true", help="compare the ways instead of training")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    (compare if options.compare else train)(options)


if __name__ == "__main__":
    main()
