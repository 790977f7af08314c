"""diffusers' upscalers behind the common interface, on tiny networks with random weights."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from operators.enlarge import assemble
from operators.models.registry import cards
from operators.rows.failure import RunError
from operators.upscalers.catalogue import find_upscaler
from operators.upscalers.diffusion import diffusion_upscaler
from operators.upscalers.enlargement import Enlargement, Routing
from operators.upscalers.tiles import upscale_whole
from operators.upscalers.upscaler import Upscaler
from tests.operators.generators.tiny import saved

KINDS = ("upscale", "super_resolution")


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny upscaler that takes few steps."""
    path = saved(request.param, tmp_path_factory.mktemp("upscalers") / request.param)
    (path / "cleanplate.yaml").write_text("steps: 2\nlicence: MIT\n")
    return path


@pytest.fixture(scope="module")
def tiny_upscaler(folder: Path) -> Upscaler:
    return find_upscaler(str(folder), 4)


def test_the_folder_gives_the_tiling_and_its_card_the_licence(tiny_upscaler: Upscaler) -> None:
    assert (tiny_upscaler.scale, tiny_upscaler.multiple, tiny_upscaler.licence) == (4, 4, "MIT")
    assert 0 < tiny_upscaler.feather <= tiny_upscaler.overlap
    assert {len(checksum) for checksum in tiny_upscaler.identity()["sha256"].values()} == {64}


def test_a_picture_comes_out_at_its_scale_within_range_and_the_same_every_time(tiny_upscaler: Upscaler) -> None:
    picture = np.random.default_rng(0).random((16, 24, 3)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # diffusers warns about values in an unexpected range
        result = tiny_upscaler.opened()(picture)
    assert (result.shape, result.dtype) == ((64, 96, 3), np.float32)
    assert result.min() >= 0
    assert result.max() <= 1
    assert result.std() > 0
    assert np.array_equal(tiny_upscaler.opened()(picture), result)


def test_it_runs_in_tiles_as_every_upscaler_does(tiny_upscaler: Upscaler) -> None:
    picture = np.random.default_rng(0).random((21, 39, 3)).astype(np.float32)
    assert upscale_whole(tiny_upscaler, picture, side=16).shape == (84, 156, 3)


def test_its_result_passes_the_guard(folder: Path, photo: np.ndarray) -> None:
    small = np.ascontiguousarray(photo[100:132, 200:248])
    result = assemble(Enlargement(small, False, (192, 128), Routing(str(folder), threshold=-1.0)))
    shown = result.reshape(32, 4, 48, 4, 3).mean(axis=(1, 3))
    assert np.abs(shown - small)[2:-2, 2:-2].mean() < 8


def test_the_registrys_upscaler_has_a_card_of_its_family() -> None:
    card = cards()["sd-x4-upscaler"]
    assert (card.family, card.scale, card.licence) == ("upscaler", 4, "CreativeML Open RAIL++-M")


def test_a_model_that_fills_is_not_an_upscaler() -> None:
    with pytest.raises(RunError, match="option_invalid: patchmatch is of family classical, not an upscaler"):
        diffusion_upscaler("patchmatch")
