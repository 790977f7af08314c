"""A perceptual loss for training: distances of VGG features, by other weights than the ones that
judge.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch
import torch.nn.functional as f
from torch import nn

LAYERS = (("slice1.0", "slice1.2"), ("slice2.6", "slice2.8"), ("slice3.12",))


class FeatureDistance(nn.Module):
    """Squared distance of unit-normalised features of VGG-16 at the ends of its first two blocks
    and in its third, the maxima between them low-passed.

    After Zhang et al., "The Unreasonable Effectiveness of Deep Features" (2018), all channels
    weighing the same. The weights (BSD-2) are the VGG ones of the package `stlpips-pytorch`; the
    project judges by its AlexNet ones, so that no model is trained on the figure it is measured
    by.
    """

    def __init__(self) -> None:
        super().__init__()
        path = Path(str(files("stlpips_pytorch"))) / "weights" / "vST0.0" / "vgg_shift_tolerant.pth"
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.shift, self.scale = state["scaling_layer.shift"], state["scaling_layer.scale"]
        self.blocks = [[(state[f"net.{n}.weight"], state[f"net.{n}.bias"]) for n in block] for block in LAYERS]
        binomial = torch.tensor([1.0, 2.0, 1.0])
        self.low_pass = binomial[:, None] * binomial / 16

    def _features(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for number, block in enumerate(self.blocks):
            if number:
                x = f.pad(f.max_pool2d(x, 2, stride=1), (1, 2, 1, 2), mode="replicate")
                kernel = self.low_pass.to(x.dtype).expand(x.shape[1], 1, 3, 3)
                x = f.conv2d(x, kernel, stride=2, groups=x.shape[1])
            for weight, bias in block:
                x = f.relu(f.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), padding=1))
            found.append(x)
        return found

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """One distance a picture; both batch x 3 x height x width in -1..1. Only `first` gets a
        gradient.
        """
        shift, scale = self.shift.to(first.dtype), self.scale.to(first.dtype)
        mine = self._features((first - shift) / scale)
        with torch.no_grad():
            theirs = self._features((second - shift) / scale)
        total = first.new_zeros(len(first), dtype=torch.float32)
        for pair in zip(mine, theirs, strict=True):
            a, b = (_unit(features.float()) for features in pair)
            total = total + (a - b).square().sum(1).mean((1, 2))
        return total


def _unit(features: torch.Tensor) -> torch.Tensor:
    return features * torch.rsqrt(features.square().sum(1, keepdim=True) + 1e-6)
