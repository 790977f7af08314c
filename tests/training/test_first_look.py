"""The exported first look sees pixels, the trained one blocks of them; both say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from training.first_look import FirstLook, WithProbabilities, export, of_blocks_to_pixels, of_pixels_to_blocks, start_from
from training.first_look_data import SIDE


@pytest.fixture(scope="module")
def network() -> FirstLook:
    """A network in which no two layers have the same values, as after training."""
    torch.manual_seed(0)
    network = FirstLook()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.2)
    return network.eval()


def returned(path: Path, picture: torch.Tensor) -> np.ndarray:
    """What an exported network returns."""
    return np.asarray(onnxruntime.InferenceSession(str(path)).run(None, {"picture": picture.numpy()})[0])


def test_the_exported_network_returns_what_the_trained_one_does_and_moves_no_pixels(network: FirstLook, tmp_path: Path) -> None:
    path, picture = tmp_path / "first_look.onnx", torch.rand(1, 3, 64, 96) * 2 - 1
    export(network, path)
    with torch.no_grad():
        np.testing.assert_allclose(returned(path, picture), WithProbabilities(network)(picture).numpy(), atol=1e-4)
    assert "Transpose" not in {node.op_type for node in onnx.load(str(path)).graph.node}


def test_training_starts_from_an_exported_network(network: FirstLook, tmp_path: Path) -> None:
    path = tmp_path / "first_look.onnx"
    export(network, path)
    torch.manual_seed(1)
    started, pictures = FirstLook(), np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    start_from(started, path, pictures)
    picture = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        np.testing.assert_allclose(WithProbabilities(started.eval())(picture).numpy(), returned(path, picture), atol=1e-3)


def test_weights_for_pixels_and_for_blocks_are_the_same_ones() -> None:
    weight = torch.rand(24, 48, 3, 3)
    assert torch.equal(of_pixels_to_blocks(of_blocks_to_pixels(weight)), weight)
