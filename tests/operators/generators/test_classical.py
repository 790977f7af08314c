"""`ground` continues plain ground, and `hybrid` copies texture where the ground is unknown."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from operators.generators.classical import CLASSICAL, Classical, ground, hybrid, navier_stokes, patchmatch
from operators.generators.generator import Request
from operators.masks.ground import estimate_ground
from operators.masks.mask import BLEND, CORE

SHAPE = (120, 200)
HOLE = np.zeros(SHAPE, np.uint8)
HOLE[45:75, 60:140] = 255
INSIDE = HOLE > 0


def paper() -> np.ndarray:
    """Ruled paper with grain."""
    grain = np.random.default_rng(5).normal(0, 2, (*SHAPE, 3))
    return np.clip(np.rint(np.array([230, 225, 210]) + grain), 0, 255).astype(np.uint8)


def texture() -> np.ndarray:
    """Gravel, in grey."""
    return np.ascontiguousarray(np.repeat(data.gravel()[:120, :200, None], 3, axis=2))


def hidden(picture: np.ndarray) -> np.ndarray:
    result = picture.copy()
    result[INSIDE] = 0
    return result


@pytest.mark.parametrize("name", ["ground", "hybrid"])
def test_paper_is_continued_with_its_level_and_its_grain(name: str) -> None:
    fill = CLASSICAL[name](hidden(paper()), HOLE, 0)
    assert np.abs(fill[INSIDE].mean(axis=0) - [230, 225, 210]).max() < 0.5
    assert fill[INSIDE].std(axis=0) == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize("name", ["ground", "hybrid"])
@pytest.mark.parametrize("picture", [paper, texture])
def test_no_pixel_outside_the_hole_changes_and_the_same_seed_fills_the_same(name: str, picture) -> None:
    first, second = (CLASSICAL[name](hidden(picture()), HOLE, 7) for _ in range(2))
    assert np.array_equal(first[~INSIDE], picture()[~INSIDE])
    assert np.array_equal(first, second)


def test_on_plain_ground_both_fill_the_same() -> None:
    assert np.array_equal(ground(hidden(paper()), HOLE, 3), hybrid(hidden(paper()), HOLE, 3))


def test_in_texture_the_hybrid_is_patchmatch() -> None:
    assert np.array_equal(hybrid(hidden(texture()), HOLE, 3), patchmatch(hidden(texture()), HOLE, 3))


def test_between_paper_and_texture_the_hybrid_continues_each_as_what_it_is() -> None:
    picture = paper()
    picture[:, 100:] = texture()[:, 100:]
    known = estimate_ground(hidden(picture), INSIDE, 24).known
    fill = hybrid(hidden(picture), HOLE, 0)
    assert known[50:70, 62:75].all() and not known[50:70, 115:138].any()
    assert np.array_equal(fill[INSIDE & known], ground(hidden(picture), HOLE, 0)[INSIDE & known])
    assert np.abs(fill[50:70, 62:75].mean(axis=(0, 1)) - [230, 225, 210]).max() < 2
    assert fill[50:70, 115:138].std() > 0.5 * picture[50:70, 115:138].std()


def test_without_any_plain_pixel_the_ground_is_continued_smoothly() -> None:
    narrow = np.full(SHAPE, 255, np.uint8)
    narrow[0, :3] = 0
    assert np.array_equal(ground(hidden(paper()), narrow, 0), navier_stokes(hidden(paper()), narrow, 0))


def label_on_gravel() -> np.ndarray:
    """A red label, hardly higher than the hole, on gravel with a bright post that it hides."""
    picture = texture()
    picture[:, 98:104] = 250
    picture[42:78, 57:143] = (200, 30, 40)
    return picture


@pytest.mark.parametrize("name", ["ground", "hybrid"])
def test_a_label_is_continued_by_its_own_colour_and_not_by_what_is_beyond_it(name: str) -> None:
    mask = np.zeros((*SHAPE, 4), np.uint8)
    mask[INSIDE, CORE] = mask[INSIDE, BLEND] = 255
    mask[5:20, 10:60, CORE] = 255
    fill = Classical(name).fill([Request(hidden(label_on_gravel()), mask, 3, "")])[0]
    assert np.array_equal(fill[INSIDE], label_on_gravel()[INSIDE])


def test_without_its_panel_the_label_would_show_what_is_beyond_it() -> None:
    assert not np.array_equal(hybrid(hidden(label_on_gravel()), HOLE, 3)[INSIDE], label_on_gravel()[INSIDE])
