"""Finding a known mark in a picture: coarse to fine, by the edges that it draws into the picture.

At the rim of a mark the picture jumps by alpha (C - J). Of these jumps only the direction counts
fully and their height little, so that the strong edges of the picture itself do not drown those of
a faint mark. The normalised correlation of the two fields of directions is the score of a place.
Reduced copies of the picture are searched for the mark at all its sizes. The best places are then
followed up to the full size, where the mark is aligned to parts of a pixel. In the end the mark is
taken off there: the place counts only if its edges then vanish from the picture.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from operators.marks.grid import grid_of
from operators.marks.mark import LEAST_ALPHA, Mark
from operators.marks.rendering import Pose, rendered
from operators.masks.overlay import invert
from operators.rows.arrays import LUMA_WEIGHTS, Pixels, Selection
from operators.rows.box import Box
from operators.rows.overlay import Overlay, Plane

COARSE = 26.0
"""Root of a mark's area in pixels where it is first looked for."""
LONGEST = 96
"""Longer side in pixels of a mark where it is first looked for, at most."""
SHORTEST = 7
"""Shorter side in pixels of a mark where it is first looked for, at least."""
STEP = 1.06
"""Ratio of neighbouring sizes of the first search."""
OCTAVE = math.sqrt(2)
"""Ratio of neighbouring reduced copies of the picture."""
TAU = 6.0
"""Grey levels per pixel from which an edge counts fully."""
PER_OCTAVE = 3
"""Places of similar size that are followed up, at most; small marks fit by chance more often."""
CANDIDATES = 16
"""Places that are followed up, at most."""
PER_MAP = 2
"""Places that one size of the mark may name."""
LEAST_FIRST = 4.5
"""Score of a place in standard deviations of all places' scores, from which it is followed up."""
FINEST = 360.0
"""Root of a mark's area in pixels above which it is aligned on a reduced copy."""
SECOND_AXIS = 0.35
"""Size of a mark's second colour axis, as a share of the first, from which it is used."""
MOST_ALPHA = 0.98
"""Alpha above which nothing below a mark is known."""
BLUR = 1.3
"""Standard deviation in pixels of the blur in which a mark's strength is measured."""
MOSTLY_BEYOND = 0.85
"""Share of the picture that lies on one side of the mark's colour, from which it has a side."""
SLACK = 0.03
"""How far beyond the smallest and the largest size a mark may be, as a share."""
MOST_TURN = 6.0
"""Degrees by which a mark may be turned."""
LEAST_SCORE = 0.22
"""Correlation of directions at full size, below which a place is not a mark."""
MOST_ROUGHENED = 1.1
"""How much rougher the picture may be at the mark's rim after it is taken off."""
LEAST_GONE = 0.5
"""How much of the mark's edges must vanish when it is taken off."""
LEAST_SURE = 9.5
"""Correlation times the root of the number of the mark's edges, from which it is no accident."""
ALIKE = 0.75
"""Correlation of a place that looks like the mark itself."""
LEAST_ALIKE = 7.0
"""The bound in place of LEAST_SURE for such a place."""
AS_GOOD = 1.03
"""How much rougher the picture below may be for the mark to lie on whole pixels."""
LEAST_TILES = 4
"""Copies of a mark from which they tell a grid."""
MOST_PLACES = 400
"""Copies of a tiled mark in one picture, at most."""


@dataclass(frozen=True, eq=False)
class Found:
    """A mark that was found in a picture."""

    mark: Mark
    pose: Pose
    strength: float
    """The factor of the mark's alpha with which it lies there."""
    score: float
    """Correlation of the edges, 0..1."""

    @property
    def opacity(self) -> float:
        """The alpha of its strongest pixels."""
        return min(1.0, self.strength * self.mark.strongest)


@dataclass(frozen=True, eq=False)
class Axes:
    """The colour axes, one or two, on which a mark is seen before a ground."""

    weights: Plane
    """Axes x 3."""
    ground: Plane
    """The middle colour of the picture, 3 values."""
    sided: bool
    """Whether the mark's edges have a side: it is not lighter than one part of the picture and
    darker than another.
    """

    @staticmethod
    def of(rgb: Pixels, mark: Mark) -> Axes:
        """The axes on which a mark differs most from a picture."""
        some = rgb[:: max(1, rgb.shape[0] // 64), :: max(1, rgb.shape[1] // 64)].reshape(-1, 3).astype(np.float32)
        ground = np.median(some, axis=0).astype(np.float32)
        difference = (mark.colour - ground)[mark.alpha > LEAST_ALPHA] * mark.alpha[mark.alpha > LEAST_ALPHA][:, None]
        _, sizes, rows = np.linalg.svd(difference[:: max(1, len(difference) // 4096)], full_matrices=False)
        weights = (rows / np.abs(rows).sum(axis=1, keepdims=True)).astype(np.float32)
        if sizes[1] > SECOND_AXIS * sizes[0]:
            return Axes(weights[:2], ground, True)
        colour = float((difference @ weights[0]).sum() / mark.alpha.sum() + ground @ weights[0])
        below = float((some @ weights[0] < colour).mean())
        if MOSTLY_BEYOND > below > 1 - MOSTLY_BEYOND:
            return Axes(np.array([LUMA_WEIGHTS], np.float32), ground, False)
        return Axes(weights[:1], ground, True)

    def planes(self, rgb: Pixels | Plane) -> Plane:
        """The values of a picture along the axes, float32 height x width x axes."""
        return _deep(cv2.transform(rgb.astype(np.float32), self.weights))

    def drawn(self, overlay: Overlay) -> Plane:
        """What a mark adds to the ground, along the axes."""
        if not self.sided:
            alpha: Plane = overlay.alpha[:, :, None] * np.float32(255)
            return alpha
        return self.planes(overlay.alpha[:, :, None] * (overlay.colour - self.ground))

    def directions(self, planes: Plane, tau: float = TAU) -> Plane:
        """The directions of edges, height x width x 2 for each axis, shorter for faint ones.

        Without a side, opposite directions are the same.
        """
        across = _deep(cv2.Sobel(planes, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 4))
        down = _deep(cv2.Sobel(planes, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 4))
        length = np.sqrt((across**2 + down**2).sum(axis=2, keepdims=True))
        if not self.sided:
            across, down = (across**2 - down**2) / (length + 1e-3), 2 * across * down / (length + 1e-3)
        directions: Plane = np.concatenate([across, down], axis=2) / (length + tau)
        return directions


def _deep(planes: Plane) -> Plane:
    """Planes as height x width x axes; OpenCV drops the last axis if it is the only one."""
    return planes[:, :, None] if planes.ndim == 2 else planes


@dataclass(frozen=True, eq=False)
class View:
    """A picture, or a part of it, as it is searched for a mark."""

    mark: Mark
    axes: Axes
    planes: Plane
    """The part along the axes."""
    width: int
    """The width of the whole picture."""

    @staticmethod
    def of(rgb: Pixels, mark: Mark, width: int | None = None) -> View:
        """The picture along the axes on which the mark differs most from it."""
        axes = Axes.of(rgb, mark)
        return View(mark, axes, axes.planes(rgb), width or rgb.shape[1])

    @property
    def frame(self) -> Box:
        """The whole part."""
        return Box(0, 0, self.planes.shape[1], self.planes.shape[0])


def find_mark(rgb: Pixels, mark: Mark) -> list[Found]:
    """Every place of a mark in a picture (uint8 sRGB, height x width x 3), the surest first.

    A mark lies there with one size and one turn, on its own or many times.
    """
    height, width = rgb.shape[:2]
    least, most = mark.search.scales(mark.alpha.shape[1], width)
    zone = _zone(mark, width, height)
    view = View.of(np.ascontiguousarray(rgb[zone.inside(Box(0, 0, width, height))]), mark, width)
    found = (_settled(view, pose) for pose in _first_places(view, least, most))
    sure = sorted((one for one in found if one is not None), key=lambda one: -one.score)
    if not sure:
        return []
    places = _separate([sure[0], *_copies(view, sure[0])])
    places += _cut_copies(view, places)
    return [replace(one, pose=one.pose.moved(zone.x, zone.y)) for one in places[:MOST_PLACES]]


def _zone(mark: Mark, width: int, height: int) -> Box:
    """The part of the picture that is looked at, grown so that the mark's surroundings show."""
    left, top, right, bottom = mark.search.zone
    x, y = math.floor(left * width), math.floor(top * height)
    box = Box(x, y, max(1, math.ceil(right * width) - x), max(1, math.ceil(bottom * height) - y))
    return box.grown(16, width, height)


def _first_places(view: View, least: float, most: float) -> list[Pose]:
    """The most likely places of the mark, on reduced copies of the picture."""
    plane, mark = view.planes, view.mark
    area, (height, width) = math.sqrt(mark.alpha.size), mark.alpha.shape
    side = min(COARSE, LONGEST / max(mark.alpha.shape) * area)
    side = max(side, SHORTEST / min(mark.alpha.shape) * area)
    places: list[tuple[float, Pose]] = []
    most = min(most, plane.shape[0] * 1.3 / height, plane.shape[1] * 1.3 / width)
    if most < least:
        return []
    count = max(1, math.ceil(math.log(most / least) / math.log(STEP)) + 1)
    sizes = np.geomspace(least, most, count) if most > least else [least]
    for _, group in itertools.groupby(sizes, lambda size: math.floor(math.log(size / sizes[0]) / math.log(OCTAVE) + 1e-9)):
        some = list(group)
        factor = min(1.0, side / (area * some[0]))
        small = _resized(plane, factor)
        if min(small.shape[:2]) < 4:
            continue
        seen = view.axes.directions(_deep(cv2.GaussianBlur(small, (3, 3), 0)))
        for size in some:
            places += _peaks(seen, view, size, factor)
    places.sort(key=lambda place: -place[0])
    octaves: Counter[int] = Counter()
    chosen: list[Pose] = []
    for value, pose in places:
        reach = 0.15 * pose.scale * area
        near = any(
            math.hypot(one.x - pose.x, one.y - pose.y) < reach and abs(one.scale / pose.scale - 1) < 0.2 for one in chosen
        )
        octave = round(2 * math.log2(pose.scale))
        if value >= LEAST_FIRST and not near and octaves[octave] < PER_OCTAVE:
            chosen.append(pose)
            octaves[octave] += 1
        if len(chosen) == CANDIDATES:
            break
    return chosen


def _resized(plane: Plane, factor: float) -> Plane:
    if factor >= 1:
        return plane
    size = (max(1, round(plane.shape[1] * factor)), max(1, round(plane.shape[0] * factor)))
    return _deep(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _template(view: View, size: float, turn: float, blurred: bool) -> tuple[Plane, Box]:
    """The edges that a mark of this size draws, and its box around its middle."""
    mark, axes = view.mark, view.axes
    box = Pose(0.0, 0.0, size, turn).box(mark.alpha.shape[1], mark.alpha.shape[0])
    drawn = axes.drawn(rendered(mark, Pose(0.0, 0.0, size, turn), box))
    if blurred:
        drawn = _deep(cv2.GaussianBlur(drawn, (3, 3), 0))
    return axes.directions(drawn, tau=max(0.25 * float(np.abs(drawn).max()), 1e-3)), box


def _peaks(seen: Plane, view: View, size: float, factor: float) -> Iterable[tuple[float, Pose]]:
    """The best places of a mark of one size in the edges of a reduced copy, with their scores."""
    template, box = _template(view, size * factor, 0.0, blurred=True)
    # A mark may be cut by the border, and be as large as the picture.
    across, down = box.width // 3, box.height // 3
    padded = cv2.copyMakeBorder(seen, down, down, across, across, cv2.BORDER_CONSTANT, value=0)
    if padded.shape[0] < box.height or padded.shape[1] < box.width:
        return
    scores = _correlation(padded, template)
    deviation = _deviation(scores)
    reach = max(2, round(0.2 * min(box.width, box.height)))
    for _ in range(PER_MAP):
        _, value, _, (x, y) = cv2.minMaxLoc(scores)
        yield value / deviation, Pose(x - across - box.x, y - down - box.y, size * factor).scaled(1 / factor)
        scores[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = -1


def _deviation(scores: Plane) -> float:
    """The standard deviation of the scores of places without the mark.

    A large mark raises the scores of much of the picture, so the middle ones say it.
    """
    return max(1.4826 * float(np.median(np.abs(scores - np.median(scores)))), 1e-3)


def _correlation(seen: Plane, template: Plane) -> Plane:
    """The normalised correlation of a template with every place of a larger field, -1..1."""
    result = cv2.matchTemplate(seen, template, cv2.TM_CCORR)
    energy = cv2.boxFilter((seen**2).sum(axis=2), cv2.CV_32F, template.shape[1::-1], anchor=(0, 0), normalize=False)
    energy = energy[: result.shape[0], : result.shape[1]]
    least = 0.02 * template.shape[0] * template.shape[1]
    scores: Plane = result / np.sqrt(np.maximum(energy, least) * float((template**2).sum()) + 1e-6)
    return scores


def _settled(view: View, pose: Pose) -> Found | None:
    """The mark aligned at full size and taken off; None if it is not there."""
    plane, mark = view.planes, view.mark
    area = math.sqrt(mark.alpha.size)
    start = min(1.0, 1.6 * COARSE / (area * pose.scale))
    finest = min(1.0, FINEST / (area * pose.scale))
    factors = [start]
    while factors[-1] < finest:
        factors.append(min(finest, factors[-1] * 1.8))
    score, reach, spread, turn = 0.0, 3, STEP - 1, 2.0
    for number, factor in enumerate(factors):
        small = _resized(plane, factor)
        for _ in range(2 if number == 0 else 1):
            pose, score = _aligned(small, view, pose, factor, reach, spread, turn)
            spread, turn = spread / 2, turn / 2
        if score < LEAST_SCORE / 2:
            return None
    for _ in range(2):
        pose, score = _aligned(_resized(plane, factors[-1]), view, pose, factors[-1], 2, spread, turn)
        spread, turn = spread / 2, turn / 2
    smallest, largest = mark.search.scales(mark.alpha.shape[1], view.width)
    if not smallest * (1 - SLACK) <= pose.scale <= largest * (1 + SLACK) or abs(pose.turn) > MOST_TURN:
        return None
    if score < LEAST_SCORE or not is_sure(view, pose, score):
        return None
    return taken_off(view, pose, score)


def _aligned(small: Plane, view: View, pose: Pose, factor: float, reach: int, spread: float, turn: float) -> tuple[Pose, float]:
    """The best of some sizes and turns around a pose, moved by up to `reach` pixels."""
    best, best_score = pose, -1.0
    for size, angle in itertools.product((-spread, 0.0, spread), (-turn, 0.0, turn)):
        tried = replace(pose, scale=pose.scale * (1 + size), turn=pose.turn + angle).scaled(factor)
        moved, score = _best_shift(small, view, tried, reach)
        if score > best_score:
            best, best_score = moved.scaled(1 / factor), score
    return best, best_score


def _window(plane: Plane, box: Box, reach: int) -> Plane:
    """The plane on `box` grown by `reach`, with its border's values outside."""
    height, width = plane.shape[:2]
    rows = np.clip(np.arange(box.y - reach, box.y + box.height + reach), 0, height - 1)
    columns = np.clip(np.arange(box.x - reach, box.x + box.width + reach), 0, width - 1)
    return plane[rows[:, None], columns]


def _best_shift(small: Plane, view: View, pose: Pose, reach: int) -> tuple[Pose, float]:
    """The pose moved to the best place within `reach` pixels, to parts of a pixel."""
    middle_x, middle_y = round(pose.x), round(pose.y)
    template, box = _template(view, pose.scale, pose.turn, blurred=False)
    place = Box(box.x + middle_x, box.y + middle_y, box.width, box.height)
    seen = view.axes.directions(_window(small, place, reach))
    scores = _correlation(seen, template)
    _, value, _, (x, y) = cv2.minMaxLoc(scores)
    across, down = _parabola(scores[y], x), _parabola(scores[:, x], y)
    return replace(pose, x=middle_x + across - reach, y=middle_y + down - reach), float(value)


def _parabola(values: Plane, place: int) -> float:
    """The maximum near `place` of a parabola through three values."""
    if not 0 < place < len(values) - 1:
        return float(place)
    before, here, after = (float(value) for value in values[place - 1 : place + 2])
    bend = before - 2 * here + after
    return place if bend >= 0 else place + 0.5 * (before - after) / bend


def is_sure(view: View, pose: Pose, score: float) -> bool:
    """Whether a correlation is no accident for a mark with so many edges.

    Accidental ones grow as the mark has fewer edges: on photographs, the best of all places of a
    picture comes to 6 to 9 over the root of their number.
    """
    template, _ = _template(view, pose.scale, pose.turn, blurred=False)
    product = score * math.sqrt(float((template**2).sum()))
    return product >= LEAST_SURE or (score >= ALIKE and product >= LEAST_ALIKE)


def taken_off(view: View, pose: Pose, score: float) -> Found | None:
    """The mark's strength at a pose, by taking it off; None if its edges do not vanish.

    With the true strength, the edges of the picture below have nothing to do with the mark's. The
    pose is then moved by parts of a pixel to where the fewest edges are left.
    """
    mark = view.mark
    strength = _strength(view, pose)
    if strength is None:
        return None
    pose = _polished(view, pose, strength)
    strength = _strength(view, pose) or strength
    opacity = strength * mark.strongest
    if not mark.search.opacity[0] * 0.9 <= opacity <= max(mark.search.opacity[1] * 1.15, mark.search.opacity[1] + 0.03):
        return None
    before, after = (_left_over(view, pose, value) for value in (0.0, strength))
    gone = 1 - abs(after) / max(abs(before), 1e-6)
    if gone < LEAST_GONE or _roughened(view, pose, strength) > MOST_ROUGHENED:
        return None
    return Found(mark, pose, min(strength, 1 / float(mark.alpha.max())), score)


def _visible(view: View, pose: Pose) -> Box | None:
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
    box = _visible(view, pose)
    if box is None:
        return 0.0
    below, overlay = _below(view, pose, max(strength, 1e-6), box)
    below = _deep(cv2.GaussianBlur(below, (0, 0), BLUR))
    alpha = rendered(view.mark, pose, box, 1.0).alpha[:, :, None]
    drawn = alpha * (view.axes.planes(overlay.colour) - _deep(cv2.blur(below, (15, 15))))
    drawn = _deep(cv2.GaussianBlur(drawn, (0, 0), BLUR))
    result, total = 0.0, 1e-6
    for edge, expected in zip(_gradients(below), _gradients(drawn), strict=True):
        result += float((edge / (np.abs(edge) + TAU) * expected).sum())
        total += float(np.abs(expected).sum())
    return result / total


def _strength(view: View, pose: Pose) -> float | None:
    """The strength at which nothing of the mark is left; None if the mark is not there."""
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
    across, down = _gradients(rendered(view.mark, pose, box).alpha)
    edge = np.hypot(across, down)
    return edge > 0.2 * float(np.percentile(edge[edge > 0], 95)) if (edge > 0).any() else edge > 0


def _roughened(view: View, pose: Pose, strength: float) -> float:
    """How much rougher the picture is at the mark's rim after it is taken off.

    Taking off another mark than the one that is there draws new edges.
    """
    box = _visible(view, pose)
    rim = None if box is None else _rim(view, pose, box)
    if box is None or rim is None or not rim.any():
        return math.inf
    before, after = (_roughness(view, pose, value, rim, box) for value in (1e-6, strength))
    return after / max(before, 1e-6)


def _polished(view: View, pose: Pose, strength: float) -> Pose:
    """The pose at which the fewest edges are left below the mark."""
    mark = view.mark
    box = _visible(view, pose)
    if box is None:
        return pose
    rim = _rim(view, pose, box)
    if not rim.any():
        return pose
    side = math.sqrt(mark.alpha.size) * pose.scale
    best = _roughness(view, pose, strength, rim, box)
    for whole in _whole_poses(mark, pose):
        value = _roughness(view, whole, strength, rim, box)
        if value < best * AS_GOOD:
            return whole
    steps = {"x": 0.4, "y": 0.4, "scale": 0.6 / side * pose.scale, "turn": math.degrees(0.6 / side)}
    for _ in range(5):
        for name, step in steps.items():
            for tried in (replace(pose, **{name: getattr(pose, name) + sign * step}) for sign in (-1, 1)):
                value = _roughness(view, tried, strength, rim, box)
                if value < best:
                    best, pose = value, tried
        steps = {name: step / 2 for name, step in steps.items()}
    return pose


def _whole_poses(mark: Mark, pose: Pose) -> Iterable[Pose]:
    """Poses on whole pixels without scaling or turn, if the pose is near one: the usual case."""
    height, width = mark.alpha.shape
    if abs(pose.scale - 1) * max(height, width) > 2 or abs(math.radians(pose.turn)) * max(height, width) > 4:
        return []
    half_x, half_y = (width - 1) / 2, (height - 1) / 2
    left, top = round(pose.x - half_x), round(pose.y - half_y)
    near = sorted(itertools.product((0, -1, 1), repeat=2), key=lambda step: abs(step[0]) + abs(step[1]))
    return [Pose(left + across + half_x, top + down + half_y) for across, down in near]


def _copies(view: View, first: Found) -> list[Found]:
    """The other places of a mark with the size and the turn of the first one."""
    plane, mark, pose = view.planes, first.mark, first.pose
    factor = min(1.0, 2.5 * COARSE / (math.sqrt(mark.alpha.size) * pose.scale))
    template, box = _template(view, pose.scale * factor, pose.turn, blurred=True)
    seen = view.axes.directions(_deep(cv2.GaussianBlur(_resized(plane, factor), (3, 3), 0)))
    across, down = box.width // 2, box.height // 2
    padded = cv2.copyMakeBorder(seen, down, down, across, across, cv2.BORDER_CONSTANT, value=0)
    scores = _correlation(padded, template)
    deviation, reach = _deviation(scores), max(2, round(0.3 * min(box.width, box.height)))
    least = max(LEAST_FIRST * 0.8 * deviation, 0.4 * first.score)
    found: list[Found] = []
    misses = 0
    while misses < 4 and len(found) < MOST_PLACES:
        _, value, _, (x, y) = cv2.minMaxLoc(scores)
        if value < least:
            break
        scores[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = -1
        place = Pose(x - across - box.x, y - down - box.y, pose.scale * factor).scaled(1 / factor)
        tried = replace(pose, x=place.x, y=place.y)
        if math.hypot(tried.x - pose.x, tried.y - pose.y) < reach / factor:
            continue
        moved, score = _best_shift(plane, view, tried, max(2, math.ceil(1.5 / factor)))
        off = taken_off(view, moved, score) if score >= LEAST_SCORE * 0.7 else None
        misses = 0 if off is not None else misses + 1
        found += [] if off is None else [off]
    return found


def _cut_copies(view: View, places: Sequence[Found]) -> list[Found]:
    """The copies of a tiled mark that are missing from its grid, such as those cut by the border.

    Too little of them shows to be sure of them, but their places are known from the others.
    """
    grid = grid_of([(one.pose.x, one.pose.y) for one in places]) if len(places) >= LEAST_TILES else None
    if grid is None:
        return []
    strength = float(np.median([one.strength for one in places]))
    reach = math.ceil(math.hypot(view.frame.width, view.frame.height) / min(np.linalg.norm(grid[:2], axis=1))) + 2
    steps = np.array(list(itertools.product(range(-reach, reach + 1), repeat=2)))
    found = []
    for x, y in steps @ grid[:2] + grid[2]:
        pose = replace(places[0].pose, x=float(x), y=float(y))
        near = any(math.hypot(one.pose.x - x, one.pose.y - y) < 3 for one in places)
        if near or _visible(view, pose) is None:
            continue
        pose = next(iter(_whole_poses(places[0].mark, pose)), pose) if _is_whole(places) else pose
        if _roughened(view, pose, strength) <= MOST_ROUGHENED:
            found.append(Found(places[0].mark, pose, strength, places[-1].score))
    return found


def _is_whole(places: Sequence[Found]) -> bool:
    """Whether copies of a mark have its own size and no turn."""
    return all(one.pose.scale == 1 and one.pose.turn == 0 for one in places)


def _separate(places: Sequence[Found]) -> list[Found]:
    """The places without those that overlap a surer one by more than half."""
    kept: list[Found] = []
    for one in sorted(places, key=lambda place: -place.score):
        height, width = (side * one.pose.scale for side in one.mark.alpha.shape)
        near = (abs(one.pose.x - other.pose.x) < width / 2 and abs(one.pose.y - other.pose.y) < height / 2 for other in kept)
        if not any(near):
            kept.append(one)
    return kept
