"""A suite is a folder of pictures with known truth; the default one is the same every time it is
drawn.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from flows.evaluation.default_suite import SIDE, default_suite, polygon_round
from flows.evaluation.suite import Entry, Suite, load
from operators.masks.geometry import rasterised
from operators.masks.mask import dilated
from operators.rows.box import Box

BUCKETS = {"photo", "low light", "texture", "graphics", "page"}
ENTRY = {"file": "a.png", "set": "tune", "bucket": "photo", "prompt": "", "texts": []}


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Suite]:
    """The default suite as two processes draw it."""
    folders = [tmp_path_factory.mktemp("suites") / name for name in ("one", "other")]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        one, other = pool.map(default_suite, folders)
    return one, other


@pytest.fixture(scope="module")
def suite(twice: tuple[Suite, Suite]) -> Suite:
    return twice[0]


def users_suite(folder: Path, entries: list[dict[str, object]] | None = None, truth: bool = False) -> Path:
    """A suite of one small picture of one's own."""
    for part in ("images", "truth") if truth else ("images",):
        (folder / part).mkdir(parents=True)
        Image.new("RGB", (40, 30), (90, 120, 40)).save(folder / part / "a.png")
    (folder / "suite.json").write_text(json.dumps({"name": "mine", "entries": entries or [ENTRY]}))
    return folder


def test_the_default_suite_is_drawn_the_same_to_the_last_byte(twice: tuple[Suite, Suite]) -> None:
    one, other = twice
    assert one.checksum == other.checksum
    assert one.entries == other.entries


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
    for one, other in product(tuned, reported):
        part = np.ascontiguousarray(reported[other][24:72, 24:72])
        likeness = cv2.matchTemplate(tuned[one], part, cv2.TM_CCOEFF_NORMED).max()
        assert likeness < 0.9, f"{one} and {other} show the same place"


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


def test_the_checksum_changes_with_any_file(tmp_path: Path) -> None:
    folder = users_suite(tmp_path / "mine", truth=True)
    before = load(folder).checksum
    assert load(folder).checksum == before
    assert len(before) == 16
    Image.new("RGB", (40, 30), (90, 120, 41)).save(folder / "truth" / "a.png")
    changed = load(folder).checksum
    (folder / "masks").mkdir()
    Image.new("L", (40, 30)).save(folder / "masks" / "a.png")
    assert len({before, changed, load(folder).checksum}) == 3


def test_the_checksum_does_not_depend_on_where_the_suite_lies(tmp_path: Path) -> None:
    assert load(users_suite(tmp_path / "here")).checksum == load(users_suite(tmp_path / "else" / "where")).checksum


def test_a_suite_of_ones_own_needs_no_truth_and_no_masks(tmp_path: Path) -> None:
    found = load(users_suite(tmp_path / "mine"))
    (entry,) = found.entries
    assert found.name == "mine"
    assert entry == Entry("a.png", "tune", "photo", "", [])
    assert asdict(entry) == ENTRY
    assert found.image(entry).is_file()
    assert found.truth(entry) is None
    assert found.mask(entry) is None


def test_a_truth_of_ones_own_is_read_by_the_name_of_its_image(tmp_path: Path) -> None:
    folder = users_suite(tmp_path / "mine", [{**ENTRY, "file": "a.jpg"}], truth=True)
    Image.new("RGB", (40, 30)).save(folder / "images" / "a.jpg")
    found = load(folder)
    truth = found.truth(found.entries[0])
    assert truth is not None
    assert truth.shape == (30, 40, 3)
    assert (truth == (90, 120, 40)).all()


WRONG = {
    "no suite.json": None,
    "nothing in it": "",
    "words": "these are words",
    "a list": "[1, 2]",
    "no name": '{"entries": []}',
    "no entries": '{"name": "mine"}',
    "entries that are a number": '{"name": "mine", "entries": 5}',
    "an entry that is a word": '{"name": "mine", "entries": ["a.png"]}',
    "an entry without a set": json.dumps({"name": "mine", "entries": [{k: v for k, v in ENTRY.items() if k != "set"}]}),
    "an entry with more than it may have": json.dumps({"name": "mine", "entries": [{**ENTRY, "colour": "red"}]}),
    "an entry of a set that there is not": json.dumps({"name": "mine", "entries": [{**ENTRY, "set": "training"}]}),
    "an entry whose image is missing": json.dumps({"name": "mine", "entries": [{**ENTRY, "file": "none.png"}]}),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_what_is_no_suite_is_one_line_that_names_the_folder(content: str | None, tmp_path: Path) -> None:
    folder = users_suite(tmp_path / "mine")
    (folder / "suite.json").unlink()
    if content is not None:
        (folder / "suite.json").write_text(content)
    with pytest.raises(ValueError, match="is not a suite") as raised:
        load(folder)
    assert str(raised.value).startswith(str(folder))
    assert "\n" not in str(raised.value)


def test_the_polygon_round_a_coverage_is_its_smallest_rectangle() -> None:
    coverage = np.zeros((50, 80), np.float32)
    coverage[10:20, 30:60] = 1
    coverage[40, 5] = 0.05
    polygon = polygon_round(coverage)
    assert sorted((round(x), round(y)) for x, y in polygon) == [(30, 10), (30, 19), (59, 10), (59, 19)]


def test_two_pictures_that_differ_only_in_format_are_refused(tmp_path: Path) -> None:
    folder = users_suite(tmp_path / "suite", [ENTRY, {**ENTRY, "file": "a.jpg"}])
    Image.new("RGB", (40, 30)).save(folder / "images" / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png"):
        load(folder)
