"""A collection tells its own mark: where it lies, its matte and its colour, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from skimage import data

from operators.marks.collection import CollectionMark, find_marks_of
from operators.marks.mark import Mark
from operators.marks.statistics import SAMPLES, Sample, Statistics
from operators.masks.overlay import overlaid
from operators.rows.overlay import Overlay
from tests.operators.marks.conftest import letters

NAMES = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "brick", "grass", "gravel", "moon")


def parts(count: int, size: tuple[int, int] = (360, 270)) -> list[np.ndarray]:
    """Parts of photographs at many places, sizes and flips, uint8 height x width x 3."""
    random = np.random.default_rng(8)
    made = []
    for number in range(count):
        rgb = getattr(data, NAMES[number % len(NAMES)])()
        rgb = np.dstack([rgb] * 3) if rgb.ndim == 2 else rgb[:, :, :3]
        side = int(random.uniform(0.45, 0.95) * min(rgb.shape[:2]))
        y, x = int(random.integers(0, rgb.shape[0] - side)), int(random.integers(0, rgb.shape[1] - side))
        part = cv2.resize(rgb[y : y + side, x : x + side], size, interpolation=cv2.INTER_AREA)
        made.append(np.ascontiguousarray(part[:, ::-1] if random.random() < 0.5 else part))
    return made


def put(picture: np.ndarray, mark: Mark, left: int, top: int) -> np.ndarray:
    alpha = np.zeros(picture.shape[:2], np.float32)
    alpha[top : top + mark.alpha.shape[0], left : left + mark.alpha.shape[1]] = mark.alpha
    colour = np.zeros((*picture.shape[:2], 3), np.float32)
    colour[top : top + mark.alpha.shape[0], left : left + mark.alpha.shape[1]] = mark.colour
    return np.rint(overlaid(picture, Overlay(alpha, colour))).astype(np.uint8)


def collection(pictures: list[np.ndarray]) -> tuple[Statistics, Callable[[Sample], np.ndarray | None]]:
    statistics, held = Statistics(), {}
    for number, picture in enumerate(pictures):
        held[f"{number}.png"] = picture
        statistics.add(picture, Sample.of(f"{number}.png", None))
    return statistics, lambda sample: held[sample.uri]


def marks_of(pictures: list[np.ndarray]) -> list[CollectionMark]:
    return find_marks_of(*collection(pictures))


def overlap(found: Mark, truth: Mark) -> float:
    """Intersection over union of two mattes at half the opacity, at their best place."""
    padded = cv2.copyMakeBorder(found.alpha, 30, 30, 30, 30, cv2.BORDER_CONSTANT, value=0)
    _, _, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(padded, truth.alpha, cv2.TM_CCORR))
    there = np.zeros_like(padded)
    there[y : y + truth.alpha.shape[0], x : x + truth.alpha.shape[1]] = truth.alpha
    level = truth.strongest / 2
    return float(((padded > level) & (there > level)).sum() / ((padded > level) | (there > level)).sum())


@pytest.fixture(scope="module")
def small_mark() -> Mark:
    return letters("nord.example", (255, 255, 255), 0.45, 0.7)


def test_one_mark_of_forty_pictures_is_found_with_its_matte_colour_and_place(small_mark: Mark) -> None:
    height, width = small_mark.alpha.shape
    left, top = 360 - 15 - width, 270 - 12 - height
    (found,) = marks_of([put(picture, small_mark, left, top) for picture in parts(28)])
    assert overlap(found.mark, small_mark) >= 0.9
    strong = found.mark.alpha > 0.9 * found.mark.strongest
    assert found.mark.strongest == pytest.approx(0.45, abs=0.03)
    assert np.median(found.mark.colour[strong], axis=0) == pytest.approx([255, 255, 255], abs=4)
    assert found.share >= 0.9
    zone = found.mark.search.zone
    assert (
        zone[0] <= left / 360 and zone[1] <= top / 270 and zone[2] >= (left + width) / 360 and zone[3] >= (top + height) / 270
    )


def test_pictures_without_a_mark_have_none() -> None:
    assert marks_of(parts(28)) == []


def test_a_band_that_hides_the_picture_is_no_mark(small_mark: Mark) -> None:
    pictures = parts(28)
    for picture in pictures:
        picture[230:255, 60:300] = (20, 30, 60)
        cv2.putText(picture, "chapter one", (80, 250), cv2.FONT_HERSHEY_DUPLEX, 0.7, (240, 240, 240), 2, cv2.LINE_AA)
    assert marks_of(pictures) == []


def test_a_horizon_that_recurs_is_no_mark() -> None:
    random = np.random.default_rng(5)
    pictures = parts(40)
    for picture in pictures:
        horizon = int(random.integers(100, 170))
        picture[:horizon] = random.integers(150, 220)
    assert marks_of(pictures) == []


def test_each_of_three_marks_at_one_place_is_found(small_mark: Mark) -> None:
    marks = [small_mark, letters("SAMPLE", (10, 10, 10), 0.4, 1.0), letters("photo", (200, 30, 40), 0.5, 1.2)]
    pictures = [
        put(picture, mark, 345 - mark.alpha.shape[1], 258 - mark.alpha.shape[0])
        for number, picture in enumerate(parts(72))
        for mark in [marks[number % 3]]
    ]
    found = marks_of(pictures)
    assert len(found) == 3
    for mark in marks:
        assert max(overlap(one.mark, mark) for one in found) >= 0.85


def test_both_colours_of_a_logo_are_told_though_one_has_far_fewer_pixels() -> None:
    ring, dot = np.zeros((70, 70), np.uint8), np.zeros((70, 70), np.uint8)
    cv2.circle(ring, (35, 35), 29, 255, 9, cv2.LINE_AA)
    cv2.circle(dot, (35, 35), 11, 255, -1, cv2.LINE_AA)
    orange, blue = (240, 120, 20), (30, 70, 220)
    colour = np.where((dot > 0)[:, :, None], np.float32(blue), np.float32(orange))
    logo = Mark("logo", np.maximum(ring, dot).astype(np.float32) / 255 * 0.5, colour)
    (found,) = marks_of([put(picture, logo, 275, 185) for picture in parts(40)])
    assert overlap(found.mark, logo) >= 0.95
    middle = found.mark.alpha.shape[0] // 2
    assert found.mark.alpha[middle, middle] == pytest.approx(0.5, abs=0.05)
    assert found.mark.colour[middle, middle] == pytest.approx(blue, abs=12)
    assert found.mark.colour[middle, 5] == pytest.approx(orange, abs=12)


def test_merged_statistics_are_those_of_all_pictures_and_survive_packing() -> None:
    pictures = parts(10)
    whole, _ = collection(pictures)
    halves = [Statistics(), Statistics()]
    for number, picture in enumerate(pictures):
        halves[number % 2].add(picture, Sample.of(f"{number}.png", None))
    halves[0].merge(Statistics.unpack(halves[1].pack()))
    for frame in whole.sums:
        assert np.allclose(halves[0].sums[frame], whole.sums[frame], atol=1e-4)
        assert np.array_equal(halves[0].counts[frame], whole.counts[frame])
    assert (halves[0].pictures, halves[0].sizes, halves[0].samples) == (10, Counter({(360, 270): 10}), whole.samples)


def test_statistics_do_not_grow_with_the_pictures() -> None:
    statistics, tiny = Statistics(), np.zeros((48, 48, 3), np.uint8)
    for number in range(SAMPLES + 100):
        statistics.add(tiny, Sample.of(f"s3://bucket/{number}.png", None))
    before = len(statistics.pack())
    for number in range(SAMPLES + 100, SAMPLES + 400):
        statistics.add(tiny, Sample.of(f"s3://bucket/{number}.png", None))
    assert len(statistics.samples) == SAMPLES
    assert abs(len(statistics.pack()) - before) < 2000


def test_a_picture_that_is_too_small_is_counted_as_such() -> None:
    statistics = Statistics()
    statistics.add(np.zeros((10, 400, 3), np.uint8), Sample.of("a.png", None))
    assert (statistics.pictures, statistics.failures) == (0, Counter({"too_small": 1}))


def at_random_places(pictures: list[np.ndarray], mark: Mark) -> list[np.ndarray]:
    random, (height, width) = np.random.default_rng(4), mark.alpha.shape
    return [put(one, mark, int(random.integers(4, 350 - width)), int(random.integers(4, 260 - height))) for one in pictures]


def test_a_mark_at_another_place_in_each_picture_is_found_and_looked_for_everywhere(small_mark: Mark) -> None:
    (found,) = marks_of(at_random_places(parts(28), small_mark))
    assert overlap(found.mark, small_mark) >= 0.9
    assert found.mark.strongest == pytest.approx(0.45, abs=0.03)
    assert found.mark.search.zone == (0.0, 0.0, 1.0, 1.0)


def test_a_sticker_at_another_place_in_each_picture_hides_it_and_is_no_mark(small_mark: Mark) -> None:
    opaque = Mark("sticker", (small_mark.alpha > 0.2).astype(np.float32), small_mark.colour)
    assert marks_of(at_random_places(parts(28), opaque)) == []


def test_a_mark_that_is_tiled_with_another_start_in_each_picture_is_found(small_mark: Mark) -> None:
    random, (height, width) = np.random.default_rng(4), small_mark.alpha.shape
    pictures = []
    for picture in parts(28):
        start = (int(random.integers(0, 50)), int(random.integers(0, 40)))
        tiled = picture
        for top in range(start[1], 270 - height, height + 60):
            for left in range(start[0], 360 - width, width + 40):
                tiled = put(tiled, small_mark, left, top)
        pictures.append(tiled)
    (found,) = marks_of(pictures)
    assert overlap(found.mark, small_mark) >= 0.9
    assert found.mark.search.zone == (0.0, 0.0, 1.0, 1.0)


def test_a_red_mark_that_is_as_light_as_the_pictures_is_found_by_its_colour() -> None:
    red = letters("nord.example", (200, 30, 40), 0.35, 0.7)
    height, width = red.alpha.shape
    (found,) = marks_of([put(picture, red, 360 - 15 - width, 270 - 12 - height) for picture in parts(20)])
    assert overlap(found.mark, red) >= 0.9
    assert found.mark.strongest == pytest.approx(0.35, abs=0.03)
