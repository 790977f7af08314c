"""Damaged and incomplete weights are refused by name, from their headers alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from operators.models.safetensors import check_parts, check_safetensors
from operators.rows.failure import RunError

TENSORS = save({"weight": np.arange(12, dtype=np.float32).reshape(3, 4), "bias": np.ones(2, np.float16)})


@given(st.integers(0, len(TENSORS) - 1))
def test_weights_truncated_anywhere_are_refused_by_name(tmp_path_factory: pytest.TempPathFactory, end: int) -> None:
    file = tmp_path_factory.mktemp("cut") / "model.safetensors"
    file.write_bytes(TENSORS[:end])
    with pytest.raises(RunError) as caught:
        check_safetensors(file)
    assert caught.value.code == "model_invalid"
    assert f"{file} is truncated" in caught.value.message


def test_whole_weights_pass_and_longer_ones_do_not(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(TENSORS)
    check_safetensors(file)
    file.write_bytes(TENSORS + b"x")
    with pytest.raises(RunError, match="model_invalid"):
        check_safetensors(file)


@pytest.mark.parametrize("header", [b"[1]", b"{", b'{"a": 1}', b'{"a": {"data_offsets": [0]}}'])
def test_an_invalid_header_is_refused_with_one_line(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(RunError, match=r"model_invalid.*model\.safetensors") as caught:
        check_safetensors(tmp_path / "model.safetensors")
    assert "\n" not in str(caught.value)


@pytest.fixture()
def index(tmp_path: Path) -> Path:
    """The index of weights in two parts, `a.safetensors` and `b.safetensors`."""
    file = tmp_path / "unet" / "model.safetensors.index.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"weight_map": {"first": "a.safetensors", "second": "b.safetensors"}}))
    return file


def test_complete_parts_pass_and_so_does_an_index_of_other_weights(index: Path) -> None:
    check_parts(index, ["unet/a.safetensors", "unet/b.safetensors"])
    check_parts(index, ["unet/model.safetensors", "vae/a.safetensors"])


def test_the_missing_one_of_two_parts_is_named(index: Path) -> None:
    with pytest.raises(RunError, match=r"unet/b\.safetensors is missing; model\.safetensors\.index\.json lists it") as refusal:
        check_parts(index, ["unet/a.safetensors"])
    assert refusal.value.code == "model_invalid"
