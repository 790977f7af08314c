"""The training of the generator of drawn pictures: its drawings, examples and orders."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from flows.evaluation.captions import typefaces
from training.drawn import BATCH, SIDE, Batch, likeliest, loss_of, random_order, train, views
from training.drawn_data import CHANNELS, PICTURES, example
from training.drawn_network import Chooser
from training.drawn_pictures import DRAWINGS, Drawing, drawn_picture

KINDS = [drawing for drawing, _ in DRAWINGS]


@pytest.mark.parametrize("drawing", KINDS, ids=[drawing.__name__ for drawing in KINDS])
def test_a_seed_gives_one_drawing_of_the_wanted_size(drawing: Drawing) -> None:
    for seed in range(20):
        first, again = (drawing(random.Random(seed), 90) for _ in range(2))
        assert first.shape == (90, 90, 3) and first.dtype == np.uint8
        assert np.array_equal(first, again)


def test_drawings_of_different_seeds_differ() -> None:
    pictures = {drawn_picture(random.Random(seed), 64).tobytes() for seed in range(20)}
    assert len(pictures) == 20


@pytest.fixture(scope="module")
def examples() -> np.ndarray:
    """Enough examples for a batch."""
    rng, fonts, made = random.Random(3), list(typefaces().values()), []
    while len(made) < BATCH:
        one = example(rng, fonts)
        made += [] if one is None else [one]
    return np.stack(made)


def test_text_changes_an_example_only_inside_its_hole_but_for_compression(examples: np.ndarray) -> None:
    clean, shown = (examples[..., CHANNELS[name]].astype(int) for name in ("clean", "shown"))
    hole = examples[..., CHANNELS["mask"]][..., :2].max(axis=3) > 0
    changed = np.abs(clean - shown).max(axis=3) > 40
    assert (changed & hole).sum() > 10 * (changed & ~hole).sum()
    assert all(0.01 < part.mean() < 0.4 for part in hole)


def test_the_fills_of_an_example_equal_the_shown_picture_outside_the_hole(examples: np.ndarray) -> None:
    hole = examples[..., CHANNELS["mask"]][..., :2].max(axis=3) > 0
    for name in ("patchmatch", "smooth"):
        assert np.array_equal(examples[~hole][:, CHANNELS[name]], examples[~hole][:, CHANNELS["shown"]])


def test_views_keep_the_channels_aligned(examples: np.ndarray) -> None:
    batch = views(examples, np.random.default_rng(1))
    assert batch.shape == (BATCH, SIDE, SIDE, examples.shape[3])
    hole = batch[..., PICTURES:][..., :2].max(axis=3) > 0
    assert hole.any(axis=(1, 2)).all()
    assert np.array_equal(batch[~hole][:, CHANNELS["smooth"]], batch[~hole][:, CHANNELS["shown"]])


def test_an_order_has_groups_of_one_size_inside_the_hole_alone() -> None:
    hole = torch.zeros(6, 40, 40, dtype=torch.bool)
    hole[:, 8:32, 10:20] = True
    order = random_order(hole, np.random.default_rng(0), 8)
    assert (order[~hole] == 0).all()
    for one, inside in zip(order, hole, strict=True):
        counts = torch.bincount(one[inside].long())[1:]
        assert len(counts) == 8 and counts.max() - counts.min() <= 1


def test_a_few_steps_on_one_batch_lower_its_loss(examples: np.ndarray) -> None:
    torch.manual_seed(0)
    chooser, batch = Chooser(), Batch(views(examples, np.random.default_rng(1)))
    optimiser = torch.optim.AdamW(chooser.parameters(), 2e-3)
    losses = []
    for _ in range(6):
        loss = loss_of(chooser, batch, np.random.default_rng(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_training_chooses_as_a_run_does() -> None:
    from training import drawn_generator

    rng = np.random.default_rng(0)
    logits = rng.standard_normal((50, 31)).astype(np.float32)
    colours = rng.integers(0, 256, (50, 31, 3), np.uint8)
    chosen, sure = drawn_generator.likeliest(logits, colours)
    expected = likeliest(torch.from_numpy(logits), torch.from_numpy(colours).float())
    assert np.array_equal(chosen, expected[0].numpy())
    assert np.allclose(sure, expected[1].numpy(), atol=1e-5)


def test_a_training_goes_on_from_its_checkpoint(examples: np.ndarray, tmp_path: Path) -> None:
    for name in ("train-0000.npy", "validation-0.npy"):
        np.save(tmp_path / name, examples)
    steps = []
    for minutes, resume in ((0.02, False), (0.04, True)):
        train(argparse.Namespace(data=tmp_path, work=tmp_path, minutes=minutes, every=60, held=1, resume=resume))
        steps.append(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"])
    assert 0 < steps[0] < steps[1]
    assert steps[0] % 100
