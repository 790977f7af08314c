"""The default suite is identical every time it is drawn, and its sets and buckets are balanced."""

from __future__ import annotations

import io
import random
import re
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations, product
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFont

import flows.evaluation.default_suite
from flows.evaluation import captions, words
from flows.evaluation.buckets import EVERYDAY, TEXT_FREE
from flows.evaluation.default_suite import DRAWING_CODE, PICTURES, TEXT_FREE_PICTURES, TUNING_PICTURES, default_suite
from flows.evaluation.suite import SETS, Entry, Suite
from operators.masks.geometry import rasterised
from operators.masks.mask import dilated
from operators.rows.box import Box

SQUARE = {"photo", "low light", "texture", "graphics", "page"}
BUCKETS = {*SQUARE, *EVERYDAY, *TEXT_FREE}
PHOTOGRAPHIC = ("photo", "low light", "texture", "no text: photo")


POOLS = [words.SHORT, words.SENTENCES, words.PUNCTUATED, words.VERTICAL, words.SOUNDS, words.LABELS]


def with_text(suite: Suite) -> list[Entry]:
    return [entry for entry in suite.entries if entry.texts]


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


def test_a_change_of_any_drawing_module_draws_the_suite_again() -> None:
    folder = Path(flows.evaluation.default_suite.__file__).parent
    reached, modules = set(), ["default_suite"]
    while modules:
        reached.add(name := modules.pop())
        code = (folder / f"{name}.py").read_text()
        imported = re.findall(r"from flows\.evaluation\.(\w+) import", code)
        imported += [each for line in re.findall(r"from flows\.evaluation import (.+)", code) for each in line.split(", ")]
        modules += set(imported) - reached
    assert {f"{name}.py" for name in reached} == set(DRAWING_CODE)


def test_every_set_holds_every_bucket_as_often_but_for_more_to_learn_from(suite: Suite) -> None:
    counts = Counter((entry.set, entry.bucket) for entry in suite.entries)
    expected = {bucket: TEXT_FREE_PICTURES if bucket in TEXT_FREE else PICTURES for bucket in BUCKETS}
    assert counts == {
        (chosen, bucket): TUNING_PICTURES if chosen == "tune" and bucket in EVERYDAY else count
        for chosen in SETS
        for bucket, count in expected.items()
    }


def test_pictures_without_text_are_their_own_truth(suite: Suite) -> None:
    for entry in suite.entries:
        assert bool(entry.texts) == (entry.bucket not in TEXT_FREE)
        if not entry.texts:
            mask = suite.mask(entry)
            assert mask is not None
            assert not mask.any()
            assert np.array_equal(np.asarray(Image.open(suite.image(entry)).convert("RGB")), suite.truth(entry))


def test_no_phrase_is_in_two_sets() -> None:
    every = {chosen: {phrase for pool in POOLS for phrase in pool[chosen]} for chosen in SETS}
    for first, second in combinations(SETS, 2):
        assert not every[first] & every[second]


def test_typefaces_have_every_character_of_the_words() -> None:
    written = {**dict.fromkeys(captions.typefaces().values(), POOLS[:2]), captions.eastern(): [words.VERTICAL]}
    for font, pools in written.items():
        face = ImageFont.truetype(font, 40)
        missing = face.getmask("\U0010ffff").getbbox(), bytes(face.getmask("\U0010ffff"))
        for character in {character for pool in pools for chosen in SETS for phrase in pool[chosen] for character in phrase} - {
            " "
        }:
            glyph = face.getmask(character)
            assert (glyph.getbbox(), bytes(glyph)) != missing, f"{font} lacks {character}"


def test_every_file_is_named_once_and_comes_with_truth_and_mask(suite: Suite) -> None:
    names = [Path(entry.file).stem for entry in suite.entries]
    assert len(set(names)) == len(names)
    for part in ("images", "truth", "masks"):
        assert sorted(file.stem for file in (suite.folder / part).iterdir()) == sorted(names)
    assert {Path(entry.file).suffix for entry in suite.entries} == {".png", ".jpg", ".webp"}


def test_outside_its_mask_a_picture_is_its_truth_whatever_compressed_it(suite: Suite) -> None:
    for entry in with_text(suite)[::3]:
        picture = np.asarray(Image.open(suite.image(entry)).convert("RGB"))
        truth, mask = suite.truth(entry), suite.mask(entry)
        assert truth is not None
        assert mask is not None
        assert picture.shape == truth.shape == (*mask.shape, 3)
        difference = np.abs(picture.astype(int) - truth).max(axis=2)
        assert not difference[(mask if entry.file.endswith(".png") else dilated(mask, 18)) == 0].any()
        assert difference[mask > 0.8 * mask.max()].mean() > 8, entry.file


def test_the_truth_of_a_lossy_picture_is_the_clean_picture_saved_the_same_way(suite: Suite) -> None:
    (entry,) = (entry for entry in suite.entries if entry.file == "tune-smooth-sky-4.jpg")
    chosen, number = "tune", 4
    recipe, formats = EVERYDAY["smooth sky"]
    clean = recipe(random.Random(f"{chosen} smooth sky {number}"), chosen, number).clean
    assert formats[number] == ("jpg", 60, True)
    file = io.BytesIO()
    Image.fromarray(clean).save(file, "JPEG", quality=60, subsampling="4:2:0")
    truth, mask = suite.truth(entry), suite.mask(entry)
    assert truth is not None
    assert mask is not None
    assert np.array_equal(truth[mask > 0], np.asarray(Image.open(file))[mask > 0])
    assert not np.array_equal(truth[mask > 0], clean[mask > 0])


def test_every_text_has_a_polygon_and_the_polygons_hold_the_mask(suite: Suite) -> None:
    for entry in with_text(suite)[::3]:
        mask = suite.mask(entry)
        assert mask is not None
        frame = Box(0, 0, mask.shape[1], mask.shape[0])
        inside = dilated(rasterised(entry.texts, frame), 2) > 0
        assert inside[mask > 0.1 * 255 + 1].all(), entry.file
        for polygon in entry.texts:
            corners = np.array(polygon)
            assert (corners > -5).all(), entry.file
            assert (corners < np.array(mask.shape[::-1]) + 5).all(), entry.file
            assert mask[rasterised([polygon], frame) > 0].max() > 32


def test_no_background_is_in_two_sets(suite: Suite) -> None:
    def grey(entry: Entry) -> np.ndarray:
        truth = suite.truth(entry)
        assert truth is not None
        return cv2.resize(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), (96, 96), interpolation=cv2.INTER_AREA)

    places = {
        chosen: {e.file: grey(e) for e in suite.entries if e.set == chosen and e.bucket in PHOTOGRAPHIC} for chosen in SETS
    }
    for first, second in combinations(SETS, 2):
        for one, other in product(places[first], places[second]):
            part = np.ascontiguousarray(places[second][other][24:72, 24:72])
            likeness = cv2.matchTemplate(places[first][one], part, cv2.TM_CCOEFF_NORMED).max()
            assert likeness < 0.9, f"{one} and {other} show the same place"


def test_no_clean_picture_is_in_two_sets(suite: Suite) -> None:
    sums = {
        chosen: {
            (suite.folder / "truth" / entry.file).with_suffix(".png").read_bytes()
            for entry in suite.entries
            if entry.set == chosen
        }
        for chosen in SETS
    }
    for first, second in combinations(SETS, 2):
        assert not sums[first] & sums[second]


def test_a_bucket_is_what_its_name_says(suite: Suite) -> None:
    def brightness(bucket: str) -> float:
        return float(np.mean([np.mean(suite.truth(entry)) for entry in suite.entries if entry.bucket == bucket]))

    assert brightness("low light") < 0.4 * brightness("photo")
    assert brightness("page") > 210


def test_the_letters_of_a_text_box_go_and_the_box_stays(suite: Suite) -> None:
    (entry,) = (entry for entry in suite.entries if entry.file == "report-text-box-2.png")
    truth, mask = suite.truth(entry), suite.mask(entry)
    assert truth is not None
    assert mask is not None
    for polygon in entry.texts:
        left, top = np.min(polygon, axis=0).astype(int)
        right, bottom = np.max(polygon, axis=0).astype(int)
        inside = truth[top - 4 : bottom + 4, left - 4 : right + 4].mean()
        around = np.concatenate([truth[top - 20 : top - 12, left:right], truth[bottom + 12 : bottom + 20, left:right]]).mean()
        assert abs(inside - around) > 40


def test_strips_are_long_and_tiny_letters_tiny(suite: Suite) -> None:
    sides = {
        bucket: [Image.open(suite.image(entry)).size for entry in suite.entries if entry.bucket == bucket]
        for bucket in ("tall strip", "wide strip")
    }
    assert all(height >= 5 * width for width, height in sides["tall strip"])
    assert all(width >= 8 * height for width, height in sides["wide strip"])
    for entry in suite.entries:
        if entry.bucket == "tiny text":
            assert all(np.ptp(np.array(polygon)[:, 1]) <= 18 for polygon in entry.texts), entry.file
