"""Taking a mark off where it may lie: it is there only if its edges then vanish."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from operators.marks.mark import Mark
from operators.marks.rendering import Pose, rendered
from operators.marks.view import TAU, View, deep, lightness
from operators.masks.overlay import invert
from operators.rows.arrays import Selection
from operators.rows.box import Box
from operators.rows.overlay import Overlay, Plane

MOST_ALPHA = 0.98
"""Alpha above which nothing below a mark is known."""
BLUR = 1.3
"""Standard deviation in pixels of the blur in which a mark's strength is measured."""
MOST_ROUGHENED = 1.1
"""How much rougher the picture may be at the mark's rim after it is taken off."""
LEAST_GONE = 0.5
"""How much of the mark's edges must vanish when it is taken off."""
LEAST_EVIDENCE, LEAST_FAINT_EVIDENCE = 100.0, 250.0
"""Evidence from which a mark is there, and from which a faint one is. Pictures without the mark
seem to have a faint one more often.
"""
FAINT = 0.15
"""Opacity below which a mark is faint."""
TOO_FAINT = 0.5
"""Share of the smallest opacity below which a place is given up before the mark is aligned."""
HALVED = 1.0
"""Standard deviation in pixels of the blur of colours that a file keeps at half the size."""
BESIDE, LEAST_BESIDE = 0.01, 50
"""Alpha below which a pixel is beside the mark, and the number of such pixels that tell edges."""
NARROWEST = 2.0
"""Grey levels that an edge beside a mark is always allowed."""
TRIED = (0.12, 0.2, 0.3, 0.42, 0.6, 0.85)
"""Opacities that are tried where the edges below a mark do not tell its strength."""
AS_GOOD = 1.03
"""How much rougher the picture below may be for the mark to lie on whole pixels."""


@dataclass(frozen=True, eq=False)
class Found:
    """A mark that was found in a picture."""

    mark: Mark
    pose: Pose
    strength: float
    """The factor of the mark's alpha with which it lies there."""
    score: float
    """Correlation of the edges, 0..1."""
    evidence: float
    """How much likelier the picture is without the mark; see `evidence`."""

    @property
    def opacity(self) -> float:
        """The alpha of its strongest pixels."""
        return min(1.0, self.strength * self.mark.strongest)


def taken_off(view: View, pose: Pose, score: float) -> Found | None:
    """The mark's strength at a pose, by taking it off; None if its edges do not vanish.

    With the true strength, the edges of the picture below have nothing to do with the mark's. The
    pose is then moved by parts of a pixel to where the fewest edges are left.
    """
    mark = view.mark
    strength = _strength(view, pose)
    if strength * mark.strongest < TOO_FAINT * mark.search.opacity[0]:
        return None
    pose = _polished(view, pose, strength)
    strength = _strength(view, pose)
    opacity = strength * mark.strongest
    if not mark.search.opacity[0] * 0.9 <= opacity <= max(mark.search.opacity[1] * 1.15, mark.search.opacity[1] + 0.03):
        return None
    before, after = (_left_over(view, pose, value) for value in (0.0, strength))
    gone = 1 - abs(after) / max(abs(before), 1e-6)
    proof = evidence(view, pose, strength)
    if not proven(proof, opacity) and (gone < LEAST_GONE or roughened(view, pose, strength) > MOST_ROUGHENED):
        return None
    return Found(mark, pose, min(strength, 1 / float(mark.alpha.max())), score, proof)


def proven(proof: float, opacity: float) -> bool:
    """Whether evidence is enough by itself for a mark of this opacity."""
    return proof >= (LEAST_EVIDENCE if opacity >= FAINT else LEAST_FAINT_EVIDENCE)


def evidence(view: View, pose: Pose, strength: float) -> float:
    """How much likelier the picture's edges at the mark's rim are without the mark, as a logarithm.

    Edges have heavy tails: their density is taken as that of Cauchy, as wide as the edges beside
    the mark are tall. Of any place in a picture without the mark, the fit of strength and pose
    gains a few dozens at most; a mark that can be seen gives hundreds, and none only where it is
    tiny or the file is coarse. Colours of lossy files are coarser than lightness, which may tell a
    mark by itself.
    """
    box = visible(view, pose)
    overlay = None if box is None else rendered(view.mark, pose, box, strength)
    if box is None or overlay is None or not _steep(overlay.alpha).any():
        return 0.0
    alpha = np.minimum(overlay.alpha, MOST_ALPHA)
    part = box.inside(view.frame)
    colours, luma = view.axes.planes(overlay.colour), lightness(overlay.colour)
    gains = [_gain(view.luma[part], alpha, luma), _gain(view.planes[part], alpha, colours)]
    if view.axes.coloured:
        gains.append(_gain(view.planes[part], deep(cv2.GaussianBlur(alpha, (0, 0), HALVED))[:, :, 0], colours))
    return max(gains)


def _gain(seen: Plane, alpha: Plane, colour: Plane) -> float:
    """How much likelier the edges below a mark are than those that are seen, per plane."""
    rim = _steep(alpha)
    beside = cv2.dilate((alpha > BESIDE).astype(np.uint8), np.ones((5, 5), np.uint8))[:-1, :-1] == 0
    before, after = _gradients(seen), _gradients(invert(seen, alpha, colour)[0])
    usual = np.abs(np.concatenate([edge[beside] for edge in before] if beside.sum() > LEAST_BESIDE else after))
    width = max(NARROWEST, float(np.median(usual)))
    gains = (
        np.log1p((first / width) ** 2) - np.log1p((second / width) ** 2) for first, second in zip(before, after, strict=True)
    )
    # What is below was spread less when it was seen through the mark.
    spread = float(np.log(1 - alpha)[:-1, :-1][rim].sum())
    return float(sum(float(gain[rim].sum()) for gain in gains) / seen.shape[2]) - spread


def visible(view: View, pose: Pose) -> Box | None:
    """The part of the picture that the mark touches; None outside the picture."""
    box = pose.box(view.mark.alpha.shape[1], view.mark.alpha.shape[0], margin=2)
    left, top = max(0, box.x), max(0, box.y)
    right, bottom = min(view.frame.width, box.x + box.width), min(view.frame.height, box.y + box.height)
    return Box(left, top, right - left, bottom - top) if right - left > 3 and bottom - top > 3 else None


def _gradients(plane: Plane) -> tuple[Plane, Plane]:
    return plane[:-1, 1:] - plane[:-1, :-1], plane[1:, :-1] - plane[:-1, :-1]


def _below(view: View, pose: Pose, strength: float, box: Box) -> tuple[Plane, Overlay]:
    """What is below a mark along the axes, and the mark; both on `box`."""
    overlay = rendered(view.mark, pose, box, strength)
    image, colour = view.planes[box.inside(view.frame)], view.axes.planes(overlay.colour)
    return invert(image, np.minimum(overlay.alpha, MOST_ALPHA), colour)[0], overlay


def _left_over(view: View, pose: Pose, strength: float) -> float:
    """How much the edges below the mark still follow those of the mark, -1..1.

    It falls as the strength grows, and is 0 at the true one. The edges are blurred, because JPEG
    keeps colours at half the size.
    """
    box = visible(view, pose)
    if box is None:
        return 0.0
    below, overlay = _below(view, pose, max(strength, 1e-6), box)
    below = deep(cv2.GaussianBlur(below, (0, 0), BLUR))
    alpha = rendered(view.mark, pose, box, 1.0).alpha[:, :, None]
    drawn = alpha * (view.axes.planes(overlay.colour) - deep(cv2.blur(below, (15, 15))))
    drawn = deep(cv2.GaussianBlur(drawn, (0, 0), BLUR))
    result, total = 0.0, 1e-6
    for edge, expected in zip(_gradients(below), _gradients(drawn), strict=True):
        result += float((edge / (np.abs(edge) + TAU) * expected).sum())
        total += float(np.abs(expected).sum())
    return result / total


def _strength(view: View, pose: Pose) -> float:
    """The strength at which nothing of the mark is left, or the one with the largest evidence where
    the mark's edges drown in those of the picture.
    """
    exact = _zero(view, pose)
    if exact is not None and evidence(view, pose, exact) >= LEAST_EVIDENCE:
        return exact
    tried = [(evidence(view, pose, strength), strength) for strength in (np.array(TRIED) / view.mark.strongest).tolist()]
    proof, likeliest = max(tried)
    # Where nothing is proven, edges still tell at which strength they follow the mark no longer.
    return likeliest if exact is None or proven(proof, likeliest * view.mark.strongest) else exact


def _zero(view: View, pose: Pose) -> float | None:
    """The strength at which the edges below do not follow those of the mark; None if none do."""
    mark = view.mark
    largest = 0.995 / float(mark.alpha.max())
    low, high = 0.02 / mark.strongest, largest
    if _left_over(view, pose, low) <= 0.02:
        return None
    if _left_over(view, pose, high) > 0:
        return high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if _left_over(view, pose, middle) > 0 else (low, middle)
    return (low + high) / 2


def _roughness(view: View, pose: Pose, strength: float, rim: Selection, box: Box) -> float:
    """The mean height of the edges below a mark at the mark's rim, tall ones cut off."""
    below, _ = _below(view, pose, strength, box)
    return sum(float(np.minimum(np.abs(edge), 4 * TAU)[rim].mean()) for edge in _gradients(below))


def _rim(view: View, pose: Pose, box: Box) -> Selection:
    """Where the mark's alpha has edges."""
    return _steep(rendered(view.mark, pose, box).alpha)


def _steep(alpha: Plane) -> Selection:
    """Where an alpha has edges."""
    across, down = _gradients(alpha)
    edge = np.hypot(across, down)
    return edge > 0.2 * float(np.percentile(edge[edge > 0], 95)) if (edge > 0).any() else edge > 0


def roughened(view: View, pose: Pose, strength: float) -> float:
    """How much rougher the picture is at the mark's rim after it is taken off.

    Taking off another mark than the one that is there draws new edges.
    """
    box = visible(view, pose)
    rim = None if box is None else _rim(view, pose, box)
    if box is None or rim is None or not rim.any():
        return math.inf
    before, after = (_roughness(view, pose, value, rim, box) for value in (1e-6, strength))
    return after / max(before, 1e-6)


def _polished(view: View, pose: Pose, strength: float) -> Pose:
    """The pose at which the fewest edges are left below the mark."""
    mark = view.mark
    box = visible(view, pose)
    if box is None:
        return pose
    rim = _rim(view, pose, box)
    if not rim.any():
        return pose
    side = math.sqrt(mark.alpha.size) * pose.scale
    best = _roughness(view, pose, strength, rim, box)
    for whole in whole_poses(mark, pose):
        value = _roughness(view, whole, strength, rim, box)
        if value < best * AS_GOOD:
            return whole
    steps = {"x": 0.8, "y": 0.8, "scale": 1.2 / side * pose.scale, "turn": math.degrees(1.2 / side)}
    for _ in range(6):
        for name, step in steps.items():
            for tried in (replace(pose, **{name: getattr(pose, name) + sign * step}) for sign in (-1, 1)):
                value = _roughness(view, tried, strength, rim, box)
                if value < best:
                    best, pose = value, tried
        steps = {name: step / 2 for name, step in steps.items()}
    return pose


def whole_poses(mark: Mark, pose: Pose) -> Iterable[Pose]:
    """Poses on whole pixels without scaling or turn, if the pose is near one: the usual case."""
    height, width = mark.alpha.shape
    if abs(pose.scale - 1) * max(height, width) > 2 or abs(math.radians(pose.turn)) * max(height, width) > 4:
        return []
    half_x, half_y = (width - 1) / 2, (height - 1) / 2
    left, top = round(pose.x - half_x), round(pose.y - half_y)
    near = sorted(itertools.product((0, -1, 1), repeat=2), key=lambda step: abs(step[0]) + abs(step[1]))
    return [Pose(left + across + half_x, top + down + half_y) for across, down in near]
