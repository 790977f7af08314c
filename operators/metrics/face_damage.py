"""Measure how much of a face an edit would make up.

Skin between the features continues smoothly, so an edit of it can be right. Eyes, noses and mouths
cannot be guessed, and nor can hair or wrinkles: people notice the smallest fault in a face.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from operators.rows.arrays import Selection
from operators.vision.face_detector import Face

FEATURE = 0.15
"""Radius of an eye, the nose or a corner of the mouth, in widths of the face."""


def face_figures(faces: Sequence[Face], edited: Selection, known: Selection) -> dict[str, float]:
    """The figures `on_face` and `face_strokes` of one edit.

    `edited` are the pixels that the edit replaces, `known` those whose ground continues from
    around the edit (`Ground.known`), both height x width. `on_face` is the share of the edit that
    lies on a face, 0..1. `face_strokes` is the thickness of the edit over a face, in widths of
    that face: twice the largest distance to the edit's border, of the pixels that lie near a
    feature or whose ground is not known. It is 0 if there are none. Of several faces the worst
    counts.
    """
    on_any, strokes = np.zeros_like(edited), 0.0
    touched = [face for face in faces if (edited & _oval(face, edited.shape)).any()]
    if touched:
        depth = cv2.distanceTransform(np.pad(edited.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        for face in touched:
            on_face = edited & _oval(face, edited.shape)
            made_up = on_face & (~known | _features(face, edited.shape))
            on_any |= on_face
            strokes = max(strokes, 2 * float(depth[made_up].max(initial=0.0)) / face.width)
    return {"on_face": float(on_any.sum() / max(1, edited.sum())), "face_strokes": strokes}


def _oval(face: Face, shape: tuple[int, ...]) -> Selection:
    """The pixels of a picture within the ellipse that fills a face's box."""
    down, across = np.ogrid[: shape[0], : shape[1]]
    right, below = face.left + face.width / 2, face.top + face.height / 2
    inside: Selection = (2 * (across - right) / face.width) ** 2 + (2 * (down - below) / face.height) ** 2 <= 1
    return inside


def _features(face: Face, shape: tuple[int, ...]) -> Selection:
    """The pixels of a picture near a face's eyes, its nose and the corners of its mouth."""
    down, across = np.ogrid[: shape[0], : shape[1]]
    near = np.zeros(shape, bool)
    for x, y in face.landmarks:
        near |= (across - x) ** 2 + (down - y) ** 2 <= (FEATURE * face.width) ** 2
    return near
