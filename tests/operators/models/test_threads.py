"""A process computes on one thread, whichever libraries it has imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import torch

from operators.models.threads import use_one_thread

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    """Give OpenCV and torch their threads back, for the tests that follow."""
    counts = cv2.getNumThreads(), torch.get_num_threads()
    yield
    cv2.setNumThreads(counts[0])
    torch.set_num_threads(counts[1])


def test_opencv_and_torch_compute_on_one_thread() -> None:
    cv2.setNumThreads(2)
    torch.set_num_threads(2)
    use_one_thread()
    assert cv2.getNumThreads() == 1
    assert torch.get_num_threads() == 1


def test_torch_is_not_imported_for_it() -> None:
    code = "import sys; from operators.models.threads import use_one_thread; use_one_thread(); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "False"
