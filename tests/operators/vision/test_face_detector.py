"""The face detector finds faces, and reads their boxes and landmarks from the network's maps."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from skimage import data

from operators.models.in_process import file_sha256
from operators.vision.face_detector import PATH, SHA256, Face, decoded, face_detector, face_detector_identity


def maps(*peaks: tuple[int, int, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Maps of 20 x 30 cells with peaks (row, column, score), all of faces 40 high and 20 wide."""
    heat = np.zeros((20, 30), np.float32)
    size = np.full((2, 20, 30), math.log(10), np.float32)
    size[1] = math.log(5)
    offset = np.zeros((2, 20, 30), np.float32)
    landmarks = np.full((10, 20, 30), 0.5, np.float32)
    for row, column, score in peaks:
        heat[row, column] = score
    return heat, size, offset, landmarks


def test_the_face_of_a_photograph_is_found_with_its_eyes_above_its_mouth() -> None:
    (face,) = face_detector().faces(data.astronaut())
    assert face.score > 0.8
    assert (face.left, face.top) == (pytest.approx(178, abs=8), pytest.approx(65, abs=10))
    assert (face.width, face.height) == (pytest.approx(92, abs=10), pytest.approx(120, abs=12))
    (left_eye, right_eye, nose, *mouth) = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(y for _, y in mouth)
    assert all(face.left < x < face.left + face.width for x, _ in face.landmarks)


def test_a_face_is_found_under_the_letters_of_a_text() -> None:
    picture = np.ascontiguousarray(data.astronaut())
    cv2.putText(picture, "PROOF", (90, 150), cv2.FONT_HERSHEY_SIMPLEX, 2.6, (255, 255, 255), 14)
    assert len(face_detector().faces(picture)) == 1


@pytest.mark.parametrize("name", ["coffee", "rocket", "page", "brick"])
def test_there_is_no_face_where_nobody_is(name: str) -> None:
    picture = getattr(data, name)()
    assert face_detector().faces(picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)) == []


def test_a_larger_picture_has_its_faces_in_its_own_pixels() -> None:
    (small,) = face_detector().faces(data.astronaut())
    (large,) = face_detector().faces(cv2.resize(data.astronaut(), (1536, 1536), interpolation=cv2.INTER_CUBIC))
    assert large.left == pytest.approx(3 * small.left, abs=12)
    assert large.width == pytest.approx(3 * small.width, abs=12)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1)])
def test_a_picture_of_any_shape_can_be_searched(size: tuple[int, int]) -> None:
    assert face_detector().faces(np.full((*size, 3), 90, np.uint8)) == []


def test_a_peak_has_the_box_and_the_landmarks_of_its_cell() -> None:
    heat, size, offset, landmarks = maps((8, 12, 0.9))
    offset[:, 8, 12] = (0.25, -0.5)
    landmarks[:, 8, 12] = (0.25, 0.1, 0.25, 0.9, 0.5, 0.5, 0.75, 0.2, 0.75, 0.8)
    (face,) = decoded(heat, size, offset, landmarks, (2.0, 3.0))
    assert (face.left, face.top) == (pytest.approx(2 * (12 * 4 - 10)), pytest.approx(3 * (8.75 * 4 - 20)))
    assert (face.width, face.height, face.score) == (pytest.approx(40), pytest.approx(120), pytest.approx(0.9))
    eyes = [(76 + 0.1 * 40, 45 + 0.25 * 120), (76 + 0.9 * 40, 45 + 0.25 * 120)]
    assert [*face.landmarks[0], *face.landmarks[1]] == pytest.approx([*eyes[0], *eyes[1]], rel=1e-5)


def test_weak_peaks_and_neighbours_of_a_peak_are_no_faces() -> None:
    assert decoded(*maps((8, 12, 0.3)), (1.0, 1.0)) == []
    assert len(decoded(*maps((8, 12, 0.9), (8, 13, 0.8)), (1.0, 1.0))) == 1


def test_of_two_boxes_around_one_face_the_surer_one_stays() -> None:
    one = decoded(*maps((8, 12, 0.6), (10, 12, 0.9)), (1.0, 1.0))
    assert [face.score for face in one] == [pytest.approx(0.9)]
    two = decoded(*maps((8, 5, 0.6), (8, 25, 0.9)), (1.0, 1.0))
    assert [face.score for face in two] == [pytest.approx(0.9), pytest.approx(0.6)]


def test_a_face_seen_from_a_crop_has_moved_by_the_crop_s_corner() -> None:
    face = Face(100.0, 60.0, 40.0, 50.0, 0.9, ((110.0, 80.0),)).seen_from(90, 50)
    assert (face.left, face.top, face.width, face.height, face.landmarks) == (10.0, 10.0, 40.0, 50.0, ((20.0, 30.0),))


def test_the_shipped_weights_are_the_recorded_ones() -> None:
    assert file_sha256(PATH) == SHA256
    assert face_detector_identity() == {"alias": "centerface", "licence": "MIT", "sha256": SHA256}
