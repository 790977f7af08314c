"""A process may allocate up to its limit, and not more."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import numpy as np
from flows.engine.memory_limit import limit_memory
array = np.ones(200_000_000, np.uint8)
limit_memory(100_000_000)
"""
"""Holds 200 MB when it sets the limit."""


def run(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM + body], capture_output=True, text=True, timeout=60, check=False)


def test_an_allocation_within_the_limit_succeeds() -> None:
    assert run("np.ones(60_000_000, np.uint8)").returncode == 0


def test_an_allocation_beyond_the_limit_is_a_memory_error() -> None:
    assert "MemoryError" in run("np.ones(120_000_000, np.uint8)").stderr


def test_freed_memory_can_be_allocated_again() -> None:
    assert run("del array\nnp.ones(250_000_000, np.uint8)").returncode == 0


def test_reserved_address_space_does_not_count() -> None:
    assert run("import mmap\nmmap.mmap(-1, 10**12, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0)").returncode == 0
