"""`refine` grows the mask where a fill still shows strokes, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from operators.decisions.routing import REFINED
from operators.masks.mask import BLEND, CORE, dilated
from operators.refine import Refine
from operators.rows.schema import check_schema
from operators.rows.table import fill_record, row_views

X, Y = 20, 40
WINDOW = np.s_[Y : Y + 100, X : X + 360]


@pytest.fixture(scope="module")
def place(captioned, photo):
    """A wall with the text, the same without, and the text's pixels."""
    _, text = captioned
    wall = np.ascontiguousarray(np.broadcast_to(photo[300:301, 480:481], (100, 360, 3)))
    strokes = text[WINDOW] > 0
    return np.where(strokes[:, :, None], np.uint8((255, 255, 0)), wall), wall, strokes


def residual(rung, passed):
    return [{"rung": rung, "name": "residual_text", "value": 0.5, "limit": 0.1, "passed": passed}]


@pytest.fixture(scope="module")
def half_masked(place, rows, open_region):
    """A refined region whose mask covered only the left half of its strokes.

    Its fill is perfect there.
    """
    pixels, truth, strokes = place

    def work(**more):
        hole = dilated(strokes.astype(np.uint8), 2) > 0
        hole[:, 180:] = False
        fill = np.where(hole[:, :, None], truth, pixels)
        more = {"rung": "patchmatch", "passes": 1, "checks": residual("patchmatch", False), "fill": fill_record(fill), **more}
        region = open_region(X, Y, pixels, hole, **more)
        columns = np.flatnonzero(strokes.any(axis=0))
        corners = [[X + columns[0], Y + 20], [X + columns[-1], Y + 20], [X + columns[-1], Y + 80], [X + columns[0], Y + 80]]
        region["polygons"] = [[[float(x), float(y)] for x, y in corners]]
        done = Refine("patchmatch").apply(rows({"width": 512, "height": 512, "regions": [region]}))
        check_schema(done, "refine")
        assert done["failure"].to_pylist() == [None]
        return row_views(done)[0].regions[0], hole

    return work


def test_strokes_that_the_fill_still_shows_join_the_mask(half_masked, place):
    region, _ = half_masked()
    mask = region.array("mask", 4)
    left = place[2].copy()
    left[:, :184] = False
    assert region["route"] == REFINED
    assert (mask[:, :, CORE][left] > 0).mean() > 0.9
    assert (mask[:, :, BLEND][left] > 0).mean() > 0.95


def test_the_mask_never_shrinks(half_masked):
    region, hole = half_masked()
    mask = region.array("mask", 4)
    assert (mask[:, :, CORE][hole] == 255).all()
    assert (mask[:, :, BLEND][hole] == 255).all()


@pytest.mark.parametrize(
    "more",
    [
        {"checks": residual("patchmatch", True)},
        {"checks": residual("navier_stokes", False), "rung": "navier_stokes"},
        {"state": "accepted"},
        {"kind": "mask"},
        {"fill": None},
        {"checks": []},
    ],
    ids=["no text left", "another rung's fill", "accepted", "a given mask", "no fill", "not judged"],
)
def test_other_regions_pass_as_they_are(half_masked, more):
    region, hole = half_masked(**more)
    mask = region.array("mask", 4)
    assert region["route"] is None
    assert (mask[:, :, CORE] == np.where(hole, 255, 0)).all()
