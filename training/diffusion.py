"""Trains the built-in diffusion model: PatchMatch's fill, corrected.

    python -m training.diffusion_data ...                                  # the examples
    python -m training.diffusion --data build/diffusion/data --work build/diffusion --minutes 90 --resume
    python -m training.diffusion --data MY_DATA --work W --start operators/models/builtin --minutes 30     # fine-tune

What diffuses is the residual: the clean crop less the PatchMatch fill, zero outside the hole. The network's last layer
starts at zero, so that the untrained model is PatchMatch. Checkpoints, a curve (JSON lines: validation by the judge's
perceptual distance and PSNR against PatchMatch and Navier-Stokes on the same held-out crops) and the averaged weights are
written every few minutes. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as f

from operators.generators.pixel_diffusion import PACKING, RESIDUAL_SCALE, levels
from operators.inpaint import pasted
from operators.metrics.perceptual import perceptual_distance
from operators.metrics.quality import psnr
from operators.table import Pixels
from training.diffusion_data import CHANNELS
from training.features import FeatureDistance

ARCHITECTURE: dict[str, Any] = {
    "sample_size": 32,
    "in_channels": 176,
    "out_channels": 80,
    "block_out_channels": (64, 96, 160),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D",) * 3,
    "up_block_types": ("UpBlock2D",) * 3,
    "norm_num_groups": 16,
    "add_attention": False,
}


def new_network() -> torch.nn.Module:
    """The network before training, its answer zero for every input."""
    from diffusers import UNet2DModel

    network: torch.nn.Module = UNet2DModel(**ARCHITECTURE)
    torch.nn.init.zeros_(network.conv_out.weight)
    torch.nn.init.zeros_(network.conv_out.bias)
    return network


class Crops:
    """A batch of examples as tensors, -1..1 for pictures and 0..1 for masks, all batch x channels x height x width."""

    def __init__(self, examples: Pixels) -> None:
        values = torch.from_numpy(np.ascontiguousarray(examples)).permute(0, 3, 1, 2).float()
        pictures = values / 127.5 - 1
        self.clean, self.start, self.smooth = (pictures[:, CHANNELS[name]] for name in ("clean", "start", "smooth"))
        self.mask = values[:, CHANNELS["mask"]] / 255
        self.hole = (self.mask.amax(1, keepdim=True) > 0).float()
        self.residual = (self.clean - self.start) * RESIDUAL_SCALE * self.hole

    def conditions(self) -> torch.Tensor:
        """What the network sees at every noise level."""
        return f.pixel_unshuffle(torch.cat([self.start, self.smooth - self.start, self.mask], 1), PACKING)


def estimated(network: torch.nn.Module, crops: Crops, noisy: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """The network's estimate of the clean residual at each crop's noise level (0 clean .. 1 noise)."""
    packed = torch.cat([f.pixel_unshuffle(noisy, PACKING), crops.conditions()], 1).to(memory_format=torch.channels_last)
    answer = f.pixel_shuffle(network(packed, level * 1000).sample.float(), PACKING)
    free, towards_smooth, kept = answer[:, :3], answer[:, 3:4], answer[:, 4:5]
    return crops.hole * (free + towards_smooth * (crops.smooth - crops.start) * RESIDUAL_SCALE + kept * noisy)


def windows(examples: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A `side` x `side` view of each example round a random pixel of its hole."""
    made = []
    for one in examples:
        rows, columns = np.nonzero(one[..., CHANNELS["mask"]].any(2))
        chosen = rng.integers(len(rows))
        y, x = (int(np.clip(c - side // 2, 0, len(one) - side)) for c in (rows[chosen], columns[chosen]))
        made.append(one[y : y + side, x : x + side])
    return np.stack(made)


def augmented(examples: Pixels, rng: np.random.Generator) -> Pixels:
    """The examples flipped, turned, with colours swapped or inverted, each batch its own way."""
    if rng.random() < 0.5:
        examples = examples[:, :, ::-1]
    examples = np.rot90(examples, rng.integers(4), axes=(1, 2))
    order = rng.permutation(3)
    pictures = examples[..., : CHANNELS["mask"].start].reshape(*examples.shape[:3], -1, 3)[..., order]
    pictures = pictures.reshape(*examples.shape[:3], -1)
    if rng.random() < 0.25:
        pictures = 255 - pictures
    return np.concatenate([pictures, examples[..., CHANNELS["mask"]]], axis=3)


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
            clean = estimated(network, crops, noisy, torch.full((len(examples),), now))
            noisy = (1 - after) * clean + after * (noisy - (1 - now) * clean) / now
    filled = crops.start + noisy / RESIDUAL_SCALE
    pixels: Pixels = ((filled.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return pixels


def judged(fills: Pixels, examples: Pixels) -> dict[str, float]:
    """Mean perceptual distance and PSNR of fills, pasted in, against the clean crops."""
    judge, figures = perceptual_distance(), []
    for fill, one in zip(fills, examples, strict=True):
        clean = np.ascontiguousarray(one[..., CHANNELS["clean"]])
        shown = pasted(one[..., CHANNELS["start"]], fill, np.where(one[..., CHANNELS["mask"]].max(2) > 0, 255, 0).astype(np.uint8))
        figures.append((judge.distance(shown, clean), min(60.0, psnr(shown, clean))))
    distance, noise = np.mean(figures, axis=0)
    return {"distance": round(float(distance), 5), "psnr": round(float(noise), 3)}


def validate(network: torch.nn.Module, examples: Pixels) -> dict[str, Any]:
    """The judge's figures on held-out crops, at one step and at four."""
    network.eval()
    found = {}
    for steps in (1, 4):
        fills = np.concatenate([answer(network, part, steps, 0) for part in np.array_split(examples, max(1, len(examples) // 16))])
        found[f"steps_{steps}"] = judged(fills, examples)
    return found


def save(network: torch.nn.Module, folder: Path) -> None:
    """The network in diffusers' folder format, float16 safetensors."""
    import copy

    copy.deepcopy(network).half().save_pretrained(folder / "unet", safe_serialization=True)


def train(arguments: argparse.Namespace) -> None:
    """Train until `minutes` of processor time are spent, over all runs that were resumed."""
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    network = new_network().to(memory_format=torch.channels_last)
    if arguments.start is not None:
        from diffusers import UNet2DModel

        network.load_state_dict(UNet2DModel.from_pretrained(arguments.start / "unet").state_dict())
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(arguments.average))
    optimiser = torch.optim.AdamW(network.parameters(), arguments.rate, betas=(0.9, 0.99), weight_decay=1e-3)
    checkpoint, step, spent, seen = work / "checkpoint.pt", 0, 0.0, 0
    if arguments.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent, seen = state["step"], state["minutes"], state["seen"]
    data, features = Examples(arguments.data), FeatureDistance()
    held = np.concatenate([np.load(path) for path in sorted(arguments.data.glob("validation-*.npy"))])[: arguments.held]
    curve = (work / "curve.jsonl").open("a")

    def write(**values: Any) -> None:
        curve.write(json.dumps(values) + "\n")
        curve.flush()
        print(json.dumps(values), flush=True)

    if step == 0:
        write(baselines={name: judged(held[..., CHANNELS[name]], held) for name in ("start", "smooth")})
    rng, began, last, running = np.random.default_rng(step), time.process_time(), time.process_time(), {"l1": 0.0, "perceptual": 0.0}
    count = data.refresh()
    while (minutes := spent + (time.process_time() - began) / 60) < arguments.minutes:
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * min(1, (step + 1) / 200) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * minutes / arguments.minutes)))
        crops = Crops(augmented(windows(data.batch(arguments.batch, rng), arguments.window, rng), rng))
        level = torch.from_numpy(np.where(rng.random(arguments.batch) < 0.4, 1.0, rng.uniform(0.1, 1, arguments.batch))).float()
        at = level[:, None, None, None]
        noisy = (1 - at) * crops.residual + at * torch.randn_like(crops.residual) * crops.hole
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            clean = estimated(network, crops, noisy, level)
            filled = crops.start + clean / RESIDUAL_SCALE
            perceptual = features(*(x.to(memory_format=torch.channels_last) for x in (filled, crops.clean))).mean()
        area = crops.hole.sum((1, 2, 3)).clamp(min=64) * 3
        l1 = ((clean - crops.residual).abs().sum((1, 2, 3)) / area).mean() / RESIDUAL_SCALE
        loss = perceptual + arguments.pixel_weight * l1
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        step, seen = step + 1, seen + arguments.batch
        share = max(0.01, 1 / step)
        running = {"l1": running["l1"] * (1 - share) + share * float(l1), "perceptual": running["perceptual"] * (1 - share) + share * float(perceptual)}
        if step % 50 == 0:
            count = data.refresh()
            print(json.dumps({"step": step, "seen": seen, "minutes": round(minutes, 2), "examples": count, **running}), flush=True)
        if time.process_time() - last > 60 * arguments.every:
            last = time.process_time()
            parts = {"network": network.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**parts, "step": step, "minutes": minutes, "seen": seen}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
            save(average.module, work)
            write(step=step, seen=seen, minutes=round(minutes, 2), examples=count, **running, **validate(average.module, held))
    save(average.module, work)
    write(step=step, seen=seen, minutes=round(minutes, 2), examples=count, **running, **validate(average.module, held))


def main() -> None:
    """Train, checkpoint, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that training.diffusion_data wrote")
    parser.add_argument("--work", type=Path, required=True, help="checkpoint, curve and weights go here")
    parser.add_argument("--start", type=Path, help="a model's folder to go on from: fine-tuning")
    parser.add_argument("--minutes", type=float, default=90, help="of processor time, all threads together")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--window", type=int, default=64, help="side of what the network is shown of an example in training")
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--average", type=float, default=0.998, help="decay of the averaged weights")
    parser.add_argument("--pixel-weight", type=float, default=1.0)
    parser.add_argument("--held", type=int, default=96, help="held-out crops that are judged")
    parser.add_argument("--every", type=float, default=6, help="processor minutes between checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--resume", action="store_true")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
