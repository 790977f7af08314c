"""A mark is read from a PNG with alpha, or from a picture of it on a smooth ground."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from operators.marks.mark import Mark, read_mark, write_mark
from operators.masks.overlay import overlaid
from operators.rows.failure import RunError


def saved(picture: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind)
    return buffer.getvalue()


def test_a_mark_that_is_written_is_read_back_the_same(white_mark: Mark) -> None:
    again = read_mark(write_mark(white_mark), "again")
    assert again.name == "again"
    assert again.certain
    assert again.alpha == pytest.approx(white_mark.alpha, abs=1e-6)
    seen = again.alpha > 0
    assert again.colour[seen] == pytest.approx(white_mark.colour[seen], abs=0.01)


def test_empty_margins_are_cut_off(white_mark: Mark) -> None:
    height, width = white_mark.alpha.shape
    rgba = np.zeros((height + 40, width + 60, 4), np.uint8)
    rgba[15 : 15 + height, 20 : 20 + width] = np.asarray(Image.open(io.BytesIO(write_mark(white_mark))))
    assert read_mark(saved(rgba), "m").alpha.shape == (height, width)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_of_a_mark_on_a_smooth_ground_shows_its_shape(white_mark: Mark, kind: str) -> None:
    height, width = white_mark.alpha.shape
    slope = np.linspace(60, 110, width + 40)[None, :, None] * np.ones((height + 40, 1, 3))
    ground = slope.astype(np.float32)
    ground[20:-20, 20:-20] = overlaid(ground[20:-20, 20:-20], white_mark.overlay)
    read = read_mark(saved(np.rint(ground).astype(np.uint8), kind), "m")
    assert not read.certain
    truth, shape = white_mark.alpha > 0.2, read.alpha > 0.5
    assert abs(shape.any(axis=1).sum() - truth.any(axis=1).sum()) <= 2
    assert shape.sum() == pytest.approx(truth.sum(), rel=0.1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no picture", "cannot identify"),
        (saved(np.zeros((20, 20, 4), np.uint8)), "every pixel is transparent"),
        (saved(np.full((40, 40, 3), 90, np.uint8)), "no mark stands out"),
        (saved(np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)), "not smooth"),
        (saved(np.zeros((5000, 10, 3), np.uint8)), "at most 4096"),
    ],
)
def test_a_file_that_shows_no_mark_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(RunError, match=words) as refused:
        read_mark(data, "logo.png")
    assert refused.value.code == "mark_unreadable"
    assert "\n" not in str(refused.value)
