"""Limit each process to one computing thread."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cv2


def use_one_thread() -> None:
    """Limit OpenCV, and torch if it is imported, to one computing thread in this process.

    A run starts as many workers as there are cores. OpenCV and torch each start a pool of threads
    by default, and the pools of several workers would compete for the cores. Call it again after
    importing torch, as `operators.generators.loading` does.
    """
    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit them inside the `with` block only, for a process that belongs to somebody else."""
    threads = cv2.getNumThreads()
    torch = sys.modules.get("torch")
    torch_threads = torch.get_num_threads() if torch is not None else 0
    use_one_thread()
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        if torch is not None:
            torch.set_num_threads(torch_threads)
