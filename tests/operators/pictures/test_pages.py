"""What stands still from page to page gets one edit."""

from __future__ import annotations

import numpy as np
from PIL import Image

from operators.pictures.pages import extend_edges, settle, stacked, stands_still
from operators.rows.box import Box


def sheet(*views: np.ndarray) -> tuple[np.ndarray, tuple]:
    pages = stacked([view.shape[:2] for view in views])
    stored = np.full((pages[-1].top + pages[-1].height, views[0].shape[1], views[0].shape[2]), 255, np.uint8)
    for page, view in zip(pages, views, strict=True):
        stored[page.area] = view
    return stored, pages


def noise(seed: int, spread: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(128 - spread, 128 + spread, (40, 60, 3)).astype(np.uint8)


def test_pages_start_at_multiples_of_64_rows_with_32_rows_between() -> None:
    assert [page.top for page in stacked([(32, 10), (33, 10), (96, 10), (10, 10)])] == [0, 64, 192, 320]


def test_the_first_edit_counts_where_pages_are_the_same() -> None:
    view = noise(0)
    source, pages = sheet(view, view, view)
    stored, changed = source.copy(), np.zeros(source.shape[:2], bool)
    for page, level in ((pages[0], 10), (pages[2], 200)):
        stored[page.area][5:15, 5:25], changed[page.area][5:15, 5:25] = level, True
    settle(source, stored, changed, pages, 255)
    for page in pages:
        assert (stored[page.area][5:15, 5:25] == 10).all()
        assert np.array_equal(stored[page.area][20:], view[20:])
        assert changed[page.area].sum() == 200


def test_a_page_that_shows_something_else_keeps_its_own_edit_or_none() -> None:
    source, pages = sheet(noise(0), noise(1), noise(2))
    stored, changed = source.copy(), np.zeros(source.shape[:2], bool)
    for page, level in ((pages[0], 10), (pages[2], 200)):
        stored[page.area][5:15, 5:25], changed[page.area][5:15, 5:25] = level, True
    settle(source, stored, changed, pages, 255)
    assert [int(stored[page.area][8, 8, 0]) for page in pages] == [10, int(source[pages[1].area][8, 8, 0]), 200]
    assert [int(changed[page.area].sum()) for page in pages] == [200, 0, 200]


def test_dithered_repeats_stand_still_and_slow_changes_do_not() -> None:
    slope = np.tile(np.linspace(60, 190, 60), (40, 1))[:, :, None].repeat(3, axis=2).astype(np.uint8)
    dithered = [Image.fromarray(slope).quantize(colours).convert("RGB") for colours in (24, 29)]
    stored, pages = sheet(*(np.asarray(picture) for picture in dithered), slope, slope + np.uint8(20))
    assert not np.array_equal(stored[pages[0].area], stored[pages[1].area])
    box = Box(5, 5, 50, 30)
    assert stands_still(stored, 255, pages[0], pages[1], box)
    assert not stands_still(stored, 255, pages[2], pages[3], box)


def test_between_pages_are_their_nearest_rows() -> None:
    stored, pages = sheet(noise(0), noise(1))
    extend_edges(stored, pages)
    assert np.array_equal(stored[40], stored[39])
    assert np.array_equal(stored[63], stored[64])
