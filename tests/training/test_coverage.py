"""The examples of the coverage network hold their truth; its training starts from strokes."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from font_roboto import RobotoBold
from PIL import Image
from skimage import data

from operators.vision.stroke_network import PATH
from training.coverage import INPUTS, batch_of, inputs_of, overlay_of, sample, start_from
from training.strokes import HEIGHT, WIDTH, StrokeNet, export


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    file = tmp_path_factory.mktemp("pictures") / "coffee.png"
    Image.fromarray(data.coffee()).save(file)
    rng = random.Random(3)
    return np.stack([sample(rng, [str(file)], [RobotoBold]) for _ in range(24)])


def test_opacity_and_colour_of_an_example_are_those_of_its_overlay(examples: np.ndarray) -> None:
    overlays = [(example, found) for example in examples if (found := overlay_of(example)) is not None]
    assert len(overlays) > 12
    errors = []
    for example, (opacity, *colour) in overlays:
        alpha, seen, clean = example[:, :, 4] / 255, example[:, :, :3] / 255, example[:, :, 8:] / 255
        inside = (example[:, :, 3] > 0) & (np.abs(alpha - opacity) < 0.01)
        shown = (1 - opacity) * clean + opacity * np.array(colour)
        errors.append(float(np.median(np.abs(shown - seen)[inside])))
    # Those with an outline or a shadow have a second colour.
    assert np.mean(np.array(errors) < 0.03) > 0.85


def test_the_picture_below_is_the_clean_one_where_the_overlay_covers_it() -> None:
    clean, colour = torch.rand(1, 3, 16, 16), torch.ones(1, 3, 1, 1)
    opacity, polygon = torch.full((1, 1, 1, 1), 0.4), torch.zeros(1, 1, 16, 16)
    inputs = inputs_of((1 - opacity) * clean + opacity * colour, opacity, colour, polygon)
    assert inputs.shape == (1, INPUTS, 16, 16)
    torch.testing.assert_close(inputs[:, 3:6], clean * 2 - 1, atol=1e-4, rtol=0)


def test_a_batch_keeps_seen_truth_and_picture_together(examples: np.ndarray) -> None:
    known = np.array([found or (np.nan,) * 4 for found in map(overlay_of, examples)], np.float32)
    usable = np.isfinite(known[:, 0])
    for seed in range(4):
        batch = batch_of(examples[usable], known[usable], np.random.default_rng(seed))
        alpha = batch.opacity * batch.coverage
        shown = (1 - alpha) * batch.clean + alpha * batch.colour
        assert float((shown - (batch.inputs[:, :3] + 1) / 2).abs().median()) < 0.02


def test_training_starts_from_the_stroke_network() -> None:
    torch.manual_seed(0)
    network = StrokeNet(inputs=INPUTS)
    start_from(network, PATH)
    shown = np.random.default_rng(0).random((1, 4, HEIGHT, WIDTH), np.float32)
    planes = np.concatenate([shown[:, :3], np.zeros((1, 3, HEIGHT, WIDTH), np.float32), shown[:, 3:]], axis=1)
    with torch.no_grad():
        started = torch.sigmoid(network.eval()(torch.from_numpy(planes))).numpy()
    (expected,) = onnxruntime.InferenceSession(str(PATH)).run(None, {"crop": shown})
    np.testing.assert_allclose(started, expected, atol=1e-3)


def test_the_exported_network_returns_what_the_trained_one_does(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, planes = StrokeNet(inputs=INPUTS).eval(), torch.rand(1, INPUTS, 64, 96)
    torch.nn.init.normal_(network.convolutions()[-1].weight, std=0.1)
    export(network, tmp_path / "coverage.onnx", INPUTS, "coverage")
    (found,) = onnxruntime.InferenceSession(str(tmp_path / "coverage.onnx")).run(None, {"crop": planes.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, torch.sigmoid(network(planes)).numpy(), atol=1e-4)
