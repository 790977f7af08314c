"""The picture below a known mark comes back; other texts only where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from skimage import data

from flows.flow import Flow
from operators.fetch import Fetch
from operators.find_marks import FindMarks
from operators.marks.mark import Mark, write_mark
from operators.marks.mark_folder import load_marks
from operators.masks.overlay import overlaid
from operators.operator import Operator
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.overlay import Overlay
from operators.rows.regions import ACCEPTED, DETECTED, FOUND_COLUMNS, OPEN, new_region
from operators.rows.table import Region, map_rows, row_views
from operators.see_through import SeeThrough
from operators.soften import Soften
from tests.fixtures.overlays import words

COFFEE: Pixels = np.ascontiguousarray(data.coffee()[60:360, 40:440])


def overlay_on_picture(opacity: float) -> Overlay:
    return words(COFFEE.shape[:2], opacity)


@dataclass(frozen=True)
class Place(Operator):
    """Find one text, or none."""

    adds: ClassVar[tuple[str, ...]] = DETECTED
    polygon: tuple[tuple[float, float], ...] = ()

    def apply(self, batch: pa.Table) -> pa.Table:
        box = Box(0, 0, COFFEE.shape[1], COFFEE.shape[0])
        polygon = [list(point) for point in self.polygon]
        regions = [new_region([polygon], 1.0, "text", np.full((8, 8), 255, np.uint8), box)] if polygon else []
        found = {"width": box.width, "height": box.height, "mode": "RGB", "regions": regions}
        return map_rows(batch, self.name, FOUND_COLUMNS, lambda row: found)


def softened(picture: Pixels, mark: Overlay, folder: Path, index_rows: Callable[..., pa.Table]) -> pa.Table:
    """The picture with the mark found and masked."""
    rows, columns = (np.flatnonzero((mark.alpha > 0).any(axis=axis)) for axis in (1, 0))
    cut = mark.alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    (folder / "marks").mkdir()
    (folder / "marks" / "mark.png").write_bytes(write_mark(Mark("mark", cut, np.full((*cut.shape, 3), 255, np.float32))))
    Image.fromarray(picture).save(folder / "picture.png")
    load_marks.cache_clear()
    return Flow((Fetch(), Place(), FindMarks(str(folder / "marks")), Soften())).run(index_rows(folder / "picture.png"))


def only_region(table: pa.Table) -> Region:
    (region,) = row_views(table)[0].regions
    return region


@pytest.fixture
def marked() -> Pixels:
    return np.rint(overlaid(COFFEE, overlay_on_picture(0.5))).astype(np.uint8)


def test_a_known_mark_is_taken_off_nearly_exactly(marked: Pixels, tmp_path: Path, index_rows: Callable[..., pa.Table]) -> None:
    region = only_region(SeeThrough().apply(softened(marked, overlay_on_picture(0.5), tmp_path, index_rows)))
    assert (region["state"], region["rung"], region["passes"]) == (ACCEPTED, "see_through", 1)
    fill = region.fill()
    assert fill is not None
    truth = COFFEE[region.crop.inside(Box(0, 0, COFFEE.shape[1], COFFEE.shape[0]))]
    assert np.abs(fill.astype(int) - truth).mean() < 2
    assert region["opacity"] == pytest.approx(0.5, abs=0.03)
    assert {record["name"] for record in region["checks"]} >= {"overlay_trace", "residual_text"}


def test_a_mark_that_does_not_fit_stays_open_with_its_mask(
    marked: Pixels, tmp_path: Path, index_rows: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = softened(marked, overlay_on_picture(0.5), tmp_path, index_rows)
    monkeypatch.setattr("operators.see_through.MOST_TRACE", -1.0)
    before, region = only_region(table), only_region(SeeThrough().apply(table))
    assert (region["state"], region.fill()) == (OPEN, None)
    assert np.array_equal(region.array("mask", 4), before.array("mask", 4))
    assert [record["name"] for record in region["checks"] if not record["passed"]] == ["overlay_trace"]


@pytest.fixture
def text(marked: Pixels, tmp_path: Path, index_rows: Callable[..., pa.Table]) -> pa.Table:
    """The picture with its word as a text that no mark describes."""
    rows, columns = (np.flatnonzero((overlay_on_picture(0.5).alpha > 0).any(axis=axis)) for axis in (1, 0))
    left, top, right, bottom = (float(v) for v in (columns[0] - 2, rows[0] - 2, columns[-1] + 3, rows[-1] + 3))
    Image.fromarray(marked).save(tmp_path / "text.png")
    place = Place(((left, top), (right, top), (right, bottom), (left, bottom)))
    return Flow((Fetch(), place, Soften())).run(index_rows(tmp_path / "text.png"))


def test_a_text_that_no_mark_describes_is_left_to_fills(text: pa.Table) -> None:
    assert only_region(SeeThrough().apply(text)).record() == only_region(text).record()


def test_such_a_text_is_seen_through_where_that_is_asked_for(text: pa.Table) -> None:
    region = only_region(SeeThrough(estimates=True).apply(text))
    values = {record["name"]: record["value"] for record in region["checks"]}
    assert values["overlay_opacity"] == pytest.approx(0.5, abs=0.08)
    assert region["passes"] == 1


def test_a_crop_beyond_the_bound_is_not_estimated(text: pa.Table) -> None:
    region = only_region(SeeThrough(estimates=True, most_pixels=100).apply(text))
    assert region["passes"] == 0
