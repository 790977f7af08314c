"""The face detector: where the faces are, and where their eyes, nose and mouth are.

Model: CenterFace (MIT; Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as
Point", 2019), shipped in `operators/models/weights/faces` with a model card. A face is a peak in
a map of centres; its size and its landmarks are read at the peak.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from operators.models.in_process import load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.records import ModelRecord
from operators.rows.timing import timed

PATH = Path(__file__).parents[1] / "models" / "weights" / "faces" / "centerface.onnx"
SHA256 = "051e7b36afaa12c8f0309d96b809e4b990d97fb8c51a11ae380136d161410c32"
LONGEST = 480
"""Longer side in pixels at which a picture is looked at; smaller pictures are not enlarged."""
MULTIPLE = 32
"""The network halves its input five times, so sides are padded to this multiple."""
STRIDE = 4
"""Pixels of the input per cell of the maps."""
LEAST_SCORE = 0.35
"""Probability from which a peak is a face, as in the authors' own program."""
SAME_FACE = 0.3
"""Shared area, divided by the area of both boxes, above which the weaker of two faces is
dropped.
"""
Point = tuple[float, float]
Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Face:
    """One face, in pixels of the picture."""

    left: float
    top: float
    width: float
    height: float
    score: float
    """Probability, LEAST_SCORE..1."""
    landmarks: tuple[Point, ...]
    """The eyes, the tip of the nose and the corners of the mouth as (x, y)."""

    def seen_from(self, x: float, y: float) -> Face:
        """The face in the pixels of a crop that starts at (x, y)."""
        landmarks = tuple((right - x, down - y) for right, down in self.landmarks)
        return Face(self.left - x, self.top - y, self.width, self.height, self.score, landmarks)

    def overlap(self, other: Face) -> float:
        """The area that two faces' boxes share, divided by the area of both together, 0..1."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        shared = max(0.0, width) * max(0.0, height)
        return shared / (self.width * self.height + other.width * other.height - shared)


class FaceDetector:
    """CenterFace on one computing thread, so the same pixels always give the same faces."""

    def __init__(self, path: Path) -> None:
        self._session = onnx_session(path)

    def faces(self, rgb: Pixels) -> list[Face]:
        """The faces in a picture (uint8 height x width x 3), the surest first.

        Faces that are smaller than about 10 pixels once the picture is reduced to LONGEST are
        missed.
        """
        factor = min(1.0, LONGEST / max(rgb.shape[:2]))
        height, width = (max(1, round(side * factor)) for side in rgb.shape[:2])
        small = rgb if factor == 1 else cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        padded = cv2.copyMakeBorder(small, 0, -height % MULTIPLE, 0, -width % MULTIPLE, cv2.BORDER_REPLICATE)
        values = np.ascontiguousarray(padded.astype(np.float32).transpose(2, 0, 1))[None]
        with timed("model"):
            heat, size, offset, landmarks = self._session.run(None, {"pixels": values})
        scale = (rgb.shape[1] / width, rgb.shape[0] / height)
        return decoded(heat[0, 0], size[0], offset[0], landmarks[0], scale)


def decoded(heat: Map, size: Map, offset: Map, landmarks: Map, scale: Point) -> list[Face]:
    """The faces that the network's maps describe, the surest first.

    `heat` is rows x columns. `size` and `offset` have the vertical value first and then the
    horizontal one, `landmarks` five such pairs. `scale` is the pixels of the picture, horizontal
    and vertical, for each pixel of the input.
    """
    peaks = (heat >= LEAST_SCORE) & (heat == cv2.dilate(heat, np.ones((3, 3), np.uint8)))
    across, down = scale
    found = []
    for row, column in zip(*np.nonzero(peaks), strict=True):
        height, width = (float(np.exp(value)) * STRIDE for value in size[:, row, column])
        top = (float(row + offset[0, row, column]) + 0.5) * STRIDE - height / 2
        left = (float(column + offset[1, row, column]) + 0.5) * STRIDE - width / 2
        pairs = landmarks[:, row, column].reshape(-1, 2)
        points = tuple(((left + float(x) * width) * across, (top + float(y) * height) * down) for y, x in pairs)
        score = float(heat[row, column])
        found.append(Face(left * across, top * down, width * across, height * down, score, points))
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(face.overlap(other) <= SAME_FACE for other in kept):
            kept.append(face)
    return kept


def face_detector() -> FaceDetector:
    """The process's face detector."""
    return load_once("centerface", SHA256, "cpu", lambda: FaceDetector(PATH))


def face_detector_identity() -> ModelRecord:
    """What run.json records of the detector."""
    return {"alias": "centerface", "licence": "MIT", "sha256": SHA256}
