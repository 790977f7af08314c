"""A folder in diffusers' format needs no card; damaged and pickled weights are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from operators.models.folder import card_of_folder, check_whole, select_files
from operators.rows.failure import RunError

Folder = Callable[..., Path]
TENSORS = save({"weight": np.zeros((3, 4), np.float32)})
LOADED = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)


def files_of(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def index_of(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "model_index.json").read_text())
    return content


def refused(folder: Path) -> RunError:
    with pytest.raises(RunError) as caught:
        select_files(files_of(folder), index_of(folder), "")
    return caught.value


def rewrite(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_family_and_sizes_come_from_the_components(model_folder: Folder, tmp_path: Path) -> None:
    card = card_of_folder(str(model_folder(tmp_path / "my model")))
    assert (card.alias, card.family, card.native_size, card.size_multiple) == ("my-model", "latent_diffusion", 512, 64)
    assert (card.source, card.licence, card.variant) == (str(tmp_path / "my model"), "unknown", "")


@pytest.mark.parametrize(("blocks", "multiple"), [(4, 64), (3, 32), (2, 16)])
def test_crops_are_whole_cells_of_the_smallest_layer_of_a_unet(
    model_folder: Folder, tmp_path: Path, blocks: int, multiple: int
) -> None:
    folder = model_folder(tmp_path / "model")
    rewrite(folder / "unet" / "config.json", block_out_channels=[8] * blocks)
    assert card_of_folder(str(folder)).size_multiple == multiple


@pytest.mark.parametrize(
    ("pipeline", "network", "vae_blocks", "family", "native", "multiple"),
    [
        ("FluxFillPipeline", {"patch_size": 1}, 4, "latent_diffusion", 1024, 16),
        ("AmusedInpaintPipeline", {"sample_size": 16, "downsample": False}, 5, "token_transformer", 256, 16),
        ("AmusedInpaintPipeline", {"sample_size": 32, "downsample": True}, 5, "token_transformer", 512, 32),
    ],
)
def test_transformers_have_the_sizes_that_diffusers_gives_them(
    model_folder: Folder,
    tmp_path: Path,
    pipeline: str,
    network: dict[str, object],
    vae_blocks: int,
    family: str,
    native: int,
    multiple: int,
) -> None:
    folder = model_folder(tmp_path / "model", pipeline=pipeline)
    (folder / "unet").rename(folder / "transformer")
    (folder / "transformer" / "config.json").write_text(json.dumps(network))
    index = {("transformer" if name == "unet" else name): value for name, value in index_of(folder).items()}
    (folder / "model_index.json").write_text(json.dumps(index))
    rewrite(folder / "vae" / "config.json", block_out_channels=[8] * vae_blocks)
    card = card_of_folder(str(folder))
    assert (card.family, card.native_size, card.size_multiple) == (family, native, multiple)


def test_a_model_without_an_encoder_works_on_pixels(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    rewrite(folder / "model_index.json", vae=[None, None])
    card = card_of_folder(str(folder))
    assert (card.family, card.native_size, card.size_multiple) == ("pixel_diffusion", 64, 8)


@pytest.mark.parametrize(("pipeline", "chosen"), [("PixelDiffusion", True), ("DDPMPipeline", False)])
def test_a_graph_is_selected_only_if_the_pipeline_runs_it(
    model_folder: Folder, tmp_path: Path, pipeline: str, chosen: bool
) -> None:
    folder = model_folder(tmp_path / "model", pipeline=pipeline)
    (folder / "unet" / "model.onnx").write_bytes(b"graph")
    assert ("unet/model.onnx" in select_files(files_of(folder), index_of(folder), "")) is chosen


def test_only_files_that_a_pipeline_loads_are_selected(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    assert select_files(files_of(folder), index_of(folder), "") == LOADED


def test_one_set_of_weights_is_selected_of_several(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    unet = folder / "unet"
    for other in ("fp16", "non_ema"):
        (unet / f"diffusion_pytorch_model.{other}.safetensors").write_bytes(b"other weights")
    assert select_files(files_of(folder), index_of(folder), "") == LOADED
    with_variant = select_files(files_of(folder), index_of(folder), "fp16")
    assert [name for name in with_variant if name.endswith("safetensors")] == [
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]


def test_a_folder_with_one_variant_only_is_loaded_as_that_variant(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", variant="fp16")
    assert card_of_folder(str(folder)).variant == "fp16"
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in select_files(files_of(folder), index_of(folder), "fp16")


def test_weights_that_are_only_pickled_are_refused_by_name(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    error = refused(folder)
    assert error.code == "model_unsafe"
    assert "unet/diffusion_pytorch_model.bin" in error.message


def test_a_component_without_weights_is_named(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    for file in (folder / "vae").glob("diffusion*"):
        file.unlink()
    error = refused(folder)
    assert (error.code, error.message) == ("model_invalid", "component vae has no weights in safetensors")
    (folder / "vae" / "config.json").unlink()
    assert refused(folder).message == "component vae of model_index.json has no files"


def test_a_safety_checker_is_neither_needed_nor_selected(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    rewrite(folder / "model_index.json", safety_checker=["diffusers", "StableDiffusionSafetyChecker"])
    assert select_files(files_of(folder), index_of(folder), "") == LOADED
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "model.safetensors").write_bytes(TENSORS)
    assert select_files(files_of(folder), index_of(folder), "") == LOADED


def test_a_folder_without_card_samples_without_noise(model_folder: Folder, tmp_path: Path) -> None:
    card = card_of_folder(str(model_folder(tmp_path / "model")))
    assert (card.scheduler, card.stochasticity) == ("DDIMScheduler", 0)


def test_fields_in_the_folder_override_the_derived_ones(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    (folder / "cleanplate.yaml").write_text("alias: mine\nlicence: MIT\nsteps: 3\nnative_size: 768\n")
    card = card_of_folder(str(folder))
    assert (card.alias, card.licence, card.steps, card.native_size, card.size_multiple) == ("mine", "MIT", 3, 768, 64)


@pytest.mark.parametrize("content", ["stepz: 3", "steps: none", "source: elsewhere", "- steps", "steps: [", ""])
def test_an_invalid_card_in_the_folder_is_refused_by_name(model_folder: Folder, tmp_path: Path, content: str) -> None:
    folder = model_folder(tmp_path / "model")
    (folder / "cleanplate.yaml").write_text(content)
    with pytest.raises(RunError) as caught:
        card_of_folder(str(folder))
    assert caught.value.code == "model_card_invalid"
    assert str(folder / "cleanplate.yaml") in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"unet": ["diffusers", "UNet2DConditionModel"]}'])
def test_a_folder_of_another_format_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "model_index.json").write_text(content)
    with pytest.raises(RunError, match=r"^model_(invalid|unavailable): "):
        card_of_folder(str(tmp_path))


def test_a_folder_without_index_or_files_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="model_unavailable"):
        card_of_folder(str(tmp_path))
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(RunError, match=r"model_invalid.*not a folder in diffusers' format"):
        card_of_folder(str(tmp_path))


def test_a_missing_part_of_split_weights_is_named(tmp_path: Path) -> None:
    parts = [f"unet/model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (tmp_path / "unet").mkdir()
    for part in parts:
        save_file({part: np.zeros(2, np.float32)}, tmp_path / part)
    index = "unet/model.safetensors.index.json"
    (tmp_path / index).write_text(json.dumps({"weight_map": {part: Path(part).name for part in parts}}))
    check_whole(tmp_path, [*parts, index])
    with pytest.raises(RunError, match=f"model_invalid.*{parts[1]} is missing"):
        check_whole(tmp_path, [parts[0], index])
