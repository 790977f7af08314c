"""Folders in diffusers' format: read into cards, refused with one line where they are damaged, loaded once."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from operators.failure import RunError
from operators.generators import generator_of
from operators.generators.folder import check_weights, described, loaded
from operators.model_cache import file_sha256


@pytest.fixture
def copy(folder, tmp_path):
    def of(kind, name="model"):
        return shutil.copytree(folder(kind), tmp_path / name)

    return of


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("sd9", ("latent_diffusion", 64, 8, "DDIMScheduler")),
        ("sdxl", ("latent_diffusion", 64, 8, "DDIMScheduler")),
        ("flux_fill", ("latent_diffusion", 1024, 16, "")),
        ("amused", ("token_transformer", 512, 8, "")),
    ],
)
def test_a_folder_is_described_by_its_own_configurations(folder, kind, expected):
    card = described(folder(kind))
    assert (card.family, card.native_size, card.size_multiple, card.scheduler) == expected
    assert card.alias == kind and card.source == str(folder(kind))
    assert card.files["model_index.json"] == file_sha256(folder(kind) / "model_index.json")
    assert set(card.files) == {str(file.relative_to(folder(kind))) for file in folder(kind).rglob("*") if file.is_file()}


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
@pytest.mark.parametrize("kind", ["sd9", "flux_fill", "amused"])
def test_a_truncated_weight_file_is_one_line_that_names_it(copy, kind, kept):
    broken = copy(kind)
    file = sorted(broken.rglob("*.safetensors"))[-1]
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(RunError) as refusal:
        described(broken)
    assert refusal.value.code == "model_invalid" and "\n" not in str(refusal.value)
    assert f"{file.relative_to(broken)} is damaged" in str(refusal.value)


def test_a_file_damaged_after_its_card_was_made_is_refused_when_it_is_loaded(copy):
    broken = copy("sd9")
    card = described(broken)
    file = broken / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"unet/diffusion_pytorch_model\.safetensors is damaged"):
        generator_of(card, broken)


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
def test_weights_of_wrong_shapes_or_missing_ones_are_one_line_that_names_one(copy, part, change):
    broken = copy("sd9")
    name = changed(broken / f"{part}.safetensors", change)
    with pytest.raises(RunError) as refusal:
        generator_of(described(broken), broken)
    assert refusal.value.code == "model_invalid" and "\n" not in str(refusal.value)
    assert name.split(".")[-2] in str(refusal.value)


def test_a_folder_that_is_no_model_is_one_line(tmp_path):
    for content in (None, "words", "{}", "[1]"):
        if content is not None:
            (tmp_path / "model_index.json").write_text(content)
        with pytest.raises(RunError, match="holds no model in diffusers' format") as refusal:
            described(tmp_path)
        assert refusal.value.code == "model_invalid"


def test_a_configuration_that_is_missing_is_one_line(copy):
    broken = copy("sd9")
    (broken / "unet" / "config.json").unlink()
    with pytest.raises(RunError, match=r"unet/config\.json"):
        described(broken)


def test_pickled_weights_are_never_read(copy):
    pickled = copy("sd9")
    file = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(RunError, match="model_invalid"):
        generator_of(described(pickled), pickled)


def test_a_variant_of_the_weights_is_found_where_there_is_no_plain_one(copy, request_of, folder, card):
    half = copy("sd9")
    for file in half.rglob("*.safetensors"):
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    settings = {"native_size": 64, "steps": 2}
    made = generator_of(described(half).model_copy(update=settings), half).fill([request_of()])[0]
    assert np.array_equal(made, generator_of(card("sd9", **settings), folder("sd9")).fill([request_of()])[0])


def test_a_model_is_loaded_once_in_a_process_and_again_when_a_file_changes(copy):
    model = copy("sd9")
    first = loaded(described(model), model)
    assert loaded(described(model), model) is first
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps({**index, "_note": "changed"}))
    assert loaded(described(model), model) is not first


def test_only_headers_are_read_to_check_weights(tmp_path):
    (tmp_path / "part").mkdir()
    tensors = {"weight": np.zeros((1024, 1024), np.float32)}
    save_file(tensors, tmp_path / "part" / "model.safetensors")
    check_weights(tmp_path)
