"""Amused fills one region at a time and changes only tokens that the hole touches."""

import numpy as np
import pytest
import torch


@pytest.mark.parametrize("size", [(200, 200), (60, 180), (180, 60)])
def test_a_stroke_of_two_pixels_masks_the_tokens_that_it_touches(generator, request_of, size):
    chosen, request = generator("amused"), request_of(*size)
    height, width = chosen.shape(request)
    tokens = chosen.tokens(request)
    assert tokens.shape == (1, 1, height // 8, width // 8)
    rows, columns = torch.nonzero(tokens[0, 0], as_tuple=True)
    assert 1 <= len(rows.unique()) <= 2
    assert len(columns.unique()) >= 0.4 * width / 8


def test_tokens_that_are_not_masked_stay_those_of_the_picture(generator, request_of):
    chosen, request = generator("amused"), request_of(60, 180)
    pipeline, shown = chosen.loaded.pipeline, []
    hook = pipeline.transformer.register_forward_pre_hook(lambda module, values: shown.append(values[0].clone()))
    try:
        chosen.fill([request])
    finally:
        hook.remove()
    masked = chosen.tokens(request)[0] > 0
    unknown = pipeline.scheduler.config.mask_token_id
    assert torch.equal(shown[0][:1] == unknown, masked)
    for later in shown[1:]:
        assert torch.equal(later[:1][~masked], shown[0][:1][~masked])
        assert ((later[:1] == unknown) <= masked).all()
    left = [int((tokens[:1] == unknown).sum()) for tokens in shown]
    assert left == sorted(left, reverse=True) and left[-1] < left[0]


def test_regions_are_filled_one_at_a_time_whatever_the_card_says(generator, request_of):
    assert generator("amused", microbatch=8).microbatch(request_of()) == 1


def test_temperature_is_a_setting(generator, request_of):
    cool, warm = (generator("amused", stochasticity=value, steps=6).fill([request_of(60, 60)])[0] for value in (0.0, 20.0))
    assert not np.array_equal(cool, warm)
