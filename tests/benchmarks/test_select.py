"""The benchmark of rules: what counts as selected, as still readable, and what its scenes show."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.select import can_be_read, scenes, share_that_goes
from benchmarks.select_scenes import DRAWN, Known, date, email, phone, price
from operators.rows.schema import SCHEMA
from operators.rows.table import Row, row_views
from operators.selection.patterns import spans_of

DRAWN_KINDS = {"price": price, "date": date, "phone": phone, "email": email}


def row_with(*regions: tuple[str, tuple[int, int, int, int]]) -> Row:
    """A row with rectangles (left, top, right, bottom) in these states."""
    records = [{"state": state, "polygons": [[[x, y], [u, y], [u, v], [x, v]]]} for state, (x, y, u, v) in regions]
    (row,) = row_views(pa.Table.from_pylist([{"regions": records}], schema=SCHEMA))
    return row


def test_a_piece_goes_as_far_as_regions_that_go_cover_it_and_none_that_stays() -> None:
    pixels = np.zeros((40, 100), bool)
    pixels[10:20, 10:50] = True
    piece = Known("a", "other", pixels)
    assert share_that_goes(row_with(("open", (0, 0, 99, 39))), piece) == 1.0
    assert share_that_goes(row_with(("open", (0, 0, 29, 39))), piece) == 0.5
    assert share_that_goes(row_with(("open", (0, 0, 99, 39)), ("kept", (0, 0, 29, 39))), piece) == 0.5
    assert share_that_goes(row_with(("kept", (0, 0, 99, 39))), piece) == 0.0


def test_scenes_show_each_piece_where_it_is_said_to_be() -> None:
    for scene in scenes(1, "tune"):
        assert scene.bucket in DRAWN
        assert all(piece.pixels.any() for piece in scene.pieces)
        assert len({piece.pixels.tobytes() for piece in scene.pieces}) == len(scene.pieces)


def test_a_text_can_be_read_until_it_is_covered() -> None:
    (scene,) = scenes(1, "tune", ("screenshot",))
    piece = next(piece for piece in scene.pieces if piece.kind == "email")
    assert can_be_read(scene.picture, piece)
    covered = scene.picture.copy()
    covered[piece.pixels] = scene.picture[100, 5]
    assert not can_be_read(covered, piece)


@pytest.mark.parametrize("kind", DRAWN_KINDS)
def test_every_number_of_a_kind_has_its_form(kind: str) -> None:
    rng = random.Random(3)
    texts = [DRAWN_KINDS[kind](rng) for _ in range(200)]
    assert [text for text in texts if spans_of(kind, text) != [(0, len(text))]] == []
