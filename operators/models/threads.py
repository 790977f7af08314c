"""One computing thread in each process."""

from __future__ import annotations

import sys

import cv2


def use_one_thread() -> None:
    """Limit this process to one computing thread.

    A run starts as many workers as there are cores. OpenCV and torch each start a thread pool
    unless they are told not to, and the pools of several workers would compete for the cores.
    """
    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
