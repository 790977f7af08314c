"""Measure how different two pictures look to a viewer: shift-tolerant LPIPS."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from operators.models.in_process import load_once
from operators.rows.arrays import Pixels

if TYPE_CHECKING:
    import torch

LEAST_SIDE = 32
"""Side in pixels to which smaller pictures are continued by reflection.

The network's last layers are empty for smaller pictures.
"""


def weights_path() -> Path:
    """The AlexNet weights (BSD-2) inside the installed `stlpips-pytorch` package."""
    return Path(str(files("stlpips_pytorch"))) / "weights" / "vST0.0" / "alex_shift_tolerant.pth"


class PerceptualDistance:
    """Shift-tolerant LPIPS with AlexNet (Ghildyal and Liu, ECCV 2022).

    The distance is 0 for equal pictures and larger for more visible changes. It is a learnt
    distance between features of five layers, each unit-normalised over its channels. Features are
    low-passed before they are subsampled, so a shift by a pixel or two, which nobody sees, costs
    almost nothing. The weights are the authors'; the network was written from the paper and the
    shapes of the weights.
    """

    def __init__(self, path: Path) -> None:
        import torch

        state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        self._convolutions = [
            (state[f"net.{name}.weight"], state[f"net.{name}.bias"])
            for name in ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
        ]
        self._linear = [state[f"lin{layer}.model.1.weight"] for layer in range(5)]
        self._shift, self._scale = state["scaling_layer.shift"], state["scaling_layer.scale"]

    def _features(self, x: torch.Tensor) -> list[torch.Tensor]:
        import torch.nn.functional as f

        def convolved(x: torch.Tensor, layer: int, padding: int) -> torch.Tensor:
            weight, bias = self._convolutions[layer]
            return f.conv2d(x, weight, bias, padding=padding)

        def halved(x: torch.Tensor) -> torch.Tensor:
            binomial = x.new_tensor([1.0, 2.0, 1.0])
            kernel = (binomial[:, None] * binomial / 16).expand(x.shape[1], 1, 3, 3)
            return f.conv2d(f.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])

        def pooled(x: torch.Tensor) -> torch.Tensor:
            return halved(f.max_pool2d(x, 3, stride=1))

        first = f.relu(halved(convolved(x, 0, 2)))
        second = f.relu(convolved(pooled(first), 1, 2))
        third = f.relu(convolved(pooled(second), 2, 1))
        fourth = f.relu(convolved(third, 3, 1))
        fifth = f.relu(convolved(fourth, 4, 1))
        return [first, second, third, fourth, fifth]

    def maps(self, first: Pixels, second: Pixels) -> list[npt.NDArray[np.float32]]:
        """The distance at every place of each of the five layers.

        `distance` is the sum of the maps' means.
        """
        import torch

        with torch.inference_mode():
            x = torch.cat([(_as_tensor(picture) - self._shift) / self._scale for picture in (first, second)])
            maps = []
            for features, weight in zip(self._features(x), self._linear, strict=True):
                unit = features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)
                squared = (unit[:1] - unit[1:]).square()
                maps.append((squared * weight).sum(1)[0].numpy())
        return maps

    def distance(self, first: Pixels, second: Pixels) -> float:
        """The distance of two uint8 pictures of one shape, height x width x 3.

        It is exactly 0 for equal pictures. Raises ValueError if the shapes differ.
        """
        if first.shape != second.shape:
            raise ValueError(f"{first.shape} and {second.shape} differ")
        if np.array_equal(first, second):
            return 0.0
        return float(sum(float(layer.mean()) for layer in self.maps(first, second)))


def _as_tensor(picture: Pixels) -> Any:
    import torch

    down, right = (max(0, LEAST_SIDE - side) for side in picture.shape[:2])
    if down or right:
        picture = np.pad(picture, ((0, down), (0, right), (0, 0)), mode="symmetric")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1


def perceptual_distance() -> PerceptualDistance:
    """The perceptual distance, loaded once per process."""
    return load_once("stlpips-alex", "0.0.2", "cpu", lambda: PerceptualDistance(weights_path()))
