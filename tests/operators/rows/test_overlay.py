"""The alpha and the colour of a known mark travel in the row, and move onto the region's crop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from operators.rows.box import Box
from operators.rows.overlay import Overlay
from operators.rows.table import row_views

RANDOM = np.random.default_rng(5)
BOX = Box(10, 20, 30, 16)
ALPHA = RANDOM.random((16, 30)).astype(np.float32)
ONE_COLOUR = np.array([[[255.0, 128.0, 3.0]]], np.float32)
COLOURS = RANDOM.random((16, 30, 3)).astype(np.float32) * 255


def region_of(rows: Callable[..., pa.Table], box: Any, overlay: Overlay | None, crop: Box) -> Any:
    record = None if overlay is None else overlay.record(BOX)
    table = rows({"regions": [{"kind": "mark", "crop": crop.record(), "overlay": record}]})
    return row_views(table)[0].regions[0]


@pytest.mark.parametrize("colour", [ONE_COLOUR, COLOURS])
def test_an_overlay_keeps_its_values_to_half_precision(rows: Callable[..., pa.Table], box: Any, colour: np.ndarray) -> None:
    seen = region_of(rows, box, Overlay(ALPHA, colour), BOX).overlay()
    assert seen.alpha == pytest.approx(ALPHA, rel=2**-11, abs=1e-7)
    assert seen.colour.shape == colour.shape
    assert seen.colour == pytest.approx(colour, rel=2**-11, abs=1e-7)


@pytest.mark.parametrize("colour", [ONE_COLOUR, COLOURS])
@pytest.mark.parametrize("crop", [Box(0, 0, 60, 60), Box(15, 25, 10, 40), Box(200, 200, 5, 5)])
def test_an_overlay_moves_onto_the_crop(rows: Callable[..., pa.Table], box: Any, colour: np.ndarray, crop: Box) -> None:
    seen = region_of(rows, box, Overlay(ALPHA, colour), crop).overlay()
    picture = np.zeros((300, 300), np.float32)
    picture[BOX.y : BOX.y + BOX.height, BOX.x : BOX.x + BOX.width] = ALPHA
    assert seen.alpha == pytest.approx(picture[crop.inside(Box(0, 0, 300, 300))], rel=2**-11, abs=1e-7)
    assert np.broadcast_to(seen.colour, (*seen.alpha.shape, 3)).shape == (crop.height, crop.width, 3)


def test_a_region_without_a_known_mark_has_no_overlay(rows: Callable[..., pa.Table], box: Any) -> None:
    assert region_of(rows, box, None, BOX).overlay() is None
