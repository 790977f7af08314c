"""Trains the pixel diffusion model: PatchMatch's fill, corrected.

    python -m training.diffusion_data ...                                  # the examples
    python -m training.diffusion --data build/diffusion/data --work build/diffusion --minutes 90 --resume
    python -m training.diffusion --data MY_DATA --work W --start build/diffusion/model --minutes 30     # fine-tune

What diffuses is the residual: the clean crop less the PatchMatch fill, zero outside the hole. The
network's last layer starts at zero: the untrained model shows the picture as it is where the
mask's confidence is small, else the PatchMatch fill. The pixel loss asks for the clean picture as
far as the marks let it through, and where they do not, for the PatchMatch fill's texture in the
right colours: what cannot be known is not to become the mean of all that it could be. Where the
picture can be trusted is learnt by itself, from which pixels the marks have touched: the pixel
loss alone punishes the first attempts and stays where it began. A perceptual loss may be put
beside them; it costs more than the network.

The checkpoint and the averaged weights are written every hundred steps, a curve (JSON lines:
validation by the judge's perceptual distance and PSNR against PatchMatch and Navier-Stokes on the
same held-out crops) every few minutes. Needs the `training` extra.
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
"""Side of what the network is shown of an example, and how many at once: mostly small, now and
then as large as in use.
"""
RECOLOURED = 0.4
"""Share of the examples whose text gets another colour and strength each time they are shown."""
UNKNOWN = 2.0
"""Weight in the pixel loss of keeping the PatchMatch fill's texture where marks have changed the
picture: a ghost of them that is closer to the truth than some other texture is still a ghost.
"""
UNTOUCHED = 5
"""Of 255, how much of a pixel marks may have replaced for it to count as seen."""
COARSE = 4
"""Pixels a side over which colours must be right also where marks hide everything: shading can be
known, texture cannot.
"""
SHARPNESS = 6
"""Power of the share of a pixel that the marks left, which says how well it is known."""


def new_network() -> torch.nn.Module:
    """The network before training, its answer zero for every input."""
    from diffusers import UNet2DModel

    network: torch.nn.Module = UNet2DModel(**ARCHITECTURE)
    torch.nn.init.zeros_(network.conv_out.weight)
    torch.nn.init.zeros_(network.conv_out.bias)
    return network


class Crops:
    """A batch of examples as tensors, -1..1 for pictures and 0..1 for masks, all batch x channels
    x height x width.
    """

    def __init__(self, examples: Pixels) -> None:
        values = torch.from_numpy(np.ascontiguousarray(examples)).permute(0, 3, 1, 2).float()
        pictures = values / 127.5 - 1
        names = ("clean", "seen", "start", "smooth")
        self.clean, self.seen, self.start, self.smooth = (pictures[:, CHANNELS[name]] for name in names)
        self.mask, self.known = values[:, CHANNELS["mask"]] / 255, (1 - values[:, CHANNELS["replaced"]] / 255) ** SHARPNESS
        confidence = values[:, CHANNELS["mask"]][:, 2:].permute(0, 2, 3, 1).numpy() / np.float32(255)
        told = [hints(*pair) for pair in zip(self.seen.permute(0, 2, 3, 1).numpy(), confidence, strict=True)]
        self.hints = torch.from_numpy(np.stack(told)).permute(0, 3, 1, 2)
        self.untouched = (values[:, CHANNELS["replaced"]] < UNTOUCHED).float()
        self.hole = (self.mask[:, :2].amax(1, keepdim=True) > 0).float()
        self.residual = (self.clean - self.start) * RESIDUAL_SCALE * self.hole

    def conditions(self) -> torch.Tensor:
        """What the network sees at every noise level."""
        shown = [self.start, self.smooth - self.start, self.seen - self.start, self.mask, self.hints]
        return f.pixel_unshuffle(torch.cat(shown, 1), PACKING)


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
    """The mean of each COARSE x COARSE pixels of the hole, at all of them."""
    mean = f.avg_pool2d(residual, COARSE) / f.avg_pool2d(hole, COARSE).clamp(min=1 / COARSE**2)
    return f.interpolate(mean, scale_factor=COARSE, mode="nearest") * hole


def windows(examples: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A `side` x `side` view of each example round a random pixel of its hole."""
    made = []
    for one in examples:
        rows, columns = np.nonzero(hole_of(one[..., CHANNELS["mask"]]))
        chosen = rng.integers(len(rows))
        y, x = (int(np.clip(c - side // 2, 0, len(one) - side)) for c in (rows[chosen], columns[chosen]))
        made.append(one[y : y + side, x : x + side])
    return np.stack(made)


def augmented(examples: Pixels, rng: np.random.Generator) -> Pixels:
    """The examples flipped, turned, with colours swapped or inverted, each batch its own way;
    some texts in another colour.
    """
    examples = np.stack([recoloured(one, rng) if rng.random() < RECOLOURED else one for one in examples])
    if rng.random() < 0.5:
        examples = examples[:, :, ::-1]
    examples = np.rot90(examples, rng.integers(4), axes=(1, 2))
    order = rng.permutation(3)
    pictures = examples[..., :PICTURES].reshape(*examples.shape[:3], -1, 3)[..., order]
    pictures = pictures.reshape(*examples.shape[:3], -1)
    if rng.random() < 0.25:
        pictures = 255 - pictures
    return np.concatenate([pictures, examples[..., PICTURES:]], axis=3)


def recoloured(one: Pixels, rng: np.random.Generator) -> Pixels:
    """An example whose marks have another colour and strength; as it is, where nothing is to be
    seen of them.
    """
    blend, confidence = one[..., CHANNELS["mask"]][..., BLEND], one[..., CHANNELS["mask"]][..., CONFIDENCE]
    if np.array_equal(blend, confidence):
        return one
    strength = rng.uniform(0.3, 1) if rng.random() < 0.5 else 1.0
    share = one[..., CHANNELS["replaced"]].astype(np.float32) / 255 * strength
    colour = rng.integers(0, 256, 3) if rng.random() < 0.6 else rng.choice([0, 255])
    changed, clean = one.copy(), one[..., CHANNELS["clean"]]
    changed[..., CHANNELS["seen"]] = np.rint(clean * (1 - share) + colour * share)
    changed[..., CHANNELS["replaced"]] = np.rint(share * 255)
    return changed


class Examples:
    """The shards of a folder; those written meanwhile are found too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards: dict[str, Pixels] = {}

    def refresh(self) -> int:
        """Look for new shards; how many examples there are."""
        for path in sorted(self.folder.glob("train-*.npy")):
            if path.name not in self.shards:
                self.shards[path.name] = np.load(path, mmap_mode="r")
        return sum(len(shard) for shard in self.shards.values())

    def batch(self, size: int, rng: np.random.Generator) -> Pixels:
        """`size` examples from all over the shards."""
        names = list(self.shards)
        chosen = [self.shards[names[rng.integers(len(names))]] for _ in range(size)]
        return np.stack([shard[rng.integers(len(shard))] for shard in chosen])


def answer(network: torch.nn.Module, examples: Pixels, steps: int, seed: int) -> Pixels:
    """The model's fills of some examples, uint8, by the deterministic sampler."""
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


def judged(fills: Pixels, examples: Pixels) -> dict[str, float]:
    """Mean perceptual distance and PSNR of fills, pasted in, against the clean crops."""
    judge, figures = perceptual_distance(), []
    for fill, one in zip(fills, examples, strict=True):
        clean = np.ascontiguousarray(one[..., CHANNELS["clean"]])
        blend = one[..., CHANNELS["mask"]][..., BLEND]
        shown = pasted(one[..., CHANNELS["seen"]], fill, blend)
        figures.append((judge.distance(shown, clean), min(60.0, psnr(shown, clean))))
    distance, noise = np.mean(figures, axis=0)
    return {"distance": round(float(distance), 5), "psnr": round(float(noise), 3)}


def validate(network: torch.nn.Module, examples: Pixels) -> dict[str, Any]:
    """The judge's figures on held-out crops, at one step and at four."""
    network.eval()
    parts = np.array_split(examples, max(1, len(examples) // 16))
    return {f"steps_{n}": judged(np.concatenate([answer(network, part, n, 0) for part in parts]), examples) for n in (1, 4)}


def averaging(most: float) -> Callable[[Any, Any, Any], None]:
    """Averaged weights that follow fast at first: a fixed decay would hold on to the untrained
    network for its first thousand steps.
    """

    @torch.no_grad()
    def average(averages: list[torch.Tensor], current: list[torch.Tensor], steps: torch.Tensor) -> None:
        decay = min(most, (1 + float(steps)) / (10 + float(steps)))
        torch._foreach_lerp_(averages, current, 1 - decay)

    return average


class Run:
    """What a training run is made of, and what its checkpoint keeps."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.work: Path = arguments.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.network = new_network().to(memory_format=torch.channels_last)
        if arguments.start is not None:
            from diffusers import UNet2DModel

            self.network.load_state_dict(UNet2DModel.from_pretrained(arguments.start / "unet").state_dict())
        self.average = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=averaging(arguments.average))
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
        """One line of the curve, printed too."""
        line = json.dumps({**self.done, "minutes": round(self.done["minutes"], 2), **values})
        with (self.work / "curve.jsonl").open("a") as curve:
            curve.write(line + "\n")
        print(line, flush=True)

    def learn(self, crops: Crops, level: torch.Tensor, loss: Loss) -> None:
        """One step of the optimiser at the given noise levels."""
        at = level[:, None, None, None]
        noisy = (1 - at) * crops.residual + at * torch.randn_like(crops.residual) * crops.hole
        self.network.train()
        found = loss(self.network, crops, noisy, level)
        self.optimiser.zero_grad(set_to_none=True)
        loss.total(found).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.done["step"] += 1
        self.done["seen"] += len(level)
        for name, value in found.items():
            self.losses[name] = 0.99 * self.losses.get(name, float(value.detach())) + 0.01 * float(value.detach())


class Loss:
    """What is minimised: pixels in the hole as far as they can be known, their coarse colours,
    how wrongly the picture as it is was trusted, and how far the filled crop's features are from
    the clean one's.
    """

    def __init__(self, perceptual_weight: float, bfloat16: bool) -> None:
        self.features, self.perceptual_weight = FeatureDistance() if perceptual_weight else None, perceptual_weight
        self.bfloat16 = bfloat16

    def __call__(
        self, network: torch.nn.Module, crops: Crops, noisy: torch.Tensor, level: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The parts by name, means over the batch, of the features over a quarter of it."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            residual, trust = estimated(network, crops, noisy, level)
        area = crops.hole.sum((1, 2, 3)).clamp(min=64)
        invented = (residual - low_passed(residual, crops.hole)).abs() * (1 - crops.known)
        off = (residual - crops.residual).abs() * crops.known + UNKNOWN * invented
        coarse = f.avg_pool2d((residual - crops.residual) * crops.hole, COARSE).abs() * COARSE**2
        matters = (crops.hole * (4 * (crops.seen - crops.start).abs().amax(1, keepdim=True)).clamp(0.1, 1)).detach()
        trusted = f.binary_cross_entropy_with_logits(trust, crops.untouched, matters, reduction="none")
        parts = {"pixels": off / (3 * RESIDUAL_SCALE), "coarse": coarse / (3 * RESIDUAL_SCALE), "trust": 0.1 * trusted}
        found = {name: (part.sum((1, 2, 3)) / area).mean() for name, part in parts.items()}
        if self.features is not None:
            some = slice(0, max(1, len(level) // 4))
            pictures = (crops.start[some] + residual[some] / RESIDUAL_SCALE, crops.clean[some])
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                found["features"] = self.features(*(x.to(memory_format=torch.channels_last) for x in pictures)).mean()
        return found

    def total(self, found: dict[str, torch.Tensor]) -> torch.Tensor:
        """The parts, weighed."""
        seen = found["pixels"] + found["coarse"] + found["trust"]
        return seen + self.perceptual_weight * found.get("features", torch.zeros(()))


def train(arguments: argparse.Namespace) -> None:
    """Train until `minutes` of processor time are spent, over all runs that were resumed."""
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    run, data, loss = Run(arguments), Examples(arguments.data), Loss(arguments.perceptual_weight, arguments.bfloat16)
    held = np.concatenate([np.load(path) for path in sorted(arguments.data.glob("validation-*.npy"))])[: arguments.held]
    if run.done["step"] == 0:
        baselines = {name: judged(held[..., CHANNELS[name]], held) for name in ("start", "smooth")}
        run.log(baselines=baselines, untrained=judged(answer(run.network, held, 1, 0), held))
    rng, spent = np.random.default_rng(run.done["step"]), run.done["minutes"]
    examples, began, saved = data.refresh(), time.process_time(), spent
    while run.done["minutes"] < arguments.minutes:
        fraction = run.done["minutes"] / arguments.minutes
        for group in run.optimiser.param_groups:
            warm = min(1, (run.done["step"] + 1) / 50)
            group["lr"] = arguments.rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * fraction)))
        side, size = VIEWS[rng.integers(len(VIEWS))]
        crops = Crops(augmented(windows(data.batch(size, rng), side, rng), rng))
        chosen = np.where(rng.random(size) < 0.5, 1.0, rng.uniform(0.1, 1, size))
        run.learn(crops, torch.from_numpy(chosen).float(), loss)
        run.done["minutes"] = spent + (time.process_time() - began) / 60
        if run.done["step"] % 100 == 0:
            examples = data.refresh()
            print(json.dumps({**run.done, "examples": examples, **run.losses}), flush=True)
            run.save()
        if run.done["minutes"] - saved > arguments.every or run.done["minutes"] >= arguments.minutes:
            saved = run.done["minutes"]
            run.save()
            run.log(examples=examples, **run.losses, **validate(run.average.module, held))


def main() -> None:
    """Train, checkpoint, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that training.diffusion_data wrote")
    parser.add_argument("--work", type=Path, required=True, help="checkpoint, curve and weights go here")
    parser.add_argument("--start", type=Path, help="a model's folder to go on from: fine-tuning")
    parser.add_argument("--minutes", type=float, default=90, help="of processor time, all threads together")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--average", type=float, default=0.998, help="decay of the averaged weights")
    parser.add_argument("--perceptual-weight", type=float, default=0.1)
    parser.add_argument("--held", type=int, default=48, help="held-out crops that are judged")
    parser.add_argument("--every", type=float, default=4, help="processor minutes between checkpoints")
    parser.add_argument("--threads", type=int, default=1, help="more wait for each other longer than they compute")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--resume", action="store_true")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
