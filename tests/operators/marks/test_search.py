"""A known mark is found wherever it lies, to parts of a pixel, and none is invented."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from operators.marks.mark import Mark, Search
from operators.marks.removal import LEAST_EVIDENCE, evidence
from operators.marks.rendering import Pose, rendered
from operators.marks.search import find_mark
from operators.marks.view import View
from operators.masks.overlay import invert, overlaid
from operators.rows.box import Box
from operators.rows.overlay import Overlay
from tests.operators.marks.conftest import letters


def stamped(picture: np.ndarray, mark: Mark, poses: list[Pose], quality: int | None = None) -> np.ndarray:
    frame = Box(0, 0, picture.shape[1], picture.shape[0])
    alpha = np.max([rendered(mark, pose, frame).alpha for pose in poses], axis=0)
    colour = mark.colour[mark.alpha > 0].mean(axis=0)[None, None]
    seen = np.rint(overlaid(picture, Overlay(alpha, colour))).astype(np.uint8)
    if quality is None:
        return seen
    data = cv2.imencode(".jpg", seen[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])


def placed(mark: Mark, left: int, top: int) -> Pose:
    height, width = mark.alpha.shape
    return Pose(left + (width - 1) / 2, top + (height - 1) / 2)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_mark_on_whole_pixels_is_found_exactly_and_the_picture_comes_back(
    photographs: dict[str, np.ndarray], white_mark: Mark, name: str
) -> None:
    truth = placed(white_mark, 211, 257)
    picture = photographs[name]
    seen = stamped(picture, white_mark, [truth])
    (found,) = find_mark(seen, white_mark)
    assert found.pose == truth
    assert found.strength == pytest.approx(1.0, abs=0.05)
    overlay = rendered(white_mark, found.pose, Box(0, 0, 480, 360))
    estimate, _ = invert(seen, overlay.alpha, overlay.colour)
    assert np.abs(estimate - picture).max() <= 1.0


@pytest.mark.parametrize(
    ("pose", "quality"),
    [(Pose(160.3, 120.8, 0.7), None), (Pose(240.0, 200.0, 1.6, 3.0), None), (Pose(250.5, 90.2, 1.0, -2.0), 85)],
)
def test_a_mark_that_is_scaled_turned_and_moved_is_aligned_to_parts_of_a_pixel(
    photographs: dict[str, np.ndarray], white_mark: Mark, pose: Pose, quality: int | None
) -> None:
    (found,) = find_mark(stamped(photographs["coffee"], white_mark, [pose], quality), white_mark)
    assert (found.pose.x, found.pose.y) == pytest.approx((pose.x, pose.y), abs=0.25)
    assert found.pose.scale == pytest.approx(pose.scale, rel=0.005)
    assert found.pose.turn == pytest.approx(pose.turn, abs=0.2)
    assert found.opacity == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("colour", [(0, 0, 0), (210, 40, 50), (128, 128, 128)])
def test_the_colour_of_the_mark_does_not_matter(photographs: dict[str, np.ndarray], colour: tuple[int, int, int]) -> None:
    mark, picture = letters("Studio Nord", colour, 0.5), photographs["chelsea"]
    seen = stamped(picture, mark, [placed(mark, 100, 40)], 90)
    (found,) = find_mark(seen, mark)
    assert (found.pose.x, found.pose.y) == pytest.approx((placed(mark, 100, 40).x, placed(mark, 100, 40).y), abs=0.5)
    overlay = rendered(mark, found.pose, Box(0, 0, 480, 360), found.strength)
    estimate, _ = invert(seen, overlay.alpha, overlay.colour)
    error = np.abs(estimate - picture)[overlay.alpha > 0.2].mean()
    assert error < 8 and error < np.abs(seen.astype(float) - picture)[overlay.alpha > 0.2].mean() / 2


def test_a_tiled_mark_is_found_at_every_place(photographs: dict[str, np.ndarray]) -> None:
    mark = letters("nord", (255, 255, 255), 0.4, 0.9)
    height, width = mark.alpha.shape
    poses = [placed(mark, left, top) for top in range(10, 330, height + 60) for left in range(5, 400, width + 50)]
    found = find_mark(stamped(photographs["coffee"], mark, poses), mark)
    assert sorted((one.pose.y, one.pose.x) for one in found) == sorted((pose.y, pose.x) for pose in poses)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_no_mark_is_invented(photographs: dict[str, np.ndarray], white_mark: Mark, name: str) -> None:
    assert find_mark(photographs[name], white_mark) == []


def test_a_mark_that_is_nearly_as_large_as_the_picture_is_found(photographs: dict[str, np.ndarray], white_mark: Mark) -> None:
    pose = Pose(238.0, 181.0, 1.9, 2.0)
    (found,) = find_mark(stamped(photographs["rocket"], white_mark, [pose], 90), white_mark)
    assert (found.pose.x, found.pose.y) == pytest.approx((pose.x, pose.y), abs=0.5)
    assert found.pose.scale == pytest.approx(pose.scale, rel=0.01)


def test_the_picture_is_likelier_without_the_mark_only_where_it_lies(
    photographs: dict[str, np.ndarray], white_mark: Mark
) -> None:
    truth = placed(white_mark, 211, 257)
    view = View.of(stamped(photographs["coffee"], white_mark, [truth], 90), white_mark)
    assert evidence(view, truth, 1.0) > 10 * LEAST_EVIDENCE
    assert evidence(view, truth, 0.5) < evidence(view, truth, 1.0)
    for aside in (truth.moved(-4, 0), truth.moved(0, -60), truth.moved(-120, -100)):
        assert evidence(view, aside, 1.0) < 0


def test_other_words_are_not_the_mark(photographs: dict[str, np.ndarray], white_mark: Mark) -> None:
    other = letters("Anna Kohl", (255, 255, 255), 0.5)
    assert find_mark(stamped(photographs["coffee"], other, [placed(other, 150, 200)]), white_mark) == []


def test_copies_of_a_tiled_mark_that_the_border_cuts_are_found(photographs: dict[str, np.ndarray], white_mark: Mark) -> None:
    height, width = white_mark.alpha.shape
    poses = [
        placed(white_mark, left + ((width + 40) // 2 if row % 2 else 0), 20 + row * (height + 50))
        for row in range(4)
        for left in range(-width // 2 - 20, 480, width + 40)
    ]
    seen = stamped(photographs["coffee"], white_mark, poses)
    found = {(round(one.pose.x), round(one.pose.y)) for one in find_mark(seen, white_mark)}
    cut = {(round(pose.x), round(pose.y)) for pose in poses if pose.x < width / 2 - 20}
    assert cut
    assert cut <= found


def test_only_the_zone_is_searched(photographs: dict[str, np.ndarray], white_mark: Mark) -> None:
    seen = stamped(photographs["coffee"], white_mark, [placed(white_mark, 250, 300)])

    def search(zone: tuple[float, float, float, float]) -> int:
        there = Search(zone, scale=(1.0, 1.0))
        return len(find_mark(seen, Mark("m", white_mark.alpha, white_mark.colour, search=there)))

    assert search((0.5, 0.75, 1.0, 1.0)) == 1
    assert search((0.0, 0.0, 1.0, 0.5)) == 0


def test_a_mark_of_another_opacity_than_asked_for_is_not_found(photographs: dict[str, np.ndarray], white_mark: Mark) -> None:
    seen = stamped(photographs["coffee"], white_mark, [placed(white_mark, 250, 300)])
    strong = Mark("m", white_mark.alpha, white_mark.colour, search=Search(opacity=(0.7, 1.0)))
    assert find_mark(seen, strong) == []


def test_a_mark_that_is_turned_further_than_asked_for_is_not_found(
    photographs: dict[str, np.ndarray], white_mark: Mark
) -> None:
    seen = stamped(photographs["coffee"], white_mark, [Pose(240.0, 200.0, 1.0, 3.0)])
    upright = Mark("m", white_mark.alpha, white_mark.colour, search=Search(turn=0.0))
    assert len(find_mark(seen, white_mark)) == 1
    assert find_mark(seen, upright) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (20, 20)])
def test_a_picture_smaller_than_the_mark_holds_none(white_mark: Mark, size: tuple[int, int]) -> None:
    assert find_mark(np.full((*size, 3), 90, np.uint8), white_mark) == []


def test_a_mark_that_only_differs_in_colour_is_proven_by_edges_as_soft_as_a_file_keeps_colours() -> None:
    grain = np.random.default_rng(1).normal(0, 8, (240, 320, 1))
    grey = np.broadcast_to(np.clip(82 + grain, 0, 255), (240, 320, 3)).astype(np.uint8)
    mark, pose = letters("pics", (200, 30, 40), 0.5), Pose(160.0, 120.0, 0.4)
    view = View.of(stamped(grey, mark, [pose], 75), mark)
    proofs = {strength: evidence(view, pose, strength) for strength in (0.25, 0.4, 0.55, 0.7, 1.0)}
    assert proofs[0.55] > 1.5 * LEAST_EVIDENCE
    assert proofs[0.55] == max(proofs.values())
