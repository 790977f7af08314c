"""Memory that a worker has freed goes back to the system."""

from __future__ import annotations

import sys
from multiprocessing import get_context

import psutil
import pytest

from flows.engine import freed_memory
from flows.engine.freed_memory import MOST_HELD, FreedMemory

PIECES = 4000
PIECE = 100_000
"""Bytes. Larger pieces go back to the system by themselves."""


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def free_pieces() -> tuple[int, int]:
    """The bytes of freed pieces below one that stays: gone back by themselves, and given back."""
    pieces = [bytearray(b"x" * PIECE) for _ in range(PIECES)]
    before, stays = resident(), pieces[-1]
    pieces.clear()
    freed = resident()
    FreedMemory().give_back()
    del stays
    return before - freed, freed - resident()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems give memory back by themselves")
def test_freed_memory_goes_back_only_when_it_is_given_back() -> None:
    with get_context("spawn").Pool(1) as pool:
        by_itself, given_back = pool.apply(free_pieces)
    assert by_itself < 0.1 * PIECES * PIECE
    assert given_back > 0.9 * PIECES * PIECE


def test_it_is_given_back_when_more_is_held_than_a_picture_may_use_again() -> None:
    held, given = [0], []

    def trim(pad: int) -> int:
        given.append(held[0])
        held[0] = 100
        return 1

    memory = FreedMemory(trim, lambda: held[0])
    for held[0] in (MOST_HELD, MOST_HELD + 1, MOST_HELD + 100, MOST_HELD + 101):
        memory.give_back()
    assert given == [MOST_HELD + 1, MOST_HELD + 101]


def test_a_system_without_glibc_has_no_function_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: object())
    memory = FreedMemory()
    memory.give_back()
    assert memory == FreedMemory(None)
