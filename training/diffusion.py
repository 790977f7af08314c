"""Trains the pixel diffusion model, which corrects PatchMatch fills.

    python -m training.diffusion_data ...
    python -m training.diffusion --data build/diffusion/data --work build/diffusion --minutes 90
    python -m training.diffusion --data DATA --work W --start build/diffusion/model --minutes 30

The first command prepares examples, the second trains (`--resume` continues from the last
checkpoint), the third fine-tunes an exported model.

The diffused signal is the residual: the clean crop minus the PatchMatch fill, zero outside the
hole. The network's last layer starts at zero, so the untrained model shows the unchanged picture
where the mask's confidence is small, and the PatchMatch fill elsewhere.

The pixel loss asks for the clean picture as far as it shows through the marks. Where it does not,
the loss asks for the PatchMatch fill's texture in the right colours, because the network would
otherwise learn the mean of all possible textures. A separate loss teaches where to trust the
picture, from the pixels that the marks have touched; the pixel loss alone punishes the first
attempts, so the network never leaves its starting point. A perceptual loss is optional; it costs
more than the network.

Training writes the checkpoint and the averaged weights every hundred steps. Every few minutes it
adds a line of JSON to the curve: perceptual distance and PSNR on held-out crops, to be compared
with PatchMatch and Navier-Stokes on the same crops. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as f

from operators.generators.pixel_diffusion import CAUTION, DOUBT, LEAST_TRUST, PACKING, RESIDUAL_SCALE, hints, levels
from operators.masks.mask import BLEND, CONFIDENCE, hole_of, pasted
from operators.metrics.perceptual import perceptual_distance
from operators.metrics.quality import psnr
from operators.rows.arrays import Pixels
from training.diffusion_data import CHANNELS, PICTURES
from training.features import FeatureDistance

ARCHITECTURE: dict[str, Any] = {
    "sample_size": 64,
    "in_channels": 92,
    "out_channels": 24,
    "block_out_channels": (24, 32, 48),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D",) * 3,
    "up_block_types": ("UpBlock2D",) * 3,
    "norm_num_groups": 8,
    "add_attention": False,
}
VIEWS = ((64, 16), (64, 16), (64, 16), (128, 4))
"""Side of the view of an example that the network sees, and the batch size: mostly small views,
sometimes views as large as in use.
"""
RECOLOURED = 0.4
"""Share of the examples whose text gets a new colour and strength each time they are used."""
UNKNOWN = 2.0
"""Weight in the pixel loss of keeping the PatchMatch fill's texture where marks have changed the
picture: a ghost of the marks stays visible even if it is closer to the truth than another
texture.
"""
UNTOUCHED = 5
"""Below this coverage by marks, of 255, a pixel counts as untouched."""
COARSE = 4
"""Side in pixels of the squares whose mean colour must be right even where marks hide everything:
shading can be inferred, texture cannot.
"""
SHARPNESS = 6
"""The share of a pixel that the marks left, to this power, is how well the pixel is known."""


def new_network() -> torch.nn.Module:
    """The network before training; its output is zero for every input."""
    from diffusers import UNet2DModel

    network: torch.nn.Module = UNet2DModel(**ARCHITECTURE)
    torch.nn.init.zeros_(network.conv_out.weight)
    torch.nn.init.zeros_(network.conv_out.bias)
    return network


class Crops:
    """A batch of examples as tensors, batch x channels x height x width, pictures in -1..1 and
    masks in 0..1.
    """

    def __init__(self, examples: Pixels) -> None:
        values = torch.from_numpy(np.ascontiguousarray(examples)).permute(0, 3, 1, 2).float()
        pictures = values / 127.5 - 1
        names = ("clean", "seen", "start", "smooth")
        self.clean, self.seen, self.start, self.smooth = (pictures[:, CHANNELS[name]] for name in names)
        self.mask, self.known = values[:, CHANNELS["mask"]] / 255, (1 - values[:, CHANNELS["replaced"]] / 255) ** SHARPNESS
        confidence = values[:, CHANNELS["mask"]][:, 2:].permute(0, 2, 3, 1).numpy() / np.float32(255)
        maps = [hints(*pair) for pair in zip(self.seen.permute(0, 2, 3, 1).numpy(), confidence, strict=True)]
        self.hints = torch.from_numpy(np.stack(maps)).permute(0, 3, 1, 2)
        self.untouched = (values[:, CHANNELS["replaced"]] < UNTOUCHED).float()
        self.hole = (self.mask[:, :2].amax(1, keepdim=True) > 0).float()
        self.residual = (self.clean - self.start) * RESIDUAL_SCALE * self.hole

    def conditions(self) -> torch.Tensor:
        """The inputs that the network gets at every noise level."""
        inputs = [self.start, self.smooth - self.start, self.seen - self.start, self.mask, self.hints]
        return f.pixel_unshuffle(torch.cat(inputs, 1), PACKING)


def estimated(
    network: torch.nn.Module, crops: Crops, noisy: torch.Tensor, level: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's estimate of the clean residual at each crop's noise level (0 clean .. 1
    noise), and its trust (logits).
    """
    packed = torch.cat([f.pixel_unshuffle(noisy, PACKING), crops.conditions()], 1).to(memory_format=torch.channels_last)
    answer = f.pixel_shuffle(network(packed, level * 1000).sample.float(), PACKING)
    free, towards_smooth, more_trust, kept = answer[:, :3], answer[:, 3:4], answer[:, 4:5], answer[:, 5:6]
    logit = torch.logit(((1 - crops.mask[:, 2:3]) ** DOUBT).clamp(LEAST_TRUST, 1 - LEAST_TRUST)) + more_trust
    trust = torch.sigmoid(logit) ** CAUTION
    towards = (towards_smooth * (crops.smooth - crops.start) + trust * (crops.seen - crops.start)) * RESIDUAL_SCALE
    return crops.hole * (free + towards + kept * noisy), logit


def low_passed(residual: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
    """Each pixel of the hole replaced by the mean of its COARSE x COARSE square."""
    mean = f.avg_pool2d(residual, COARSE) / f.avg_pool2d(hole, COARSE).clamp(min=1 / COARSE**2)
    return f.interpolate(mean, scale_factor=COARSE, mode="nearest") * hole


def windows(examples: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A `side` x `side` view of each example around a random pixel of its hole."""
    views = []
    for example in examples:
        rows, columns = np.nonzero(hole_of(example[..., CHANNELS["mask"]]))
        chosen = rng.integers(len(rows))
        y, x = (int(np.clip(c - side // 2, 0, len(example) - side)) for c in (rows[chosen], columns[chosen]))
        views.append(example[y : y + side, x : x + side])
    return np.stack(views)


def augmented(examples: Pixels, rng: np.random.Generator) -> Pixels:
    """The examples flipped, rotated, and with colours swapped or inverted, alike within a batch;
    some texts in another colour.
    """
    examples = np.stack([recoloured(example, rng) if rng.random() < RECOLOURED else example for example in examples])
    if rng.random() < 0.5:
        examples = examples[:, :, ::-1]
    examples = np.rot90(examples, rng.integers(4), axes=(1, 2))
    order = rng.permutation(3)
    pictures = examples[..., :PICTURES].reshape(*examples.shape[:3], -1, 3)[..., order]
    pictures = pictures.reshape(*examples.shape[:3], -1)
    if rng.random() < 0.25:
        pictures = 255 - pictures
    return np.concatenate([pictures, examples[..., PICTURES:]], axis=3)


def recoloured(example: Pixels, rng: np.random.Generator) -> Pixels:
    """An example with its marks in another colour and strength; unchanged if the marks are not
    visible.
    """
    mask = example[..., CHANNELS["mask"]]
    blend, confidence = mask[..., BLEND], mask[..., CONFIDENCE]
    if np.array_equal(blend, confidence):
        return example
    strength = rng.uniform(0.3, 1) if rng.random() < 0.5 else 1.0
    share = example[..., CHANNELS["replaced"]].astype(np.float32) / 255 * strength
    colour = rng.integers(0, 256, 3) if rng.random() < 0.6 else rng.choice([0, 255])
    changed, clean = example.copy(), example[..., CHANNELS["clean"]]
    changed[..., CHANNELS["seen"]] = np.rint(clean * (1 - share) + colour * share)
    changed[..., CHANNELS["replaced"]] = np.rint(share * 255)
    return changed


class Examples:
    """The shards of a folder, including those written during training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards: dict[str, Pixels] = {}

    def refresh(self) -> int:
        """Look for new shards; return the number of examples."""
        for path in sorted(self.folder.glob("train-*.npy")):
            if path.name not in self.shards:
                self.shards[path.name] = np.load(path, mmap_mode="r")
        return sum(len(shard) for shard in self.shards.values())

    def batch(self, size: int, rng: np.random.Generator) -> Pixels:
        """`size` random examples from all shards."""
        names = list(self.shards)
        chosen = [self.shards[names[rng.integers(len(names))]] for _ in range(size)]
        return np.stack([shard[rng.integers(len(shard))] for shard in chosen])


def sample(network: torch.nn.Module, examples: Pixels, steps: int, seed: int) -> Pixels:
    """The model's fills of some examples (uint8) by the deterministic sampler."""
    crops = Crops(examples)
    noise = torch.randn(crops.residual.shape, generator=torch.Generator().manual_seed(seed)) * crops.hole
    noisy = noise
    with torch.inference_mode():
        for now, after in levels(steps):
            clean, _ = estimated(network, crops, noisy, torch.full((len(examples),), now))
            noisy = (1 - after) * clean + after * (noisy - (1 - now) * clean) / now
    filled = crops.start + noisy / RESIDUAL_SCALE
    pixels: Pixels = ((filled.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return pixels


def judge_fills(fills: Pixels, examples: Pixels) -> dict[str, float]:
    """Mean perceptual distance and PSNR of pasted fills against the clean crops."""
    judge, figures = perceptual_distance(), []
    for fill, example in zip(fills, examples, strict=True):
        clean = np.ascontiguousarray(example[..., CHANNELS["clean"]])
        blend = example[..., CHANNELS["mask"]][..., BLEND]
        result = pasted(example[..., CHANNELS["seen"]], fill, blend)
        figures.append((judge.distance(result, clean), min(60.0, psnr(result, clean))))
    distance, noise_ratio = np.mean(figures, axis=0)
    return {"distance": round(float(distance), 5), "psnr": round(float(noise_ratio), 3)}


def validate(network: torch.nn.Module, examples: Pixels) -> dict[str, Any]:
    """The figures on held-out crops, at one step and at four."""
    network.eval()
    parts = np.array_split(examples, max(1, len(examples) // 16))
    return {
        f"steps_{n}": judge_fills(np.concatenate([sample(network, part, n, 0) for part in parts]), examples) for n in (1, 4)
    }


def moving_average(most: float) -> Callable[[Any, Any, Any], None]:
    """The update of averaged weights, its decay rising to `most`: a fixed decay would keep the
    untrained network in the average for the first thousand steps.
    """

    @torch.no_grad()
    def average(averages: list[torch.Tensor], current: list[torch.Tensor], steps: torch.Tensor) -> None:
        decay = min(most, (1 + float(steps)) / (10 + float(steps)))
        torch._foreach_lerp_(averages, current, 1 - decay)

    return average


class Run:
    """The state of a training run, which its checkpoint saves."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.work: Path = arguments.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.network = new_network().to(memory_format=torch.channels_last)
        if arguments.start is not None:
            from diffusers import UNet2DModel

            self.network.load_state_dict(UNet2DModel.from_pretrained(arguments.start / "unet").state_dict())
        self.average = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=moving_average(arguments.average))
        self.optimiser = torch.optim.AdamW(self.network.parameters(), arguments.rate, betas=(0.9, 0.99), weight_decay=1e-3)
        self.done = {"step": 0, "seen": 0, "minutes": 0.0}
        self.losses: dict[str, float] = {}
        self.parts = {"network": self.network, "average": self.average, "optimiser": self.optimiser}
        checkpoint = self.work / "checkpoint.pt"
        if arguments.resume and checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True)
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            self.done = {name: state[name] for name in self.done}

    def save(self) -> None:
        """Write the checkpoint, and the averaged network in diffusers' folder format (float16
        safetensors).
        """
        part = self.work / "checkpoint.part"
        torch.save({name: part.state_dict() for name, part in self.parts.items()} | self.done, part)
        part.rename(self.work / "checkpoint.pt")
        copy.deepcopy(self.average.module).half().save_pretrained(self.work / "unet", safe_serialization=True)

    def log(self, **values: Any) -> None:
        """Append a line to the curve, and print it."""
        line = json.dumps({**self.done, "minutes": round(self.done["minutes"], 2), **values})
        with (self.work / "curve.jsonl").open("a") as curve:
            curve.write(line + "\n")
        print(line, flush=True)

    def learn(self, crops: Crops, level: torch.Tensor, loss: Loss) -> None:
        """One step of the optimiser at the given noise levels."""
        share = level[:, None, None, None]
        noisy = (1 - share) * crops.residual + share * torch.randn_like(crops.residual) * crops.hole
        self.network.train()
        losses = loss(self.network, crops, noisy, level)
        self.optimiser.zero_grad(set_to_none=True)
        loss.total(losses).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.done["step"] += 1
        self.done["seen"] += len(level)
        for name, value in losses.items():
            self.losses[name] = 0.99 * self.losses.get(name, float(value.detach())) + 0.01 * float(value.detach())


class Loss:
    """The training loss, of four parts: the error of the hole's pixels as far as they can be
    known, the error of their coarse colours, the error of the trust in the unchanged picture, and
    the distance of the filled crop's features from the clean crop's.
    """

    def __init__(self, perceptual_weight: float, bfloat16: bool) -> None:
        self.features, self.perceptual_weight = FeatureDistance() if perceptual_weight else None, perceptual_weight
        self.bfloat16 = bfloat16

    def __call__(
        self, network: torch.nn.Module, crops: Crops, noisy: torch.Tensor, level: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The parts by name: means over the batch, for the features over a quarter of it."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            residual, trust = estimated(network, crops, noisy, level)
        area = crops.hole.sum((1, 2, 3)).clamp(min=64)
        invented = (residual - low_passed(residual, crops.hole)).abs() * (1 - crops.known)
        off = (residual - crops.residual).abs() * crops.known + UNKNOWN * invented
        coarse = f.avg_pool2d((residual - crops.residual) * crops.hole, COARSE).abs() * COARSE**2
        matters = (crops.hole * (4 * (crops.seen - crops.start).abs().amax(1, keepdim=True)).clamp(0.1, 1)).detach()
        trusted = f.binary_cross_entropy_with_logits(trust, crops.untouched, matters, reduction="none")
        parts = {"pixels": off / (3 * RESIDUAL_SCALE), "coarse": coarse / (3 * RESIDUAL_SCALE), "trust": 0.1 * trusted}
        losses = {name: (part.sum((1, 2, 3)) / area).mean() for name, part in parts.items()}
        if self.features is not None:
            some = slice(0, max(1, len(level) // 4))
            pictures = (crops.start[some] + residual[some] / RESIDUAL_SCALE, crops.clean[some])
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                losses["features"] = self.features(*(x.to(memory_format=torch.channels_last) for x in pictures)).mean()
        return losses

    def total(self, losses: dict[str, torch.Tensor]) -> torch.Tensor:
        """The weighted sum of the parts."""
        visible = losses["pixels"] + losses["coarse"] + losses["trust"]
        return visible + self.perceptual_weight * losses.get("features", torch.zeros(()))


def train(arguments: argparse.Namespace) -> None:
    """Train until `minutes` of processor time are spent, counting the runs that were resumed."""
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    run, data, loss = Run(arguments), Examples(arguments.data), Loss(arguments.perceptual_weight, arguments.bfloat16)
    held_out = np.concatenate([np.load(path) for path in sorted(arguments.data.glob("validation-*.npy"))])[: arguments.held]
    if run.done["step"] == 0:
        baselines = {name: judge_fills(held_out[..., CHANNELS[name]], held_out) for name in ("start", "smooth")}
        run.log(baselines=baselines, untrained=judge_fills(sample(run.network, held_out, 1, 0), held_out))
    rng, spent = np.random.default_rng(run.done["step"]), run.done["minutes"]
    examples, start, saved = data.refresh(), time.process_time(), spent
    while run.done["minutes"] < arguments.minutes:
        fraction = run.done["minutes"] / arguments.minutes
        for group in run.optimiser.param_groups:
            warm = min(1, (run.done["step"] + 1) / 50)
            group["lr"] = arguments.rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * fraction)))
        side, size = VIEWS[rng.integers(len(VIEWS))]
        crops = Crops(augmented(windows(data.batch(size, rng), side, rng), rng))
        chosen = np.where(rng.random(size) < 0.5, 1.0, rng.uniform(0.1, 1, size))
        run.learn(crops, torch.from_numpy(chosen).float(), loss)
        run.done["minutes"] = spent + (time.process_time() - start) / 60
        if run.done["step"] % 100 == 0:
            examples = data.refresh()
            print(json.dumps({**run.done, "examples": examples, **run.losses}), flush=True)
            run.save()
        if run.done["minutes"] - saved > arguments.every or run.done["minutes"] >= arguments.minutes:
            saved = run.done["minutes"]
            run.save()
            run.log(examples=examples, **run.losses, **validate(run.average.module, held_out))


def main() -> None:
    """Train, checkpoint, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that training.diffusion_data wrote")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoint, curve and weights")
    parser.add_argument("--start", type=Path, help="a model's folder to fine-tune")
    parser.add_argument("--minutes", type=float, default=90, help="processor time, all threads together")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--average", type=float, default=0.998, help="decay of the averaged weights")
    parser.add_argument("--perceptual-weight", type=float, default=0.1)
    parser.add_argument("--held", type=int, default=48, help="number of held-out crops to validate on")
    parser.add_argument("--every", type=float, default=4, help="processor minutes between checkpoints")
    parser.add_argument("--threads", type=int, default=1, help="several threads wait for each other longer than they compute")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--resume", action="store_true")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
