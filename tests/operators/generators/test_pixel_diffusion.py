"""Pixel diffusion: packing, windows, seeds and pixels, on a small untrained network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from operators.generators.catalogue import check_model, generator_of
from operators.generators.classical import navier_stokes, patchmatch
from operators.generators.generator import Request
from operators.generators.pixel_diffusion import (
    GRAPH,
    PACKING,
    SIDES,
    WEIGHTS,
    Network,
    PixelDiffusion,
    Start,
    cheapest_windows,
    depth_to_space,
    hints,
    levels,
    sample,
    space_to_depth,
    visible,
    windows,
)
from operators.masks.mask import dilated, feathered, hole_of
from operators.models.onnx_session import onnx_session
from operators.models.registry import fetch_weights, pin_checksums, resolve
from operators.rows.failure import RunError
from training.diffusion import ARCHITECTURE, Crops, estimated
from training.diffusion_export import export


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported folder of a narrower network of the same architecture, with random weights."""
    root = tmp_path_factory.mktemp("pixel_diffusion")
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(**ARCHITECTURE | {"block_out_channels": (16, 16, 32)})
    network.half().save_pretrained(root / "work" / "unet", safe_serialization=True)
    export(root / "work", root / "model")
    return root / "model"


def line_request(photo: np.ndarray, height: int, width: int, seed: int = 5) -> Request:
    """A crop of the photograph with a soft line across it, as `soften` makes one.

    `blend` fades outside `core`.
    """
    mask = np.zeros((height, width, 4), np.uint8)
    middle = height // 2
    mask[middle - 3 : middle + 3, 8 : width - 8, 0] = 255
    mask[middle - 5 : middle + 5, 8 : width - 8, 1] = 90
    mask[middle - 3 : middle + 3, 8 : width - 8, 1] = 255
    return Request(np.ascontiguousarray(photo[40 : 40 + height, 60 : 60 + width]), mask, seed)


@given(
    arrays.arrays(
        np.float32,
        st.tuples(*[st.integers(1, 6).map(lambda n: n * PACKING)] * 2, st.integers(1, 5)),
        elements=st.floats(width=32, allow_nan=False),
    )
)
def test_unpacking_gives_back_every_bit(field: np.ndarray) -> None:
    assert depth_to_space(space_to_depth(field)).tobytes() == field.tobytes()


def test_packing_orders_channels_as_the_network_was_trained_with() -> None:
    field = np.random.default_rng(0).standard_normal((8, 12, 5)).astype(np.float32)
    expected = torch.nn.functional.pixel_unshuffle(torch.from_numpy(field).permute(2, 0, 1)[None], PACKING)[0].numpy()
    assert np.array_equal(space_to_depth(field), expected)


def test_the_picture_shows_through_a_mask_of_strokes_but_not_where_other_regions_have_theirs() -> None:
    pixels, fill = np.full((20, 20, 3), 90, np.uint8), np.full((20, 20, 3), 30, np.uint8)
    mask = np.zeros((20, 20, 4), np.uint8)
    mask[4:8, 4:16] = (255, 255, 200, 0)
    mask[12:16, 4:16] = (255, 0, 0, 0)
    seen = visible(pixels, fill, mask)
    assert (seen[:12] == 90).all()
    assert (seen[12:16, 4:16] == 30).all()
    assert (seen[16:] == 90).all()


@pytest.mark.parametrize("weight", [255, 130])
def test_the_picture_below_a_users_mask_is_not_seen(weight: int) -> None:
    pixels, fill = np.full((20, 20, 3), 90, np.uint8), np.full((20, 20, 3), 30, np.uint8)
    mask = np.zeros((20, 20, 4), np.uint8)
    mask[4:8, 4:16] = (255, weight, weight, 0)
    assert (visible(pixels, fill, mask) == np.where(mask[:, :, :1] > 0, 30, 90)).all()


@given(
    shape=st.tuples(st.integers(256, 600), st.integers(256, 600)),
    boxes=st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=4),
)
@settings(deadline=None)
def test_windows_of_either_side_cover_every_pixel_of_the_hole_and_stay_in_the_crop(
    shape: tuple[int, int], boxes: list[tuple[float, float, float, float]]
) -> None:
    hole = np.zeros(shape, np.uint8)
    for top, left, height, width in boxes:
        y, x = int(top * (shape[0] - 1)), int(left * (shape[1] - 1))
        hole[y : y + 1 + int(height * 80), x : x + 1 + int(width * 300)] = 255
    for side in SIDES:
        covered = np.zeros(shape, bool)
        for y, x in windows(hole, side):
            assert 0 <= y <= shape[0] - side and 0 <= x <= shape[1] - side
            covered[y : y + side, x : x + side] = True
        assert covered[hole > 0].all()


def test_windows_are_only_where_the_hole_is() -> None:
    hole = np.zeros((512, 512), np.uint8)
    assert windows(hole, 128) == []
    hole[250:260, 30:50] = 255
    assert cheapest_windows(hole) == (128, [(191, 0)])


def test_levels_lead_from_noise_to_clean_in_even_steps() -> None:
    assert levels(4) == [(1.0, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0.0)]
    assert levels(1) == [(1.0, 0.0)]


@pytest.mark.parametrize("size", [(128, 128), (40, 61), (131, 300), (260, 257)])
def test_outside_the_hole_every_pixel_is_the_crops_own(model: Path, photo: np.ndarray, size: tuple[int, int]) -> None:
    request = line_request(photo, *size)
    (fill,) = PixelDiffusion(model, 1).fill([request])
    outside = hole_of(request.mask) == 0
    assert fill.shape == request.pixels.shape and fill.dtype == np.uint8
    assert np.array_equal(fill[outside], request.pixels[outside])
    assert not np.array_equal(fill, request.pixels)


def test_the_same_seed_gives_the_same_bytes_alone_or_among_others(model: Path, photo: np.ndarray) -> None:
    one, other = line_request(photo, 130, 150), line_request(photo, 128, 128, seed=9)
    generator = PixelDiffusion(model, 2)
    (alone,) = generator.fill([one])
    _, among, _ = generator.fill([other, one, other])
    assert np.array_equal(alone, among)


def test_another_seed_draws_another_residual_from_the_same_start(model: Path, photo: np.ndarray) -> None:
    request = line_request(photo, 128, 128)
    hole = hole_of(request.mask)
    start = patchmatch(request.pixels, hole, 1)
    first, again, second = (PixelDiffusion(model, 2).corrected(request.pixels, request.mask, start, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_the_residual_is_zero_outside_the_hole_and_corrects_the_start_inside(model: Path, photo: np.ndarray) -> None:
    request = line_request(photo, 128, 128)
    hole = hole_of(request.mask)
    start = Start.of(request.pixels, patchmatch(request.pixels, hole, 1), request.pixels, request.mask)
    residual = sample(Network(model), start, 3, 2)
    assert (residual[hole == 0] == 0).all()
    assert (residual[hole > 0] != 0).any()


def test_an_empty_mask_returns_the_crop(model: Path, photo: np.ndarray) -> None:
    request = line_request(photo, 64, 64)
    (fill,) = PixelDiffusion(model, 4).fill([replace(request, mask=np.zeros_like(request.mask))])
    assert np.array_equal(fill, request.pixels)


def test_the_graph_runs_the_weights_of_its_safetensors_file(model: Path) -> None:
    assert not [path.name for path in model.rglob("*.onnx*") if path.stat().st_size > 500_000]
    unet = diffusers.UNet2DModel.from_pretrained(model / "unet", torch_dtype=torch.float32).eval()
    values = np.random.default_rng(1).standard_normal((1, unet.config["in_channels"], 32, 32), np.float32)
    level = np.array([250], np.float32)
    with torch.inference_mode():
        expected = unet(torch.from_numpy(values), torch.from_numpy(level)).sample.numpy()
    found = onnx_session(model / GRAPH).run(None, {"packed": values, "level": level})[0]
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_an_exported_folder_is_a_generator_by_its_path_alone(model: Path, photo: np.ndarray) -> None:
    card = pin_checksums(resolve(str(model))).model_copy(update={"steps": 2})
    assert card.family == "pixel_diffusion"
    generator, request = generator_of(card, fetch_weights(card)), line_request(photo, 128, 128)
    assert (generator.shape(request), generator.microbatch(request)) == (None, 1)
    assert np.array_equal(generator.fill([request])[0], PixelDiffusion(model, 2).fill([request])[0])


@pytest.mark.parametrize("opened", [generator_of, check_model])
def test_a_folder_without_a_graph_is_refused_with_one_line(model: Path, tmp_path: Path, opened: Callable[..., object]) -> None:
    bare = shutil.copytree(model, tmp_path / "bare", ignore=shutil.ignore_patterns("*.onnx"))
    with pytest.raises(RunError, match=r"needs both unet/model\.onnx") as refusal:
        opened(resolve(str(bare)), bare)
    assert refusal.value.code == "model_invalid"


def test_the_built_in_model_is_one_by_its_alias_and_small(photo: np.ndarray) -> None:
    card = resolve("builtin")
    folder = fetch_weights(card)
    assert (card.family, card.source, card.licence) == ("pixel_diffusion", "./builtin", "Apache-2.0")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 25_000_000
    assert set(pin_checksums(card).files) >= {GRAPH, WEIGHTS, "model_index.json"}
    with safetensors.safe_open(folder / WEIGHTS, "numpy") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {np.dtype(np.float16)}  # noqa: SIM118


def test_the_built_in_model_restores_the_picture_around_letters_under_the_grown_mask(photo: np.ndarray) -> None:
    """The strokes are 4 pixels wide, the mask is wider.

    PatchMatch invents all of it, the model only the picture behind the strokes.
    """
    clean = np.ascontiguousarray(photo[40:168, 60:188])
    strokes = np.zeros((128, 128), np.uint8)
    strokes[30:34, 20:108] = strokes[60:64, 20:108] = 255
    shown = np.where(strokes[:, :, None] > 0, np.uint8(250), clean)
    core = dilated(strokes, 3)
    mask = np.dstack([core, feathered(core, 1), np.where(strokes > 0, 255, 20).astype(np.uint8) * (core > 0), 0 * core])
    request = Request(shown, mask, 7)
    card = resolve("builtin")
    (fill,) = generator_of(card, fetch_weights(card)).fill([request])
    start = patchmatch(shown, hole_of(mask), 7)
    off, off_before = (np.abs(one.astype(int) - clean)[core > 0].mean() for one in (fill, start))
    assert off < 0.7 * off_before
    assert np.abs(fill.astype(int) - 250)[strokes > 0].mean() > 30


def test_training_and_use_make_the_same_estimate(model: Path, photo: np.ndarray) -> None:
    request = line_request(photo, 128, 128)
    hole = hole_of(request.mask)
    fill, smooth = (paint(request.pixels, hole, 3) for paint in (patchmatch, navier_stokes))
    shown = (request.pixels, visible(request.pixels, fill, request.mask), fill, smooth, request.mask[:, :, :3], 0 * hole)
    crops = Crops(np.dstack(shown)[None])
    noisy = np.random.default_rng(4).standard_normal((128, 128, 3), np.float32) * (hole > 0)[:, :, None]
    network = diffusers.UNet2DModel.from_pretrained(model / "unet", torch_dtype=torch.float32).eval()
    with torch.inference_mode():
        expected, _ = estimated(network, crops, torch.from_numpy(noisy).permute(2, 0, 1)[None], torch.tensor([0.7]))
    found = Network(model).estimate(Start.of(request.pixels, fill, smooth, request.mask), noisy, 0.7)
    assert np.abs(found).max() > 0.1
    assert np.abs(found - expected[0].permute(1, 2, 0).numpy()).max() < 2e-3


def test_hints_distinguish_marks_from_the_picture_behind_them() -> None:
    seen = np.full((64, 64, 3), -0.5, np.float32)
    confidence = np.zeros((64, 64, 1), np.float32)
    seen[20:24], confidence[20:24] = 0.9, 1.0
    seen[24], confidence[24] = 0.2, 0.5
    share = hints(seen, confidence)[:, :, 6]
    assert np.allclose(share[20:24], 1, atol=0.1)
    assert np.allclose(share[[0, 10, 40, 63]], 0, atol=0.05)
    assert 0.3 < share[24].mean() < 0.8
