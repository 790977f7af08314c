"""The perceptual distance: zero for equal pictures, small for slight shifts, large for blurs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from operators.metrics.perceptual import LEAST_SIDE, perceptual_distance, weights_path

CONVOLUTIONS = (("slice1.0", 2), ("slice2.5", 2), ("slice3.9", 1), ("slice4.11", 1), ("slice5.13", 1))
"""The five convolutions by their names in the weights, with their zero padding per side."""


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return perceptual_distance().distance(first, second)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), sigma)


@pytest.fixture(scope="module")
def crop(photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photo[60:220, 130:330])


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, padding: int) -> np.ndarray:
    windows = sliding_window_view(np.pad(x, ((0, 0), (padding, padding), (padding, padding))), weight.shape[2:], (1, 2))
    return np.tensordot(weight, windows, ((1, 2, 3), (0, 3, 4))) + bias[:, None, None]


def low_passed_and_halved(x: np.ndarray) -> np.ndarray:
    windows = sliding_window_view(np.pad(x, ((0, 0), (2, 2), (2, 2)), mode="reflect"), (3, 3), (1, 2))
    binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
    return (windows * binomial).sum((3, 4))[:, ::2, ::2]


def pooled(x: np.ndarray) -> np.ndarray:
    return low_passed_and_halved(sliding_window_view(x, (3, 3), (1, 2)).max((3, 4)))


def by_hand(first: np.ndarray, second: np.ndarray) -> float:
    """The distance in float64 by numpy, from the paper's description and the published weights."""
    state = torch.load(weights_path(), map_location="cpu", weights_only=True)
    weights = {name: value.double().numpy() for name, value in state.items()}
    features: list[list[np.ndarray]] = []
    for picture in (first, second):
        x = picture.transpose(2, 0, 1) / 127.5 - 1
        x = (x - weights["scaling_layer.shift"][0]) / weights["scaling_layer.scale"][0]
        layers = []
        for number, (name, padding) in enumerate(CONVOLUTIONS):
            if number in (1, 2):
                x = pooled(x)
            x = convolved(x, weights[f"net.{name}.weight"], weights[f"net.{name}.bias"], padding)
            x = np.maximum(low_passed_and_halved(x) if number == 0 else x, 0)
            layers.append(x / (np.sqrt((x**2).sum(0)) + 1e-10))
        features.append(layers)
    return sum(
        float(((one - other) ** 2 * weights[f"lin{number}.model.1.weight"][0]).sum(0).mean())
        for number, (one, other) in enumerate(zip(*features, strict=True))
    )


def test_equal_pictures_have_a_distance_of_exactly_zero(crop: np.ndarray) -> None:
    assert distance(crop, crop) == 0.0
    assert distance(crop, crop.copy()) == 0.0


def test_the_distance_does_not_depend_on_which_picture_comes_first(crop: np.ndarray) -> None:
    assert distance(crop, blurred(crop, 2)) == pytest.approx(distance(blurred(crop, 2), crop), rel=1e-6)


def test_the_same_pictures_have_the_same_distance(crop: np.ndarray) -> None:
    assert distance(crop, blurred(crop, 2)) == distance(crop, blurred(crop, 2))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_by_a_pixel_costs_far_less_than_a_blur(axis: int, photo: np.ndarray) -> None:
    picture, shifted = photo[20:300, 20:300], np.roll(photo, 1, axis)[20:300, 20:300]
    assert 0 < distance(picture, shifted) < 0.1 * distance(picture, blurred(picture, 1.5))


def test_a_stronger_blur_costs_more(crop: np.ndarray) -> None:
    costs = [distance(crop, blurred(crop, sigma)) for sigma in (0.5, 1, 2, 4, 8)]
    assert (np.diff([0.0, *costs]) > 0).all()


def test_stronger_noise_costs_more(crop: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(0, 1, crop.shape)
    costs = [distance(crop, np.clip(crop + strength * noise, 0, 255).astype(np.uint8)) for strength in (2, 8, 32)]
    assert (np.diff([0.0, *costs]) > 0).all()


def test_text_left_on_a_picture_costs_more_than_a_faint_tint(
    captioned: tuple[np.ndarray, np.ndarray], photo: np.ndarray
) -> None:
    part = np.s_[40:120, 20:360]
    tinted = np.clip(photo.astype(int) + 3, 0, 255).astype(np.uint8)
    assert distance(photo[part], captioned[0][part]) > 10 * distance(photo[part], tinted[part])


@pytest.mark.parametrize("size", [(40, 40), (33, 47)])
def test_the_distance_agrees_with_a_second_implementation(size: tuple[int, int], photo: np.ndarray) -> None:
    first = photo[100 : 100 + size[0], 200 : 200 + size[1]]
    for second in (blurred(first, 1.5), np.roll(first, 3, 1), 255 - first):
        assert distance(first, second) == pytest.approx(by_hand(first, second), rel=1e-4)


def test_the_distance_is_the_sum_of_the_means_of_its_five_maps(crop: np.ndarray) -> None:
    maps = perceptual_distance().maps(crop, blurred(crop, 2))
    assert len(maps) == 5
    assert all(layer.ndim == 2 and layer.min() >= 0 for layer in maps)
    assert distance(crop, blurred(crop, 2)) == pytest.approx(sum(float(layer.mean()) for layer in maps), rel=1e-9)


def test_the_maps_show_where_the_pictures_differ(crop: np.ndarray) -> None:
    marked = crop.copy()
    marked[20:60, 20:60] = 255 - marked[20:60, 20:60]
    for layer in perceptual_distance().maps(crop, marked)[:2]:
        rows, columns = (round(60 * share) for share in (layer.shape[0] / 160, layer.shape[1] / 200))
        assert layer[:rows, :columns].mean() > 20 * layer[layer.shape[0] // 2 + 6 :, layer.shape[1] // 2 + 6 :].mean()


def test_pictures_of_different_shapes_are_refused(crop: np.ndarray) -> None:
    with pytest.raises(ValueError, match="differ"):
        distance(crop, crop[:-1])
    with pytest.raises(ValueError, match="differ"):
        distance(crop, crop[:, :, :1])


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (9, 31), (LEAST_SIDE, LEAST_SIDE)])
def test_small_pictures_have_a_distance_too(size: tuple[int, int], photo: np.ndarray) -> None:
    small = photo[200 : 200 + size[0], 200 : 200 + size[1]]
    assert distance(small, small) == 0.0
    assert 0 < distance(small, 255 - small) < 2
