"""Kinds of text by their form, and scripts by their letters."""

from __future__ import annotations

import pytest

from operators.selection.patterns import compiled, spans_of
from operators.selection.scripts import in_scripts

FOUND = {
    "email": [
        "jane.doe@example.com",
        "max_99@mail-server.co.uk",
        "a+b@x.org",
        "ACME@EXAMPLE.COM",
        "jane@example,com",
        "support@post example.net",
        "jane@example com",
    ],
    "url": ["https://example.org/a?b=1", "www.example.de", "shop.example.com/new", "http://localhost/x"],
    "phone": [
        "+49 30 1234567",
        "(030) 123 45 67",
        "555-0142",
        "212-555-0100",
        "+1 (415) 555-2671",
        "0171 2345678",
        "+33 1 42 68 53 00",
        "907-358-21 59",
        "555-01 42",
        "(426) 618-7 722",
    ],
    "price": ["$19.99", "1.234,56 €", "EUR 5", "£3", "¥1,200", "12,- €", "19.90 CHF", "300円"],
    "date": ["12.03.2024", "2024-03-12", "3/12/24", "12 March 2024", "Mar 12, 2024", "2024年3月12日"],
    "plate": ["B-MW 1234", "AB12 CDE", "AB-123-CD", "ABC-1234", "京A12345"],
}
NOT_FOUND = {
    "email": ["jane doe", "@home", "9 @ 3", "example.com", "jane@home Oslo"],
    "url": ["jane@example.com", "3.5", "e.g. this", "Version 1.2"],
    "phone": ["$19.99", "06.10.2024", "2016-04-08", "1.234,56", "2024", "12.03.2024", "100", "10-20", "120 60 40"],
    "price": ["19.99", "12.03.2024", "No. 5"],
    "date": ["1.234,56", "555-0142", "10-20"],
    "plate": ["ACME", "1234", "Total 12", "max-99@x.org"],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_a_kind_is_found_whole_in_the_middle_of_a_line(kind: str, text: str) -> None:
    line = f"Now: {text} or so"
    assert spans_of(kind, line) == [(5, 5 + len(text))]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NOT_FOUND.items() for text in texts])
def test_what_only_resembles_a_kind_is_not_found(kind: str, text: str) -> None:
    assert spans_of(kind, f"we {text} or") == []


def test_signs_and_digits_go_with_the_letters_before_them() -> None:
    text = "出口 12 EXIT 5!"
    assert "".join(c for c, inside in zip(text, in_scripts(text, ("han",)), strict=True) if inside) == "出口 12 "
    assert "".join(c for c, inside in zip(text, in_scripts(text, ("latin",)), strict=True) if inside) == "EXIT 5!"
    assert in_scripts("42 あい", ("kana",)) == [True] * 5


def test_latin_letters_in_a_greek_word_are_greek_letters_that_look_alike() -> None:
    text = "Kaφεvεio Made"
    assert in_scripts(text, ("greek",)) == [True] * 9 + [False] * 4
    assert in_scripts("size 5 Ωmega", ("latin",))[:4] == [True] * 4


def test_a_text_without_letters_is_in_no_script() -> None:
    assert not any(in_scripts("12:30", ("latin", "greek", "han", "kana")))
    assert not any(in_scripts("Привет", ("latin", "greek")))


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("Open daily", "ありがとうOpendaily", "Opendaily"),
        ("open  daily?", "OPEN DAIL", "OPEN DAIL"),
        ("no +smoking", "Nosmoking", "Nosmoking"),
        (r"a[ ]b|c\ d|e\sf", "ab cd ef", ""),
        (r"a[ ]b|c\ d|e\sf", "c d", "c d"),
        ("[] ]x", " x", " x"),
        (r"(?:ACME|Big Shop) (?:Ltd)", "big shopltd", "big shopltd"),
    ],
)
def test_a_space_of_the_users_pattern_may_be_missing_in_what_is_read(pattern: str, text: str, found: str) -> None:
    match = compiled(pattern).search(text)
    assert ("" if match is None else match[0]) == found
