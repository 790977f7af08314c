"""A process may take so much more memory than it holds, and not more."""

import subprocess
import sys

PROGRAM = """
import numpy as np
from flows.engine.memory_limit import limit_memory
held = np.ones(200_000_000, np.uint8)
limit_memory(100_000_000)
"""


def run(body):
    return subprocess.run([sys.executable, "-c", PROGRAM + body], capture_output=True, text=True, timeout=60, check=False)


def test_what_is_within_the_limit_is_given():
    assert run("np.ones(60_000_000, np.uint8)").returncode == 0


def test_what_is_beyond_it_is_refused_as_memory_always_is():
    assert "MemoryError" in run("np.ones(120_000_000, np.uint8)").stderr


def test_what_was_given_back_can_be_had_again():
    assert run("del held\nnp.ones(250_000_000, np.uint8)").returncode == 0


def test_address_space_that_is_only_reserved_does_not_count():
    assert run("import mmap\nmmap.mmap(-1, 10**12, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0)").returncode == 0
