"""Dates, phone numbers and other kinds are found in lines from many countries."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from operators.selection.patterns import PATTERNS, spans_of

Marked = dict[str, list[str]]


def read_lines(name: str) -> list[str]:
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def unmark(line: str) -> tuple[str, Marked]:
    """The text of a line, and what of it belongs to each kind."""
    marked: Marked = {kind: [] for kind in PATTERNS}
    for kind, text in re.findall(r"\{(\w+)\|([^}]*)\}", line):
        marked[kind].append(text)
    return re.sub(r"\{\w+\|([^}]*)\}", r"\1", line), marked


def find(text: str) -> Marked:
    return {kind: [text[start:end] for start, end in spans_of(kind, text)] for kind in PATTERNS}


@pytest.mark.parametrize("line", read_lines("kinds.txt"))
def test_each_kind_is_found_whole_and_nothing_else_is_taken_for_it(line: str) -> None:
    text, marked = unmark(line)
    assert find(text) == marked


def test_most_of_what_is_hard_to_tell_is_told() -> None:
    right = wrong = missed = 0
    for text, marked in map(unmark, read_lines("kinds_hard.txt")):
        found = find(text)
        for kind in PATTERNS:
            right += len(set(found[kind]) & set(marked[kind]))
            wrong += len(set(found[kind]) - set(marked[kind]))
            missed += len(set(marked[kind]) - set(found[kind]))
    assert right / (right + wrong) >= 0.85
    assert right / (right + missed) >= 0.85


@pytest.mark.parametrize("part", ["1,1'", "12.", "1 111 ", "a@a.", "0 11 ", "A-1 ", "1"])
def test_long_rows_of_digits_and_signs_are_searched_quickly(part: str) -> None:
    start = time.process_time()
    find(part * (600 // len(part)))
    assert time.process_time() - start < 2
