"""The generator of drawn pictures: order, choice, seeds and pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from operators.generators.contract import GeneratorContract
from operators.generators.generator import Described, Generator, Request
from operators.masks.mask import hole_of
from training.drawn import Batch, fill_in_groups
from training.drawn_generator import GROUPS, PixelAutoregression, likeliest, order_of
from training.drawn_network import Chooser, export


@pytest.fixture(scope="module")
def chooser() -> Chooser:
    """Both networks with random weights; the second one's last layer too, which starts at zero."""
    torch.manual_seed(0)
    chooser = Chooser()
    torch.nn.init.normal_(chooser.head.net[-1].weight)
    return chooser.eval()


@pytest.fixture(scope="module")
def model(chooser: Chooser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their exported folder."""
    folder = tmp_path_factory.mktemp("pixel_autoregression")
    export(chooser, folder)
    return folder


def drawing(height: int, width: int) -> np.ndarray:
    """A table: level and upright rules on striped paper."""
    picture = np.full((height, width, 3), 246, np.uint8)
    picture[: height // 2] = (226, 236, 250)
    picture[::11], picture[:, 5::23] = (40, 60, 90), (180, 30, 40)
    return picture


def line_request(height: int, width: int, seed: int = 5) -> Request:
    """A drawing with a line across it, masked as a user masks it."""
    mask = np.zeros((height, width, 4), np.uint8)
    middle = height // 2
    mask[middle - 4 : middle + 4, width // 8 : width - width // 8, :3] = 255
    return Request(drawing(height, width), mask, seed)


class TestContract(GeneratorContract):
    """The promises of every generator."""

    @pytest.fixture(autouse=True)
    def _with_model(self, model: Path) -> None:
        self.model = model

    def generator(self) -> Generator:
        return PixelAutoregression(self.model)


def fill_of(model: Path, request: Request) -> np.ndarray:
    """The pixels of one fill."""
    (fill,) = PixelAutoregression(model).fill([request])
    return fill.pixels


def test_every_seed_gives_the_same_bytes(model: Path) -> None:
    first, second = (fill_of(model, line_request(60, 90, seed)) for seed in (1, 2**62))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("size", [(128, 128), (40, 61), (131, 300), (260, 257)])
def test_outside_the_hole_every_pixel_is_the_crops_own(model: Path, size: tuple[int, int]) -> None:
    request = line_request(*size)
    fill, hole = fill_of(model, request), hole_of(request.mask) > 0
    assert np.array_equal(fill[~hole], request.pixels[~hole])


def test_the_fill_of_a_drawing_has_no_colour_that_the_drawing_lacks_but_blends(model: Path) -> None:
    """Where all known colours are equal, no other one can come out."""
    request = line_request(64, 64)
    request = Request(np.full_like(request.pixels, 93), request.mask, 1)
    assert (fill_of(model, request) == 93).all()


def test_a_fill_says_how_sure_its_choice_is(model: Path) -> None:
    (fill,) = PixelAutoregression(model).fill([line_request(64, 64)])
    assert isinstance(fill, Described)
    figures = dict(fill.figures)
    assert 0 < figures["least_confidence"] <= figures["confidence"] <= 1


def test_an_empty_mask_returns_the_crop(model: Path) -> None:
    request = line_request(64, 64)
    assert np.array_equal(fill_of(model, Request(request.pixels, 0 * request.mask, 1)), request.pixels)


def test_pixels_near_the_border_of_the_hole_are_decided_first_in_groups_of_one_size() -> None:
    hole = np.zeros((40, 40), bool)
    hole[10:30, 10:30] = True
    order = order_of(hole)
    assert (order[~hole] == 0).all()
    assert order[10, 10:30].max() < order[20, 20] == GROUPS
    counts = np.bincount(order[hole])[1:]
    assert len(counts) == GROUPS and counts.max() - counts.min() <= 1


def test_candidates_of_nearly_one_colour_count_together() -> None:
    colours = np.array([[[10, 10, 10], [11, 10, 10], [200, 0, 0]]], np.uint8)
    chosen, sure = likeliest(np.log(np.array([[0.3, 0.3, 0.4]], np.float32)), colours)
    assert chosen[0] in (0, 1)
    assert 0.55 < sure[0] <= 0.6


def test_training_and_use_fill_alike(chooser: Chooser, model: Path) -> None:
    from operators.generators.classical import navier_stokes, patchmatch

    request = line_request(128, 128)
    hole = hole_of(request.mask)
    fills = (patchmatch(request.pixels, hole, 0), navier_stokes(request.pixels, hole, 0))
    example = np.dstack([request.pixels, request.pixels, *fills, request.mask[:, :, :3]])[None]
    expected = fill_in_groups(chooser, Batch(example))[0].round().byte().numpy()
    assert (expected != fill_of(model, request)).any(axis=2).mean() < 0.001
