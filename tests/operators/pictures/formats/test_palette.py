"""Edited colours as indices: the nearest entry, else a free entry, else None."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.pictures.colour import Space
from operators.pictures.formats.palette import depth_of, looked_up, refitted
from operators.pictures.picture import Edit, Edited, Indexed, Picture

check = settings(deadline=None, max_examples=40)


def edited(indexed: Indexed, fill: np.ndarray) -> Edited:
    """The picture with its upper left replaced."""
    stored = looked_up(indexed)
    picture = Picture("PNG", "P", stored, Space("rgb"), 1, stored.shape[1::-1], indexed)
    return picture.edited([Edit(0, 0, fill, np.ones(fill.shape[:2], np.float32))])


def opaque(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.array([[*colour, 255] for colour in colours], np.uint8)


def square(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((4, 4, 3), colour, np.uint8)


INDICES = np.tile(np.arange(12, dtype=np.uint8) % 3, (8, 1))
ENTRIES = opaque((0, 0, 0), (200, 0, 0), (0, 200, 0), (90, 90, 90))


def test_a_near_colour_is_taken_and_the_palette_stays() -> None:
    result = refitted(Indexed(INDICES, ENTRIES), edited(Indexed(INDICES, ENTRIES), square((203, 2, 2))), 256)
    assert result is not None
    assert np.array_equal(result.entries, ENTRIES)
    assert (result.indices[:4, :4] == 1).all()


def test_a_far_colour_takes_the_entry_that_no_pixel_uses() -> None:
    result = refitted(Indexed(INDICES, ENTRIES), edited(Indexed(INDICES, ENTRIES), square((0, 0, 250))))
    assert result is not None
    assert result.entries[3].tolist() == [0, 0, 250, 255]
    assert np.array_equal(result.entries[:3], ENTRIES[:3])
    assert (result.indices[:4, :4] == 3).all()


def test_a_reserved_entry_keeps_its_colour() -> None:
    result = refitted(Indexed(INDICES, ENTRIES), edited(Indexed(INDICES, ENTRIES), square((0, 0, 250))), reserved=(3,))
    assert result is not None
    assert np.array_equal(result.entries, ENTRIES)


def test_the_palette_grows_where_it_may() -> None:
    entries = ENTRIES[:3]
    result = refitted(Indexed(INDICES, entries), edited(Indexed(INDICES, entries), square((0, 0, 250))), 256)
    assert result is not None
    assert result.entries.tolist() == [*entries.tolist(), [0, 0, 250, 255]]


def test_more_colours_than_a_palette_holds_do_not_fit() -> None:
    fill = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    indexed = Indexed(INDICES, ENTRIES[:3])
    assert refitted(indexed, edited(indexed, fill), 16) is None
    assert refitted(indexed, edited(indexed, fill)) is not None


def test_alpha_is_kept_and_the_invisible_keep_their_index() -> None:
    entries = ENTRIES.copy()
    entries[1, 3], entries[2, 3] = 0, 128
    indexed = Indexed(INDICES, entries)
    result = refitted(indexed, edited(indexed, square((0, 0, 0))))
    assert result is not None
    assert np.array_equal(result.entries[result.indices][:, :, 3], entries[INDICES][:, :, 3])
    assert (result.indices[INDICES == 1] == 1).all()


def test_of_two_invisible_entries_a_pixel_keeps_its_own() -> None:
    entries = ENTRIES.copy()
    entries[1:3, 3] = 0
    indexed = Indexed(INDICES, entries)
    result = refitted(indexed, edited(indexed, square((199, 0, 0))))
    assert result is not None
    assert np.array_equal(result.indices[INDICES > 0], INDICES[INDICES > 0])


@check
@given(st.integers(0, 2**32 - 1), st.integers(2, 256), st.sampled_from([None, 256]))
def test_pixels_that_no_edit_changed_keep_their_index_and_colour(seed: int, number: int, room: int | None) -> None:
    noise = np.random.default_rng(seed)
    entries = np.concatenate([noise.integers(0, 256, (number, 3)), noise.choice([0, 128, 255], (number, 1))], axis=1).astype(
        np.uint8
    )
    indexed = Indexed(noise.integers(0, number, (8, 12), dtype=np.uint8), entries)
    change = edited(indexed, noise.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    result = refitted(indexed, change, room)
    if result is not None:
        assert np.array_equal(result.indices[~change.changed], indexed.indices[~change.changed])
        before, after = entries[indexed.indices], result.entries[result.indices]
        assert np.array_equal(before[~change.changed], after[~change.changed])
        assert np.array_equal(before[:, :, 3], after[:, :, 3])
        assert len(result.entries) <= 256


@pytest.mark.parametrize(("entries", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)])
def test_indices_have_the_bits_that_the_entries_need(entries: int, bits: int) -> None:
    assert depth_of(entries) == bits


# --- alpha


def clear_and(*colours: tuple[int, int, int, int]) -> Indexed:
    entries = np.array([(7, 7, 7, 0), *colours], np.uint8)
    return Indexed(np.tile(np.arange(12, dtype=np.uint8) % len(entries), (8, 1)), entries)


def layered(indexed: Indexed, colour: tuple[int, int, int], alpha: int) -> Edited:
    """The picture with its upper left replaced by a colour of this alpha."""
    stored = looked_up(indexed)
    picture = Picture("PNG", "P", stored, Space("rgb", alpha=True), 1, stored.shape[1::-1], indexed)
    return picture.edited([Edit(0, 0, square(colour), np.ones((4, 4), np.float32), np.full((4, 4), alpha, np.uint8))])


def test_a_pixel_that_becomes_clear_takes_the_clear_entry() -> None:
    indexed = clear_and((200, 0, 0, 255), (0, 200, 0, 255))
    result = refitted(indexed, layered(indexed, (200, 0, 0), 0))
    assert result is not None
    assert (result.indices[:4, :4] == 0).all()
    assert np.array_equal(result.entries, indexed.entries)


def test_an_alpha_that_no_entry_has_takes_the_entry_that_looks_most_alike() -> None:
    indexed = clear_and((200, 0, 0, 255), (0, 200, 0, 255))
    nearly_opaque, nearly_clear = (refitted(indexed, layered(indexed, (200, 0, 0), alpha)) for alpha in (250, 8))
    assert nearly_opaque is not None
    assert nearly_clear is not None
    assert (nearly_opaque.indices[:4, :4] == 1).all()
    assert (nearly_clear.indices[:4, :4] == 0).all()


def test_an_alpha_that_no_entry_comes_near_leaves_the_palette() -> None:
    indexed = clear_and((200, 0, 0, 255), (0, 200, 0, 255))
    assert refitted(indexed, layered(indexed, (200, 0, 0), 128), 256) is None
