"""Documents of a model are parsed, or refused with one line that names them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.models.documents import parse_json, read_mapping
from operators.rows.failure import RunError


def test_a_yaml_mapping_is_read_from_text_and_from_bytes() -> None:
    assert read_mapping("steps: 3\nlicence: MIT\n", "card") == {"steps": 3, "licence": "MIT"}
    assert read_mapping("note: schön\n".encode(), "card") == {"note": "schön"}


@pytest.mark.parametrize("text", ["- steps", "steps", "", "steps: [", "a: b: c", b"\xff\xfe\xff"])
def test_other_yaml_is_refused_with_one_line_that_names_the_document(text: str | bytes) -> None:
    with pytest.raises(RunError, match=r"^model_card_invalid: cards/tiny\.yaml: ") as refusal:
        read_mapping(text, "cards/tiny.yaml")
    assert "\n" not in str(refusal.value)


def test_a_json_object_is_parsed() -> None:
    assert parse_json(b'{"unet": ["diffusers", "UNet2DModel"]}', "index") == {"unet": ["diffusers", "UNet2DModel"]}


@pytest.mark.parametrize("data", [b"[1]", b"{", b"", b"1", b"\xff"])
def test_other_json_is_refused_with_one_line_that_names_the_document(data: bytes) -> None:
    with pytest.raises(RunError, match=r"^model_invalid: model_index\.json: not ") as refusal:
        parse_json(data, "model_index.json")
    assert "\n" not in str(refusal.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_json_object_or_one_error(data: bytes) -> None:
    try:
        assert isinstance(parse_json(data, "document"), dict)
    except RunError as refusal:
        assert refusal.code == "model_invalid"
