"""Soft masks reach latent cells without losing strokes; strength follows weight and confidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.generators.canvas import Canvas
from operators.generators.strength import latent_cells, strength_of, threshold
from operators.masks.mask import BLEND, CONFIDENCE, CORE

FACTOR = 8


@given(st.integers(0, 254), st.integers(40, 600), st.integers(1, 2), st.booleans())
def test_a_stroke_of_one_or_two_pixels_reaches_the_cells_wherever_it_is_and_however_the_crop_shrinks(at, side, thick, lying):
    at = at * (side - thick) // 254
    channel = np.zeros((side, side), np.uint8)
    channel[at : at + thick, : side // 2] = 255
    channel = channel if lying else channel.T
    cells = latent_cells(channel, Canvas.of(side, side, 256, 8), FACTOR)
    assert cells.shape == (32, 32)
    assert cells.max() == 1.0
    along = cells.max(axis=0 if lying else 1)
    assert (along[:15] == 1).all() and not along[18:].any()


def test_cells_are_exactly_the_blocks_that_a_stroke_touches():
    channel = np.zeros((64, 64), np.uint8)
    channel[15:17, 8:24] = 255
    expected = np.zeros((8, 8), np.float32)
    expected[1:3, 1:3] = 1
    assert np.array_equal(latent_cells(channel, Canvas.of(64, 64, 64, 8), FACTOR), expected)


def strength(core=0, blend=0, confidence=0):
    mask = np.zeros((1, 1, 4), np.uint8)
    mask[..., CORE], mask[..., BLEND], mask[..., CONFIDENCE] = core, blend, confidence
    return int(strength_of(mask)[0, 0])


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ({}, 0),
        ({"confidence": 255}, 0),
        ({"core": 255, "confidence": 255}, 255),
        ({"core": 255}, 128),
        ({"blend": 100, "confidence": 255}, 100),
        ({"blend": 100}, 50),
        ({"core": 255, "blend": 10, "confidence": 255}, 255),
    ],
)
def test_strength_is_the_larger_weight_halved_where_nothing_is_sure(channels, expected):
    assert strength(**channels) == expected


@given(*[st.integers(0, 255)] * 4)
def test_more_blend_or_more_confidence_never_weakens(blend, more_blend, confidence, more_confidence):
    weak = strength(0, min(blend, more_blend), min(confidence, more_confidence))
    strong = strength(0, max(blend, more_blend), max(confidence, more_confidence))
    assert weak <= strong


def test_a_border_grown_around_a_sure_stroke_is_as_sure_as_the_stroke():
    mask = np.zeros((32, 32, 4), np.uint8)
    mask[15:17, :, CORE] = mask[15:17, :, CONFIDENCE] = 255
    mask[12:20, :, BLEND] = 255
    assert (strength_of(mask)[12:20] == 255).all()


def test_the_threshold_falls_evenly_from_all_to_almost_none():
    thresholds = [threshold(step, 5) for step in range(5)]
    assert thresholds == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
