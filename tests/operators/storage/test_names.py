"""Names on disk as text and back: no byte is lost, and no two names share a text."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.storage.names import given as given_uri
from operators.storage.names import printable, to_path, to_text

names = st.binary(min_size=1, max_size=24).filter(lambda name: b"\0" not in name)
tricky = st.lists(
    st.sampled_from([b"\xff", b"\xe9", b"a", b"\xf4\x8f\xbe\xa9", b"\xf4\x8f", b"\xc3\xa9", b"\xed\xb3\xbf"]), max_size=6
).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(names | tricky)
def test_every_name_comes_back_byte_for_byte_from_valid_text(name: bytes) -> None:
    text = to_text(os.fsdecode(name))
    text.encode()  # raises for what UTF-8 cannot hold
    assert os.fsencode(to_path(text)) == name


@settings(deadline=None, max_examples=200)
@given(st.sets(tricky, min_size=2, max_size=8))
def test_two_names_never_share_a_text(several: set[bytes]) -> None:
    assert len({to_text(os.fsdecode(name)) for name in several}) == len(several)


@pytest.mark.parametrize("name", ["plain.jpg", "Größe 漢字.png", "at 9.41.05\u202fAM.png", "a\\xe9.png", "line\nbreak.png"])
def test_valid_utf_8_is_its_own_text(name: str) -> None:
    assert to_text(name) == name
    assert to_path(name) == name
    assert given_uri(name) == name


def test_a_path_from_the_command_line_becomes_text_once() -> None:
    typed = os.fsdecode(b"r\xe9sum")
    assert given_uri(typed) == to_text(typed)
    assert given_uri(to_text(typed)) == to_text(typed)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (to_text(os.fsdecode(b"r\xe9sum.jpg")), "r\\xE9sum.jpg"),
        (os.fsdecode(b"r\xe9sum.jpg"), "r\\xE9sum.jpg"),
        ("line\nbreak.png", "line\\nbreak.png"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("Größe 漢字 👩\u200d👧.png", "Größe 漢字 👩\u200d👧.png"),
    ],
)
def test_a_printed_name_is_one_line_and_shows_what_hides(name: str, shown: str) -> None:
    assert printable(name) == shown
