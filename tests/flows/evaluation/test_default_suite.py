"""The default suite is identical every time it is drawn, and its sets and buckets are balanced."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from flows.evaluation.default_suite import SIDE, default_suite
from flows.evaluation.suite import Entry, Suite
from operators.masks.geometry import rasterised
from operators.masks.mask import dilated
from operators.rows.box import Box

BUCKETS = {"photo", "low light", "texture", "graphics", "page"}


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Suite]:
    """The default suite, drawn by two processes."""
    folders = [tmp_path_factory.mktemp("suites") / name for name in ("first", "second")]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        first, second = pool.map(default_suite, folders)
    return first, second


@pytest.fixture(scope="module")
def suite(twice: tuple[Suite, Suite]) -> Suite:
    return twice[0]


def test_the_default_suite_is_drawn_the_same_to_the_last_byte(twice: tuple[Suite, Suite]) -> None:
    first, second = twice
    assert first.checksum == second.checksum
    assert first.entries == second.entries


def test_a_drawn_suite_is_not_drawn_again(suite: Suite) -> None:
    times = {file: file.stat().st_mtime_ns for file in suite.folder.rglob("*")}
    assert default_suite(suite.folder) == suite
    assert {file: file.stat().st_mtime_ns for file in suite.folder.rglob("*")} == times


def test_both_sets_hold_every_bucket_as_often(suite: Suite) -> None:
    counts = Counter((entry.set, entry.bucket) for entry in suite.entries)
    assert {bucket for _, bucket in counts} == BUCKETS
    for bucket in BUCKETS:
        assert counts["tune", bucket] == counts["report", bucket] >= 8
    assert len(counts) == 2 * len(BUCKETS)


def test_every_file_is_named_once_and_comes_with_truth_and_mask(suite: Suite) -> None:
    names = [Path(entry.file).stem for entry in suite.entries]
    assert len(set(names)) == len(names)
    for part in ("images", "truth", "masks"):
        assert sorted(file.stem for file in (suite.folder / part).iterdir()) == sorted(names)
    assert {Path(entry.file).suffix for entry in suite.entries} == {".png", ".jpg"}


def test_outside_its_mask_a_picture_is_its_truth(suite: Suite) -> None:
    for entry in suite.entries[::3]:
        picture = np.asarray(Image.open(suite.image(entry)))
        truth, mask = suite.truth(entry), suite.mask(entry)
        assert truth is not None
        assert mask is not None
        assert picture.shape == truth.shape == (SIDE, SIDE, 3)
        assert mask.shape == (SIDE, SIDE)
        if entry.file.endswith(".png"):
            assert np.array_equal(picture[mask == 0], truth[mask == 0])
        else:
            assert np.abs(picture.astype(int) - truth)[dilated(mask, 16) == 0].mean() < 10
        assert (np.abs(picture.astype(int) - truth).max(axis=2) > 3)[mask > 0.8 * mask.max()].mean() > 0.3


def test_every_text_has_a_polygon_and_the_polygons_hold_the_mask(suite: Suite) -> None:
    frame = Box(0, 0, SIDE, SIDE)
    for entry in suite.entries[::3]:
        mask = suite.mask(entry)
        assert mask is not None
        assert entry.texts
        assert all(len(polygon) == 4 for polygon in entry.texts)
        inside = dilated(rasterised(entry.texts, frame), 2) > 0
        assert inside[mask > 0.1 * 255 + 1].all()
        for polygon in entry.texts:
            assert mask[rasterised([polygon], frame) > 0].max() > 32


def test_no_background_is_in_both_sets(suite: Suite) -> None:
    def grey(entry: Entry) -> np.ndarray:
        truth = suite.truth(entry)
        assert truth is not None
        return cv2.resize(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), (96, 96), interpolation=cv2.INTER_AREA)

    tuned, reported = (
        {
            entry.file: grey(entry)
            for entry in suite.entries
            if entry.set == name and entry.bucket in ("photo", "low light", "texture")
        }
        for name in ("tune", "report")
    )
    for tune_file, report_file in product(tuned, reported):
        part = np.ascontiguousarray(reported[report_file][24:72, 24:72])
        likeness = cv2.matchTemplate(tuned[tune_file], part, cv2.TM_CCOEFF_NORMED).max()
        assert likeness < 0.9, f"{tune_file} and {report_file} show the same place"


def test_no_clean_picture_is_in_both_sets(suite: Suite) -> None:
    sums = {
        name: {
            (suite.folder / "truth" / entry.file).with_suffix(".png").read_bytes()
            for entry in suite.entries
            if entry.set == name
        }
        for name in ("tune", "report")
    }
    assert not sums["tune"] & sums["report"]


def test_a_bucket_is_what_its_name_says(suite: Suite) -> None:
    def brightness(bucket: str) -> float:
        return float(np.mean([np.mean(suite.truth(entry)) for entry in suite.entries if entry.bucket == bucket]))

    assert brightness("low light") < 0.4 * brightness("photo")
    assert brightness("page") > 210
