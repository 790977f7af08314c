"""Loss by resampling, the boxes that cover lossy blocks, and white noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw, ImageFont

from operators.upscalers.detail_loss import BLOCK, cover, denoised, in_pixels, noise_level, resampling_loss


def noise(sigma, shape=(160, 160)):
    return np.random.default_rng(0).normal(128, sigma, shape).astype(np.float32)


def test_flat_parts_and_ramps_lose_nothing_and_letters_do():
    image = Image.fromarray(np.broadcast_to(np.linspace(40, 200, 160).astype(np.uint8), (96, 160)))
    ImageDraw.Draw(image).text((66, 36), "ab", font=ImageFont.load_default(14), fill=0)
    loss = resampling_loss(np.asarray(image, np.float32))
    assert loss.shape == (6, 10)
    written = np.zeros_like(loss, bool)
    written[2:4, 4:6] = True
    assert loss[written].max() > 10
    assert loss[0].max() < 1


def test_noise_does_not_count_as_lost_detail():
    grey = noise(6)
    assert np.median(resampling_loss(grey)) > 4
    assert np.median(resampling_loss(grey, noise=6)) < 2


def test_a_strip_is_judged_as_in_the_whole_picture(photo):
    grey = np.tile(photo[:, :64, 0], (2, 1)).astype(np.float32)
    loss = resampling_loss(grey)
    assert np.abs(loss[3:13] - resampling_loss(grey[:256])[3:13]).max() < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (17, 16), (33, 47)])
def test_every_size_has_a_loss_for_each_block(shape):
    assert resampling_loss(np.zeros(shape, np.float32)).shape == (-(-shape[0] // BLOCK), -(-shape[1] // BLOCK))


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.integers(0, 24))
def test_the_boxes_cover_every_chosen_block_and_never_cost_more_than_one_box(chosen, overlap):
    boxes = cover(chosen, overlap)
    covered = np.zeros_like(chosen)
    for box in boxes:
        covered[box.y : box.y + box.height, box.x : box.x + box.width] = True
    assert (covered | ~chosen).all()
    assert bool(boxes) == bool(chosen.any())

    def cost(box):
        return (box.width * BLOCK + 2 * overlap) * (box.height * BLOCK + 2 * overlap)

    if boxes:
        union = boxes[0]
        for box in boxes[1:]:
            union = union.union(box)
        assert sum(map(cost, boxes)) <= cost(union)


def test_distant_blocks_get_separate_boxes():
    chosen = np.zeros((10, 10), bool)
    chosen[0, 0] = chosen[9, 9] = True
    assert len(cover(chosen, 10)) == 2


def test_boxes_end_at_the_picture():
    boxes = in_pixels(cover(np.ones((2, 2), bool), 0), 20, 30)
    assert [(box.x, box.y, box.width, box.height) for box in boxes] == [(0, 0, 20, 30)]


@pytest.mark.parametrize("sigma", [2.0, 5.0, 12.0])
def test_the_noise_is_measured_to_a_fifth_on_a_flat_picture(sigma):
    assert noise_level(noise(sigma)) == pytest.approx(sigma, rel=0.2)


def test_a_clean_picture_has_no_noise():
    assert noise_level(np.full((64, 64), 90, np.float32)) < 1e-3
    assert noise_level(np.zeros((1, 1), np.float32)) == 0


def test_noise_goes_and_edges_stay():
    edge = np.zeros((64, 64, 1), np.float32)
    edge[:, 32:] = 0.8
    noisy = edge + np.random.default_rng(1).normal(0, 0.02, edge.shape).astype(np.float32)
    clean = denoised(noisy, np.array([0.02], np.float32))
    flat = np.s_[:, :24]
    assert clean[flat].std() < 0.5 * noisy[flat].std()
    assert np.abs(clean[:, 33:].mean() - clean[:, :31].mean()) == pytest.approx(0.8, abs=0.02)
    assert np.abs(clean - edge)[:, 30:34].mean() < 0.03
