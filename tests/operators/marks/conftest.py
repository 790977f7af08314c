"""Marks, and photographs of 480 x 360 pixels to put them on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from operators.marks.mark import Mark


def letters(text: str, colour: tuple[float, float, float], opacity: float, size: float = 1.0) -> Mark:
    """A line of text with soft edges and margins of one pixel."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, size, 3)
    alpha = np.zeros((height + below + 8, width + 8), np.uint8)
    cv2.putText(alpha, text, (4, height + 4), cv2.FONT_HERSHEY_DUPLEX, size, 255, 3, cv2.LINE_AA)
    used = alpha > 0
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    alpha = np.rint(alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * opacity).astype(np.float32) / 255
    return Mark(text, alpha, np.broadcast_to(np.float32(colour), (*alpha.shape, 3)).copy())


@pytest.fixture(scope="session")
def white_mark() -> Mark:
    return letters("Studio Nord", (255, 255, 255), 0.4)


@pytest.fixture(scope="session")
def photographs() -> dict[str, np.ndarray]:
    """Photographs without text, uint8 360 x 480 x 3."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    return {name: cv2.resize(getattr(data, name)(), (480, 360), interpolation=cv2.INTER_AREA) for name in names}
