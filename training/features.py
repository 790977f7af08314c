"""A perceptual loss for training: distances of VGG features, with other weights than the
metric's.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch
import torch.nn.functional as f
from torch import nn

LAYERS = (("slice1.0", "slice1.2"), ("slice2.6", "slice2.8"), ("slice3.12",))


class FeatureDistance(nn.Module):
    """Squared distance of unit-normalised features of VGG-16, from the ends of its first two
    blocks and from its third, with low-passed maxima between blocks.

    After Zhang et al., "The Unreasonable Effectiveness of Deep Features" (2018), with equal
    weights for all channels. The weights (BSD-2) are the VGG weights of the package
    `stlpips-pytorch`; the metric uses its AlexNet weights, so that no model is trained on the
    figure that measures it.
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
        features = []
        for number, block in enumerate(self.blocks):
            if number:
                x = f.pad(f.max_pool2d(x, 2, stride=1), (1, 2, 1, 2), mode="replicate")
                kernel = self.low_pass.to(x.dtype).expand(x.shape[1], 1, 3, 3)
                x = f.conv2d(x, kernel, stride=2, groups=x.shape[1])
            for weight, bias in block:
                x = f.relu(f.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), padding=1))
            features.append(x)
        return features

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """One distance per picture; both inputs are batch x 3 x height x width in -1..1.

        Only `first` gets a gradient.
        """
        shift, scale = self.shift.to(first.dtype), self.scale.to(first.dtype)
        features = self._features((first - shift) / scale)
        with torch.no_grad():
            target = self._features((second - shift) / scale)
        total = first.new_zeros(len(first), dtype=torch.float32)
        for pair in zip(features, target, strict=True):
            a, b = (_unit(layer.float()) for layer in pair)
            total = total + (a - b).square().sum(1).mean((1, 2))
        return total


def _unit(features: torch.Tensor) -> torch.Tensor:
    return features * torch.rsqrt(features.square().sum(1, keepdim=True) + 1e-6)
