"""Known marks become regions that carry their own alpha and colour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from skimage import data

from operators.find_marks import FindMarks
from operators.marks.mark import Mark, write_mark
from operators.marks.mark_folder import load_marks
from operators.masks.mask import BLEND
from operators.masks.overlay import overlaid, seen_through
from operators.rows.failure import RunError
from operators.rows.overlay import Overlay
from operators.rows.table import Region, row_views
from operators.soften import Soften

LEFT, TOP = 140, 240


@pytest.fixture(scope="module")
def mark() -> Mark:
    (width, height), below = cv2.getTextSize("Studio Nord", cv2.FONT_HERSHEY_DUPLEX, 1.0, 3)
    alpha = np.zeros((height + below, width), np.uint8)
    cv2.putText(alpha, "Studio Nord", (0, height), cv2.FONT_HERSHEY_DUPLEX, 1.0, 255, 3, cv2.LINE_AA)
    alpha = alpha[: int(np.flatnonzero(alpha.any(axis=1))[-1]) + 1]
    return Mark("nord", np.rint(alpha * 0.5).astype(np.float32) / 255, np.full((*alpha.shape, 3), 255, np.float32))


@pytest.fixture(scope="module")
def below() -> np.ndarray:
    return cv2.resize(data.coffee(), (480, 360), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def seen(below: np.ndarray, mark: Mark) -> np.ndarray:
    alpha = np.zeros(below.shape[:2], np.float32)
    alpha[TOP : TOP + mark.alpha.shape[0], LEFT : LEFT + mark.alpha.shape[1]] = mark.alpha
    return np.rint(overlaid(below, Overlay(alpha, np.full((1, 1, 3), 255, np.float32)))).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mark: Mark) -> str:
    path: Path = tmp_path_factory.mktemp("marks")
    (path / "nord.png").write_bytes(write_mark(mark))
    load_marks.cache_clear()
    return str(path)


def regions_of(table: pa.Table) -> list[Region]:
    return row_views(table)[0].regions


def test_a_mark_is_a_region_whose_overlay_gives_the_picture_back(
    rows: Callable[..., pa.Table], saved: Callable[..., bytes], folder: str, seen: np.ndarray, below: np.ndarray
) -> None:
    found = FindMarks(folder).apply(rows({"bytes": saved(seen, "PNG"), "regions": []}))
    (region,) = regions_of(Soften().apply(found))
    assert (region["kind"], region["state"], region["mark"], region["strokes"]) == ("mark", "open", "nord", "given")
    assert region["opacity"] == pytest.approx(0.5, abs=0.02)
    overlay, crop = region.overlay(), region.crop
    assert overlay is not None
    picture = below[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    fill = np.zeros_like(picture)
    result = seen_through(region.array("pixels", 3), overlay, fill, 1e6)
    assert np.abs(result.astype(int) - picture).max() <= 2
    weight = region.array("mask", 4)[:, :, BLEND]
    assert (weight[overlay.alpha > 0.02] == 255).all()


def test_a_text_that_is_the_mark_is_dropped_and_other_texts_stay_after_the_marks(
    rows: Callable[..., pa.Table],
    saved: Callable[..., bytes],
    text_region: Callable[..., dict],
    folder: str,
    seen: np.ndarray,
    mark: Mark,
) -> None:
    own = text_region(LEFT, TOP, mark.alpha.shape[1], mark.alpha.shape[0])
    other, wide = text_region(10, 20, 90, 24), text_region(20, TOP - 120, 440, 200)
    table = rows({"bytes": saved(seen, "PNG"), "width": 480, "height": 360, "regions": [own, other, wide]})
    regions = regions_of(FindMarks(folder).apply(table))
    assert [region["kind"] for region in regions] == ["mark", "text", "text"]
    assert [region["polygons"] for region in regions[1:]] == [other["polygons"], wide["polygons"]]


def test_a_picture_without_the_mark_passes_unchanged(
    rows: Callable[..., pa.Table], saved: Callable[..., bytes], text_region: Callable[..., dict], folder: str, below: np.ndarray
) -> None:
    table = rows({"bytes": saved(below, "PNG"), "regions": [text_region(10, 20, 90, 24)]})
    assert FindMarks(folder).apply(table)["regions"].equals(table["regions"])


def test_a_broken_file_fails_alone(
    rows: Callable[..., pa.Table], saved: Callable[..., bytes], folder: str, seen: np.ndarray
) -> None:
    done = FindMarks(folder).apply(rows({"bytes": b"x" * 30}, {"bytes": saved(seen, "PNG")}))
    assert [failure and failure["code"] for failure in done["failure"].to_pylist()] == ["not_an_image", None]
    assert len(done["regions"].to_pylist()[1]) == 1


def test_a_missing_mark_is_refused_before_the_run() -> None:
    with pytest.raises(RunError, match="mark_missing"):
        FindMarks("/no/such/mark.png").check()


def test_the_settings_hold_a_checksum_of_every_mark(folder: str) -> None:
    (known,) = FindMarks(folder).settings()["known"]
    assert known["name"] == "nord"
    assert len(known["sha256"]) == 64
