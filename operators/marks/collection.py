"""From the statistics of a collection to its marks: which places recur, and what lies there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from operators.marks.mark import Mark, Search
from operators.marks.pair_alignment import LARGEST, MOST_PICTURES, aligned_groups, parts_of, reduced
from operators.marks.places import SAME_PLACE, Place, common_share, grouped, places
from operators.marks.separation import LEAST_ALPHA, Separated, common_edges, groups, separate
from operators.marks.statistics import BY_WIDTH, NATIVE, WIDTH, Sample, Statistics
from operators.rows.arrays import Pixels, Selection
from operators.rows.box import Box
from operators.rows.overlay import Plane

ALIGNED_SHARE = 0.5
"""Share of the usual significance that pictures need that are known to have edges in common."""
MOST_COPIES = 4
"""Places of one picture at which others are looked at that have edges in common with it."""
ANYWHERE = (0.5, 0.5)
"""What stands for the anchor of a mark without a fixed place."""
CLAIMED = 0.5
"""Share of the pictures at a place whose edges there belong to marks that are known already."""
SAME = 0.6
"""Correlation of two mattes of the same mark."""
SAME_RESIZED = 0.4
"""The same for mattes that are brought to one size; parts of the smaller one may be missing."""
SLACK = 0.01
"""How far a mark may lie from where it was found, as a share of the picture."""


@dataclass(frozen=True, eq=False)
class CollectionMark:
    """A mark that a collection carries."""

    mark: Mark
    frame: str
    anchor: tuple[float, float]
    carriers: int
    """The looked-at pictures that carry it."""
    looked_at: int
    copies: int
    """The places at which it was found."""
    members: frozenset[str]
    """The addresses of the pictures that carry it."""
    energy: float
    """How sure its place is."""

    @property
    def examples(self) -> list[str]:
        """The addresses of some pictures that carry it."""
        return sorted(self.members)[:4]

    @property
    def share(self) -> float:
        """The share of the looked-at pictures that carry it."""
        return self.carriers / max(1, self.looked_at)


def find_marks_of(statistics: Statistics, read: Callable[[Sample], Pixels | None]) -> list[CollectionMark]:
    """The marks of a collection, the most frequent first.

    `read` decodes one of the statistics' samples, or returns None. Each is decoded once for the
    places where edges recur. Those that carry no mark there are then compared with each other, and
    those that have a mark in common are decoded again.
    """
    if not statistics.pictures:
        return []
    looked_at = places(statistics)
    reference = _reference_width(statistics)
    factor = min(1.0, LARGEST / max(statistics.sizes.most_common(1)[0][0]))
    copies: dict[Sample, Pixels] = {}
    parts: list[list[Pixels]] = [[] for _ in looked_at]
    holders: list[list[tuple[Sample, tuple[int, int]]]] = [[] for _ in looked_at]
    count = 0
    for sample in statistics.samples:
        rgb = read(sample)
        if rgb is None:
            continue
        count += 1
        copies[sample] = reduced(rgb, factor)
        for number, place in enumerate(looked_at):
            part = _part(rgb, place, reference)
            if part is not None:
                parts[number].append(part)
                holders[number].append((sample, (rgb.shape[1], rgb.shape[0])))
    found = []
    for place, some, held in zip(looked_at, parts, holders, strict=True):
        found += _marks_at(place, some, held, count, reference)
    carriers = frozenset[str]().union(*(one.members for one in _merged(found)))
    free = [sample for sample in copies if sample.uri not in carriers][:MOST_PICTURES]
    return _merged([*found, *_marks_anywhere(free, [copies[sample] for sample in free], factor, read, count)])


def _marks_anywhere(
    samples: Sequence[Sample],
    copies: Sequence[Pixels],
    factor: float,
    read: Callable[[Sample], Pixels | None],
    count: int,
) -> list[CollectionMark]:
    """The marks at another place in each of some pictures, of which reduced copies exist."""
    found = []
    for group in aligned_groups(copies):
        pictures = {number: picture for number in group.moves if (picture := read(samples[number])) is not None}
        if group.seed not in pictures:
            continue
        boxes = sorted(grouped(group.energy, ALIGNED_SHARE), key=lambda one: -one[1])[:MOST_COPIES]
        for box, energy in boxes:
            some = parts_of(group, pictures, box, factor)
            held = [samples[number] for number in some]
            for separated, members in _separated(list(some.values())):
                carriers = frozenset(held[number].uri for number in members)
                search = Search(scale=(1.0, 1.0), opacity=_opacities(separated), turn=0.0)
                alpha, colour, _ = _tight(separated)
                mark = Mark("mark", alpha, colour, search=search)
                found.append(CollectionMark(mark, NATIVE, ANYWHERE, len(members), count, 1, carriers, energy))
    return found


def _reference_width(statistics: Statistics) -> int:
    """The width of most pictures, in whose pixels scaled marks are kept."""
    return statistics.sizes.most_common(1)[0][0][0]


def _part(rgb: Pixels, place: Place, reference: int) -> Pixels | None:
    """What a picture shows at a place, always of one size; None if it does not reach there."""
    height, width = rgb.shape[:2]
    box = place.on(width, height)
    if place.frame == BY_WIDTH:
        back = reference / WIDTH
        size = (reference, max(8, round(height * reference / width)))
        if (width, height) != size:
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if width > reference else cv2.INTER_CUBIC)
        box = Box(round(box.x * back), round(box.y * back), round(box.width * back), round(box.height * back))
    height, width = rgb.shape[:2]
    if box.x >= width or box.y >= height or box.x + box.width <= 0 or box.y + box.height <= 0:
        return None
    rows = np.arange(box.y, box.y + box.height)
    columns = np.arange(box.x, box.x + box.width)
    outside = ((rows < 0) | (rows >= height)).mean() + ((columns < 0) | (columns >= width)).mean()
    if outside > 0.5:
        return None
    return np.ascontiguousarray(rgb[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)])


def _marks_at(
    place: Place, some: list[Pixels], held: list[tuple[Sample, tuple[int, int]]], count: int, reference: int
) -> list[CollectionMark]:
    """The marks of one place, one for each group of pictures that carry the same."""
    found = []
    for separated, members in _separated(some):
        alpha, colour, tight = _tight(separated)
        carriers = [held[number] for number in members]
        search = _search(place, tight, [size for _, size in carriers], reference, _opacities(separated))
        addresses = frozenset(sample.uri for sample, _ in carriers)
        mark = Mark("mark", alpha, colour, search=search)
        found.append(CollectionMark(mark, place.frame, place.anchor, len(members), count, 1, addresses, place.energy))
    return found


def _separated(some: list[Pixels]) -> Iterator[tuple[Separated, list[int]]]:
    """The marks that some pictures of one place carry, and the numbers of those that carry each."""
    if len(some) < 2:
        return
    parts: npt.NDArray[np.uint8] = np.stack(some)
    support = _support(parts)
    for members in groups(parts, support) if support.any() else []:
        separated = separate(parts, members)
        if separated is not None:
            yield separated, members


def _tight(separated: Separated) -> tuple[Plane, Plane, Box]:
    """Alpha and colour without the margins around the mark, and where they were."""
    used = separated.alpha > LEAST_ALPHA
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    tight = Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1))
    cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return separated.alpha[cut], separated.colour[cut], tight


def _opacities(separated: Separated) -> tuple[float, float]:
    """The opacities with which a mark is looked for."""
    opacity = float(separated.alpha.max())
    return round(max(0.05, 0.6 * opacity), 3), round(min(1.0, 1.4 * opacity), 3)


def _support(parts: npt.NDArray[np.uint8]) -> Selection:
    """Where the looked-at pictures, or some of them, have edges in common."""
    energy = common_edges(parts)
    edges = energy > max(6.0, 0.03 * float(np.percentile(energy, 99.5)))
    support: Selection = cv2.dilate(edges.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return support


def _search(place: Place, tight: Box, sizes: Sequence[tuple[int, int]], reference: int, bounds: tuple[float, float]) -> Search:
    """Where a mark was found and how large, as `marks.yaml` says it."""
    zones = []
    for width, height in sizes:
        box = place.on(width, height)
        back = 1.0 if place.frame == NATIVE else reference / WIDTH
        shown = (width, height) if place.frame == NATIVE else (reference, height * reference / width)
        left, top = box.x * back + tight.x, box.y * back + tight.y
        zones.append((left / shown[0], top / shown[1], (left + tight.width) / shown[0], (top + tight.height) / shown[1]))
    array = np.array(zones)
    least, most = array.min(axis=0) - SLACK, array.max(axis=0) + SLACK
    zone = tuple(float(np.clip(round(value, 4), 0, 1)) for value in (least[0], least[1], most[2], most[3]))
    if place.frame == NATIVE:
        return Search((zone[0], zone[1], zone[2], zone[3]), scale=(1.0, 1.0), opacity=bounds, turn=0.0)
    share = tight.width / reference
    widths = (round(share * 0.98, 5), round(share * 1.02, 5))
    return Search((zone[0], zone[1], zone[2], zone[3]), width=widths, opacity=bounds, turn=0.0)


def _merged(found: Sequence[CollectionMark]) -> list[CollectionMark]:
    """Each mark once, as it is at its surest place.

    A mark that was found at several places of the same frame is a tiled one, and is looked for
    everywhere. What is left at a place are parts of marks, or several marks as one.
    """
    kept: list[CollectionMark] = []
    for one in sorted(found, key=lambda one: -one.energy):
        twin = next((number for number, other in enumerate(kept) if _alike(other.mark, one.mark) or _resized(other, one)), None)
        if twin is None:
            zone = one.mark.search.zone
            claims = [other.members for other in kept if common_share(zone, other.mark.search.zone) >= SAME_PLACE]
            if len(one.members & frozenset().union(*claims)) <= CLAIMED * one.carriers:
                kept.append(one)
            continue
        other = kept[twin]
        if one.frame == other.frame and common_share(one.mark.search.zone, other.mark.search.zone) == 0:
            search = replace(other.mark.search, zone=(0.0, 0.0, 1.0, 1.0))
            kept[twin] = replace(other, mark=replace(other.mark, search=search), copies=other.copies + 1)
    named = sorted(kept, key=lambda one: -one.carriers)
    return [replace(one, mark=replace(one.mark, name=f"mark-{number}")) for number, one in enumerate(named, 1)]


def _resized(known: CollectionMark, other: CollectionMark) -> bool:
    """Whether the other frame shows a known mark in another size.

    Pictures of one size among others carry a mark at the same share of their width as well.
    """
    if known.frame == other.frame or common_share(known.mark.search.zone, other.mark.search.zone) == 0:
        return False
    height, width = known.mark.alpha.shape
    same = cv2.resize(other.mark.alpha, (width, height), interpolation=cv2.INTER_LINEAR)
    return _likeness(known.mark.alpha, same) >= SAME_RESIZED


def _alike(first: Mark, second: Mark) -> bool:
    """Whether the smaller of two mattes is found in the larger one."""
    small, large = sorted((first.alpha, second.alpha), key=lambda alpha: alpha.size)
    reach = 16
    padded = cv2.copyMakeBorder(large, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    if padded.shape[0] < small.shape[0] or padded.shape[1] < small.shape[1]:
        padded = cv2.copyMakeBorder(padded, 0, small.shape[0], 0, small.shape[1], cv2.BORDER_CONSTANT, value=0)
    return _likeness(padded, small) >= SAME


def _likeness(large: Plane, small: Plane) -> float:
    """The largest correlation of a matte with a part of a larger one; empty parts count as unlike.

    OpenCV's own normalised correlation is 1 where a part is empty.
    """
    centred = small - small.mean()
    energy = float((centred**2).sum())
    size = (small.shape[1], small.shape[0])
    total, squares = (
        cv2.boxFilter(plane, cv2.CV_64F, size, anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT)
        for plane in (large, large**2)
    )
    products = cv2.matchTemplate(large, centred, cv2.TM_CCORR)
    spread = (squares - total**2 / small.size)[: products.shape[0], : products.shape[1]]
    return float((products / np.sqrt(np.maximum(spread, 0.1 * energy) * energy + 1e-9)).max())
