"""Procedural pictures for training: cells, wood, cloth, tiles, blades, grain, drawings and
printed matter.

The evaluation suite draws its own textures; these are of other kinds, from other code and other
seeds.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels

Field = npt.NDArray[np.float32]
"""One value per pixel, about 0..1."""


def soft_noise(rng: np.random.Generator, side: int, cell: float) -> Field:
    """Random values on a grid of `cell` pixels, interpolated between them."""
    count = max(2, round(side / cell) + 2)
    grid = rng.random((count, count), np.float32)
    field: Field = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return field


def _layers(rng: np.random.Generator, side: int) -> Field:
    """Several soft noises, each weaker and twice as fine as the previous one (Perlin's
    turbulence): plaster, stone, clouds.
    """
    cell, weight, total = rng.uniform(side / 6, side / 2), 1.0, np.zeros((side, side), np.float32)
    fall = rng.uniform(0.45, 0.8)
    while cell > 1.5:
        noise = soft_noise(rng, side, cell)
        total += weight * (np.abs(2 * noise - 1) if fall < 0.6 else noise)
        cell, weight = cell / 2, weight * fall
    return total


def _cells(rng: np.random.Generator, side: int) -> Field:
    """Cells around scattered points, shaded by the distance to the nearest point (Worley 1996):
    pebbles, leather, cracks.
    """
    spacing = rng.uniform(4, 30)
    count = max(4, round((side / spacing) ** 2))
    seeds = np.full((side, side), 255, np.uint8)
    points = rng.integers(0, side, (count, 2))
    seeds[points[:, 1], points[:, 0]] = 0
    distance, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    shade = rng.random(labels.max() + 1).astype(np.float32)[labels]
    rounded = np.clip(distance / spacing * rng.uniform(0.8, 2), 0, 1)
    return (1 - rounded) * rng.uniform(0.3, 1) + shade * rng.uniform(0, 0.8)


def _wood(rng: np.random.Generator, side: int) -> Field:
    """Stripes bent by noise: wood grain, ripples of sand, hair."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 24)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    along = x * np.cos(angle) + y * np.sin(angle)
    bend = soft_noise(rng, side, rng.uniform(20, 90)) * rng.uniform(0, 60)
    stripes = 0.5 + 0.5 * np.sin(2 * np.pi * (along + bend) / period)
    return (stripes ** rng.uniform(0.4, 2.5) + rng.uniform(0, 0.5) * soft_noise(rng, side, 2.0)).astype(np.float32)


def _cloth(rng: np.random.Generator, side: int) -> Field:
    """Threads woven over and under each other."""
    period, turn = rng.uniform(4, 16), rng.uniform(-0.5, 0.5)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    u, v = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    over = (np.floor(u / period) + np.floor(v / period)) % 2
    warp, weft = (np.abs(np.sin(np.pi * axis / period)) for axis in (u, v))
    woven = np.where(over > 0, warp, weft * rng.uniform(0.6, 1)) + rng.uniform(0, 0.3) * rng.random((side, side))
    return woven.astype(np.float32)


def _tiles(rng: np.random.Generator, side: int) -> Field:
    """Rows of tiles with joints, every other row shifted, each tile with its own shade: walls,
    floors, roofs.
    """
    wide, high, joint = rng.uniform(12, 60), rng.uniform(8, 40), rng.uniform(1, 4)
    turn = rng.choice([0.0, rng.uniform(-0.6, 0.6)])
    y, x = np.mgrid[:side, :side].astype(np.float32) + side
    u, v = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    row = np.floor(v / high)
    u = u + (row % 2) * wide * rng.choice([0.0, 0.5])
    column = np.floor(u / wide)
    shade = np.modf(np.abs(np.sin(row * 12.9898 + column * 78.233) * 43758.5453))[0]
    inside = (np.mod(u, wide) > joint) & (np.mod(v, high) > joint)
    field = np.where(inside, 0.5 + shade * rng.uniform(0.05, 0.5), rng.uniform(0, 0.4))
    return (field + rng.uniform(0, 0.25) * (soft_noise(rng, side, rng.uniform(1.5, 5)) - 0.5)).astype(np.float32)


def _blades(rng: np.random.Generator, side: int) -> Field:
    """Many short overlapping lines, most in one direction: grass, straw, fur, scratches."""
    canvas = np.full((side, side), rng.uniform(60, 180), np.uint8)
    main, spread, length = rng.uniform(0, np.pi), rng.uniform(0.1, 1.2), rng.uniform(6, 40)
    for _ in range(int(side * side / rng.uniform(20, 80))):
        x, y = rng.uniform(-10, side + 10, 2)
        angle, reach = rng.normal(main, spread), length * rng.uniform(0.4, 1.4)
        end = (int(x + reach * np.cos(angle)), int(y + reach * np.sin(angle)))
        cv2.line(canvas, (int(x), int(y)), end, int(rng.integers(0, 256)), int(rng.integers(1, 3)), cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def _coloured(rng: np.random.Generator, field: Field) -> Pixels:
    """A field in two to four colours, unevenly lit, with some grain."""
    low, high = np.percentile(field, [1, 99])
    level = np.clip((field - low) / max(1e-3, high - low), 0, 1)
    stops = int(rng.integers(2, 5))
    base = rng.uniform(20, 235, 3)
    colours = np.clip(base + rng.normal(0, rng.uniform(12, 70), (stops, 3)), 0, 255)
    picture = np.stack([np.interp(level, np.linspace(0, 1, stops), colours[:, channel]) for channel in range(3)], axis=2)
    light = 1 + rng.uniform(0, 0.35) * (soft_noise(rng, field.shape[0], field.shape[0])[:, :, None] - 0.5)
    grain = rng.normal(0, rng.choice([0.0, 1.0, 2.5, 6.0]), (*field.shape, 1))
    return np.clip(np.rint(picture * light + grain), 0, 255).astype(np.uint8)


def _drawing(rng: np.random.Generator, side: int) -> Pixels:
    """Flat or shaded planes with hard edges, shapes and lines: charts, interfaces, posters."""
    ramp = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    ramp = ramp.transpose(1, 0, 2) if rng.random() < 0.5 else ramp
    start, end = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    end = start if rng.random() < 0.4 else end
    canvas = np.ascontiguousarray(np.broadcast_to(np.rint(start * (1 - ramp) + end * ramp), (side, side, 3)).astype(np.uint8))
    for _ in range(int(rng.integers(0, 14))):
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        points = rng.integers(-20, side + 20, (int(rng.integers(3, 6)), 2)).astype(np.int32)
        kind = rng.random()
        if kind < 0.3:
            cv2.fillPoly(canvas, [points], colour, cv2.LINE_AA)
        elif kind < 0.55:
            x, y = points[0]
            cv2.rectangle(canvas, (int(x), int(y)), (int(points[1][0]), int(points[1][1])), colour, -1)
        elif kind < 0.75:
            cv2.circle(canvas, (int(points[0][0]), int(points[0][1])), int(rng.integers(4, side // 2)), colour, -1, cv2.LINE_AA)
        else:
            cv2.polylines(canvas, [points], bool(rng.random() < 0.5), colour, int(rng.integers(1, 6)), cv2.LINE_AA)
    return canvas


def _print(rng: np.random.Generator, side: int) -> Pixels:
    """Nearly white paper, blank, ruled, squared or screened, with or without a scan's shading and
    grain.
    """
    paper = np.full((side, side, 3), rng.uniform(215, 256, 3) if rng.random() < 0.7 else 255.0, np.float32)
    ink, step, width = rng.uniform(15, 110), int(rng.integers(9, 60)), int(rng.integers(1, 3))
    kind = rng.random()
    if kind < 0.5:
        for offset in range(width):
            paper[int(rng.integers(0, step)) + offset :: step] -= ink
            if kind < 0.2:
                paper[:, int(rng.integers(0, step)) + offset :: step] -= ink
    elif kind < 0.6:
        y, x = np.mgrid[:side, :side]
        period = rng.uniform(3, 7)
        dots = np.sin(2 * np.pi * (x + y) / period) + np.sin(2 * np.pi * (x - y) / period)
        paper -= (ink * (dots > rng.uniform(-0.5, 1.5)))[:, :, None].astype(np.float32)
    if rng.random() < 0.6:
        paper -= rng.uniform(0, 40) * soft_noise(rng, side, side)[:, :, None]
        paper += rng.normal(0, rng.uniform(0, 5), (side, side, 1)).astype(np.float32)
    return np.clip(np.rint(paper), 0, 255).astype(np.uint8)


FIELDS: tuple[Callable[[np.random.Generator, int], Field], ...] = (_layers, _cells, _wood, _cloth, _tiles, _blades)


def procedural(seed: int, side: int) -> Pixels:
    """One procedural picture, uint8 side x side x 3: two thirds are textures, the rest drawings
    and printed matter.
    """
    rng = np.random.default_rng(seed)
    kind = random.Random(seed).random()
    if kind < 0.18:
        return _drawing(rng, side)
    if kind < 0.34:
        return _print(rng, side)
    return _coloured(rng, FIELDS[int(rng.integers(len(FIELDS)))](rng, side))
