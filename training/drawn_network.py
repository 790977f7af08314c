"""The two networks that choose the colours of hidden pixels, and their export.

The first looks at the crop around a hole. It also gets the pixels of the hole that are decided
already, if there are any, so that it can be asked in several passes. The second decides pixels one
group after another by their neighbours. See `training.drawn_generator`.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as f
from torch import nn

from training.drawn_candidates import CHANNELS, COUNT
from training.drawn_generator import FEATURES, HEAD, NEIGHBOURS, NETWORK

WIDTHS = (32, 48, 64, 96)
"""Channels at full size and at each halving."""
DECIDED = 4
"""Channels of what is decided already: the colour minus the smooth fill, and whether it is."""


class Block(nn.Module):
    """Two convolutions around which a copy of the input is led."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, outer, 3, padding=1, bias=False) for width in (inner, outer))
        self.norms = nn.ModuleList([nn.BatchNorm2d(outer), nn.BatchNorm2d(outer)])
        self.skip = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the size; change the channels from `inner` to `outer`."""
        y = f.relu(self.norms[0](self.first(x)))
        return f.relu(self.norms[1](self.second(y)) + self.skip(x))


class Network(nn.Module):
    """A U-Net whose output is COUNT logits and FEATURES features for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        full, half, quarter, eighth = WIDTHS
        self.stem = nn.Sequential(nn.Conv2d(CHANNELS + DECIDED, 64, 1), nn.ReLU(), nn.Conv2d(64, full, 1), nn.ReLU())
        self.first = Block(full, full)
        self.downs = nn.ModuleList([Block(full, half), Block(half, quarter), Block(quarter, eighth)])
        self.ups = nn.ModuleList([Block(eighth + quarter, quarter), Block(quarter + half, half)])
        self.narrow = nn.Conv2d(half, full, 1)
        self.last = Block(full, full)
        self.out = nn.Conv2d(full, COUNT + FEATURES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From crops x (CHANNELS + DECIDED) x height x width, sides multiples of 8."""
        x = self.first(self.stem(x))
        skips = [x]
        for down in self.downs:
            skips.append(down(f.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for up in self.ups:
            x = up(torch.cat([f.interpolate(x, scale_factor=2.0, mode="nearest"), skips.pop()], 1))
        x = f.interpolate(self.narrow(x), scale_factor=2.0, mode="nearest") + skips.pop()
        answer: torch.Tensor = self.out(self.last(x))
        return answer


class Head(nn.Module):
    """Better logits for each candidate by how it agrees with the neighbours that come earlier."""

    def __init__(self) -> None:
        super().__init__()
        inner = 2 * len(NEIGHBOURS) + FEATURES + 1
        self.net = nn.Sequential(nn.Linear(inner, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))
        nn.init.zeros_(self.net[-1].weight)

    def forward(
        self, logits: torch.Tensor, features: torch.Tensor, agreement: torch.Tensor, earlier: torch.Tensor
    ) -> torch.Tensor:
        """Pixels x COUNT, pixels x FEATURES, pixels x COUNT x neighbours, pixels x neighbours."""
        shared = torch.cat([earlier, features], 1)[:, None].expand(-1, COUNT, -1)
        better: torch.Tensor = logits + self.net(torch.cat([agreement, shared, logits[..., None]], 2))[..., 0]
        return better


class Chooser(nn.Module):
    """Both networks."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.head = Network().to(memory_format=torch.channels_last), Head()  # type: ignore[call-overload]


def undecided(network: Network) -> Network:
    """The first network where nothing is decided, as a run uses it: without the DECIDED
    channels.
    """
    result = copy.deepcopy(network)
    stem = result.stem[0]
    narrow = nn.Conv2d(CHANNELS, stem.out_channels, 1)
    narrow.weight.data, narrow.bias.data = stem.weight.data[:, :CHANNELS].contiguous(), stem.bias.data  # type: ignore[union-attr]
    result.stem[0] = narrow
    return result.eval()


def export(chooser: Chooser, out: Path) -> None:
    """Write the folder of a model: both networks as ONNX (opset 17)."""
    chooser.eval()
    (out / NETWORK).parent.mkdir(parents=True, exist_ok=True)
    size = {2: "height", 3: "width"}
    torch.onnx.export(
        undecided(chooser.network),
        (torch.zeros(1, CHANNELS, 128, 128),),
        str(out / NETWORK),
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": size, "output": size},
        opset_version=17,
        dynamo=False,
    )
    near = len(NEIGHBOURS)
    parts = (torch.zeros(2, COUNT), torch.zeros(2, FEATURES), torch.zeros(2, COUNT, near), torch.zeros(2, near))
    names = ["logits", "features", "agreement", "earlier"]
    torch.onnx.export(
        chooser.head,
        parts,
        str(out / HEAD),
        input_names=names,
        output_names=["output"],
        dynamic_axes={name: {0: "pixels"} for name in (*names, "output")},
        opset_version=17,
        dynamo=False,
    )
