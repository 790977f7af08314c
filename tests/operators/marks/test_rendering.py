"""A mark lies in a picture where its pose says: copied on whole pixels, resampled elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from operators.marks.mark import Mark
from operators.marks.rendering import Pose, rendered
from operators.rows.box import Box

FRAME = Box(0, 0, 400, 200)


def middle(alpha: np.ndarray) -> tuple[float, float]:
    down, across = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
    return float((across * alpha).sum() / alpha.sum()), float((down * alpha).sum() / alpha.sum())


def test_on_whole_pixels_the_mark_is_copied_to_the_bit(white_mark: Mark) -> None:
    height, width = white_mark.alpha.shape
    seen = rendered(white_mark, Pose(30 + (width - 1) / 2, 40 + (height - 1) / 2), FRAME)
    assert np.array_equal(seen.alpha[40 : 40 + height, 30 : 30 + width], white_mark.alpha)
    assert seen.alpha.sum() == white_mark.alpha.sum()


def test_strength_multiplies_alpha_up_to_one(white_mark: Mark) -> None:
    seen = rendered(white_mark, Pose(200.0, 100.0), FRAME, strength=2.0)
    assert seen.alpha.max() == pytest.approx(0.8, abs=0.01)
    assert rendered(white_mark, Pose(200.0, 100.0), FRAME, strength=9.0).alpha.max() == 1


@pytest.mark.parametrize(
    "pose", [Pose(200.25, 100.5), Pose(180.0, 90.0, 1.3), Pose(190.0, 110.0, 0.5), Pose(200.0, 95.0, 0.8, 5.0)]
)
def test_area_and_middle_follow_the_pose(white_mark: Mark, pose: Pose) -> None:
    seen = rendered(white_mark, pose, FRAME)
    assert seen.alpha.sum() == pytest.approx(white_mark.alpha.sum() * pose.scale**2, rel=0.02)
    matrix = pose.matrix(white_mark.alpha.shape[1], white_mark.alpha.shape[0])
    expected = matrix @ [*middle(white_mark.alpha), 1]
    assert middle(seen.alpha) == pytest.approx(tuple(expected), abs=0.15)
    assert seen.colour[seen.alpha > 0.05] == pytest.approx(255, abs=0.1)


def test_a_pose_in_a_resized_picture_covers_the_same_part() -> None:
    pose = Pose(99.5, 49.5, 2.0)
    assert pose.scaled(0.5) == Pose(49.5, 24.5, 1.0)
