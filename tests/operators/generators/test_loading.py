"""Folders in diffusers' format are loaded once, or refused with one line."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from operators.generators.catalogue import check_model, generator_of
from operators.generators.generator import Request
from operators.generators.loading import load, load_without_weights
from operators.generators.microbatch import fill_all
from operators.models.in_process import file_sha256
from operators.models.registry import fetch_weights, pin_checksums, resolve
from operators.rows.failure import RunError


@pytest.fixture
def copy(folder, tmp_path):
    def of(kind, name="model"):
        return shutil.copytree(folder(kind), tmp_path / name)

    return of


def card_of(folder):
    return pin_checksums(resolve(str(folder)))


@pytest.fixture(params=[generator_of, check_model], ids=["loaded", "checked"])
def opened(request):
    """A folder's model, loaded in full or checked without its weights; both refuse the same."""

    def of(folder):
        card = card_of(folder)
        return request.param(card, fetch_weights(card))

    return of


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("sd9", ("latent_diffusion", 64, 16, "DDIMScheduler")),
        ("sdxl", ("latent_diffusion", 64, 16, "DDIMScheduler")),
        ("flux_fill", ("latent_diffusion", 1024, 16, "")),
        ("amused", ("token_transformer", 512, 8, "")),
    ],
)
def test_a_folder_is_described_by_its_own_configurations(folder, kind, expected):
    card = card_of(folder(kind))
    assert (card.family, card.native_size, card.size_multiple, card.scheduler) == expected
    assert card.alias == kind and card.source == str(folder(kind))
    files = {file.relative_to(folder(kind)).as_posix(): file for file in folder(kind).rglob("*") if file.is_file()}
    assert card.files == {name: file_sha256(file) for name, file in files.items()}


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
@pytest.mark.parametrize("kind", ["sd9", "flux_fill", "amused"])
def test_a_truncated_weight_file_is_refused_by_name_in_one_line(copy, kind, kept):
    broken = copy(kind)
    file = sorted(broken.rglob("*.safetensors"))[-1]
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(RunError) as refusal:
        card_of(broken)
    assert refusal.value.code == "model_invalid" and "\n" not in str(refusal.value)
    assert f"{file} is truncated" in str(refusal.value)


def test_a_file_damaged_after_its_card_was_made_is_refused(copy):
    broken = copy("sd9")
    card = card_of(broken)
    file = broken / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"unet/diffusion_pytorch_model\.safetensors is truncated"):
        fetch_weights(card)


def changed(file, change):
    tensors = load_file(file)
    name = sorted(tensors)[0]
    change(tensors, name)
    save_file(tensors, file, metadata={"format": "pt"})
    return name


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model"])
@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, name: tensors.update({name: np.zeros((*tensors[name].shape, 2), np.float32)}),
        lambda tensors, name: tensors.pop(name),
    ],
    ids=["wrong_shape", "missing"],
)
def test_missing_weights_and_weights_of_wrong_shape_are_refused_by_name_in_one_line(copy, opened, part, change):
    broken = copy("sd9")
    name = changed(broken / f"{part}.safetensors", change)
    with pytest.raises(RunError) as refusal:
        opened(broken)
    assert refusal.value.code == "model_invalid" and "\n" not in str(refusal.value)
    assert name.split(".")[-2] in str(refusal.value)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_a_missing_configuration_is_refused_with_one_line(copy, opened, component):
    broken = copy("sd9")
    (broken / component / "config.json").unlink()
    with pytest.raises(RunError, match=f"^model_invalid: component {component} has no config.json$"):
        opened(broken)


@pytest.mark.parametrize("entry", [["diffusers", "NoSuchNetwork"], ["no_such_library", "UNet2DConditionModel"], ["diffusers"]])
def test_an_unknown_network_is_refused_with_one_line(copy, opened, entry):
    broken = copy("sd9")
    index = json.loads((broken / "model_index.json").read_text())
    (broken / "model_index.json").write_text(json.dumps({**index, "unet": entry}))
    with pytest.raises(RunError, match="model_invalid: model: ") as refusal:
        opened(broken)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["sd9", "sd4", "sdxl", "flux_fill", "flux", "amused"])
def test_a_loadable_model_passes_the_check_and_no_weight_is_kept(card, folder, kind):
    check_model(card(kind), folder(kind))
    networks = [
        part
        for part in load_without_weights(card(kind), folder(kind)).pipeline.components.values()
        if isinstance(part, torch.nn.Module)
    ]
    assert len(networks) >= 3
    assert {weight.device.type for network in networks for weight in network.parameters()} == {"meta"}
    assert torch.nn.Linear(1, 1).weight.device.type == "cpu"


def test_pickled_weights_are_never_read(copy):
    pickled = copy("sd9")
    file = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(RunError, match="model_unsafe"):
        resolve(str(pickled))
    with pytest.raises(RunError, match="model_unsafe"):
        generator_of(resolve(str(copy("sd9", "sound"))), pickled)


def test_a_component_has_the_variants_weights_or_else_the_plain_ones(copy, request_of, card, generator):
    half = copy("sd9")
    named = half / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    (half / "unet" / "diffusion_pytorch_model.safetensors").rename(named)
    settings = {"native_size": 64, "steps": 2}
    sound = generator("sd9", **settings).fill([request_of()])[0]

    def made(**more):
        chosen = card_of(half).model_copy(update=settings | more)
        return generator_of(chosen, half).fill([request_of()])[0]

    assert card_of(half).variant == "fp16"
    assert np.array_equal(made(), sound)
    plain = {name: values + np.float32(0.01) for name, values in load_file(named).items()}
    save_file(plain, half / "unet" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    assert card_of(half).variant == ""
    assert np.array_equal(made(variant="fp16"), sound)
    assert not np.array_equal(made(), sound)


def test_a_model_is_loaded_once_per_process_and_again_when_a_file_changes(copy):
    model = copy("sd9")
    first = load(card_of(model), model)
    assert load(card_of(model), model) is first
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps({**index, "_note": "changed"}))
    assert load(card_of(model), model) is not first


def test_a_missing_package_is_reported_in_one_line_that_says_what_to_install(folder, opened, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "diffusers" else found(name, *more))
    with pytest.raises(RunError, match=r"^package_missing: diffusers; install cleanplate\[diffusion\]$"):
        opened(folder("sd9"))


@pytest.mark.parametrize("kind", ["sd9", "sdxl", "flux_fill", "amused"])
def test_a_tokenizer_without_a_length_gets_that_of_its_text_encoder(copy, kind):
    endless = copy(kind)
    for file in endless.glob("tokenizer*/tokenizer_config.json"):
        settings = json.loads(file.read_text())
        file.write_text(json.dumps({name: value for name, value in settings.items() if name != "model_max_length"}))
    pipeline = load(card_of(endless), endless).pipeline
    assert pipeline.tokenizer.model_max_length == pipeline.text_encoder.config.max_position_embeddings == 77
    assert getattr(pipeline, "tokenizer_max_length", 77) == 77
    if "tokenizer_2" in pipeline.components:
        assert pipeline.tokenizer_2.model_max_length == 77
    mask = np.zeros((64, 64, 4), np.uint8)
    mask[20:40, 20:40, :3] = 255
    request = Request(np.full((64, 64, 3), 90, np.uint8), mask, 1, "a wall")
    card = card_of(endless).model_copy(update={"steps": 2, "native_size": 64})
    (filled,) = fill_all(generator_of(card, endless), [request])
    assert not isinstance(filled, Exception), filled
