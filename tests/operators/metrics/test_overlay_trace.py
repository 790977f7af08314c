"""What is left of an overlay shows as its own detail in the picture."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from operators.masks.overlay import invert, overlaid
from operators.metrics.overlay_trace import overlay_trace
from operators.rows.arrays import Pixels
from operators.rows.overlay import Overlay
from tests.fixtures.overlays import WHITE, words

PICTURES = {name: np.ascontiguousarray(getattr(data, name)()[:200, :300, :3]) for name in ("coffee", "chelsea", "astronaut")}


def taken_off(picture: Pixels, overlay: Overlay, share: float) -> Pixels:
    """The picture after an overlay was put on it and `share` of it taken off."""
    marked = np.rint(overlaid(picture, overlay))
    estimate, _ = invert(marked, overlay.alpha * np.float32(share), overlay.colour)
    return np.clip(np.rint(estimate), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("opacity", [0.3, 0.6])
def test_a_picture_whose_overlay_was_taken_off_passes(name: str, opacity: float) -> None:
    overlay = words(PICTURES[name].shape[:2], opacity)
    assert overlay_trace(taken_off(PICTURES[name], overlay, 1.0), overlay) < 1.0


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 1.3])
def test_too_little_or_too_much_taken_off_fails(name: str, share: float) -> None:
    overlay = words(PICTURES[name].shape[:2], 0.6)
    assert overlay_trace(taken_off(PICTURES[name], overlay, share), overlay) > 1.0


def test_an_overlay_without_detail_leaves_no_trace() -> None:
    flat = Overlay(np.zeros((200, 300), np.float32), WHITE)
    assert overlay_trace(PICTURES["coffee"], flat) == 0.0


def test_a_picture_smaller_than_the_displacements_is_measured() -> None:
    overlay = Overlay(np.full((8, 8), 0.5, np.float32), WHITE)
    assert np.isfinite(overlay_trace(PICTURES["coffee"][:8, :8], overlay))
