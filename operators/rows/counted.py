"""Counts in plain English."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 image`, `1,200 images`."""
    return f"{number:,} {plural(number, noun)}"


def plural(number: int, noun: str) -> str:
    """A noun beside a number: with an s, unless the number is one."""
    return noun if number == 1 else f"{noun}s"
