"""Clean pictures without letters that are easily taken for text: leaves, bars, patterns, icons."""

from __future__ import annotations

import math
import random

import cv2
import numpy as np
from PIL import Image, ImageDraw

from flows.evaluation.surfaces import Size, blended, clouded, numbers_of, photograph, plain_wall, ramp, rounded, smooth_sky
from operators.rows.arrays import Pixels

Colour = tuple[int, int, int]


def foliage(rng: random.Random, size: Size, number: int) -> Pixels:
    """Leaves or blades of grass in layers, the nearer the brighter."""
    width, height = size
    deep, bright = (((14, 26, 10), (96, 150, 50)), ((30, 22, 8), (190, 130, 40)), ((8, 28, 24), (90, 160, 110)))[number % 3]
    picture = np.ascontiguousarray(rounded(blended(deep, bright, np.full((height, width), 0.1, np.float32))))
    blades, count = number % 2 == 1, rng.randint(450, 800)
    for step in range(count):
        near = step / count
        length = rng.uniform(0.5, 1.2) * (0.16 if blades else 0.09) * height * (0.5 + near)
        slim = length * (0.04 if blades else rng.uniform(0.22, 0.4))
        turn = rng.gauss(-math.pi / 2, 0.35) if blades else rng.uniform(0, 2 * math.pi)
        along = np.linspace(0, 1, 9)
        bulge = np.sin(np.pi * along) * slim * (1.2 - 0.4 * along)
        spine = np.stack([along * length, rng.uniform(-0.25, 0.25) * length * along**2], axis=1)
        edge = np.concatenate([spine + np.stack([0 * along, bulge], 1), (spine - np.stack([0 * along, bulge], 1))[::-1]])
        rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        place = np.array([rng.uniform(-20, width + 20), rng.uniform(-20, height + 40)])
        shade = np.array(deep) + (np.array(bright) - deep) * (0.15 + 0.85 * near) * rng.uniform(0.6, 1.25)
        colour = tuple(int(value) for value in np.clip(shade, 0, 255))
        cv2.fillPoly(picture, [np.rint((edge @ rotation + place) * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
        if near > 0.4:
            rib = np.rint((spine @ rotation + place) * 16).astype(np.int32)
            lighter = tuple(min(255, int(value * 1.25) + 8) for value in colour)
            cv2.polylines(picture, [rib], False, lighter, 1, cv2.LINE_AA, 4)
    return picture


def blinds_and_fences(rng: random.Random, size: Size, number: int) -> Pixels:
    """Repeated bars: blinds, pickets, wire mesh, boards or bricks."""
    width, height = size
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    kind = number % 5
    if kind == 0:
        slat = (y + rng.uniform(-0.05, 0.05) * x) / rng.uniform(16, 30) % 1
        light = 0.55 + 0.5 * slat - 0.5 * (slat > 0.86) + 0.1 * x / width
        return rounded(np.array(rng.choice(((230, 224, 210), (190, 200, 210))), np.float32) * light[:, :, None])
    if kind == 1:
        period, behind = rng.uniform(34, 60), smooth_sky(rng, size).astype(np.float32)
        phase = x / period % 1
        peak = height * 0.22 + np.abs(phase - 0.36) * period * 0.9
        rails = (np.abs(y - 0.42 * height) < 10) | (np.abs(y - 0.8 * height) < 10)
        shade = np.where((phase < 0.72) & (y > peak), 1 - 0.35 * phase, np.where(rails, 0.6, 0))[:, :, None]
        return rounded(np.where(shade > 0, np.array([232, 228, 220], np.float32) * shade, behind))
    if kind == 2:
        behind = cv2.GaussianBlur(foliage(rng, size, 0), (0, 0), 7).astype(np.float32)
        period = rng.uniform(26, 44)
        wire = np.minimum(*(np.abs((x + sign * y) / period % 1 - 0.5) * period for sign in (1, -1)))
        metal = np.clip(2.2 - wire, 0, 1)[:, :, None]
        return rounded(behind * (1 - metal) + (176 - 22 * wire[:, :, None]) * metal)
    wall = plain_wall(rng, size).astype(np.float32)
    if kind == 3:
        numbers, board = numbers_of(rng), rng.uniform(48, 80)
        grain = cv2.resize(clouded(numbers, (max(16, width // 12), height), 0.8, 1), size, interpolation=cv2.INTER_CUBIC)
        tone = 0.8 + 0.06 * grain + 0.08 * np.sin(np.floor(y / board) * 5.1) - 0.5 * (y % board < 2.5)
        return rounded(np.array([150, 104, 66], np.float32) * tone[:, :, None])
    brick_height = rng.uniform(24, 38)
    row = np.floor(y / brick_height)
    across = x / (2.6 * brick_height) + 0.5 * (row % 2)
    mortar = (y % brick_height < 4) | (across % 1 < 4 / (2.6 * brick_height))
    tone = 0.85 + 0.15 * np.sin(row * 12.9 + np.floor(across) * 78.2)
    return rounded(
        np.where(mortar[:, :, None], wall * 0.8, np.array([158, 76, 58], np.float32) * tone[:, :, None] * wall / 200)
    )


def abstract(rng: random.Random, size: Size, number: int) -> Pixels:
    """Waves, rings, shards, brush strokes or marble."""
    width, height = size
    x, y = np.meshgrid(ramp(width, 0, width / height), ramp(height))
    first, second_colour, third = (tuple(rng.randint(20, 240) for _ in range(3)) for _ in range(3))
    numbers, kind = numbers_of(rng), number % 5
    if kind == 0:
        bend = y + 0.06 * np.sin(x * rng.uniform(6, 14)) + 0.04 * np.sin(x * rng.uniform(15, 30) + 1)
        return rounded(blended(first, second_colour, 0.5 + 0.5 * np.sin(bend * rng.uniform(30, 70))))
    if kind == 1:
        distance = np.hypot(x - rng.uniform(0.2, 1), y - rng.uniform(0.2, 0.8))
        return rounded(blended(first, second_colour, (np.floor(distance * rng.uniform(10, 22)) % 2).astype(np.float32)))
    if kind == 2:
        nearest, second, shard = np.full_like(x, 9), np.full_like(x, 9), np.zeros_like(x)
        for number_of_seed, (a, b) in enumerate(numbers.uniform(0, 1, (60, 2)).astype(np.float32)):
            distance = np.hypot(x - a * np.float32(width / height), y - b)
            second = np.minimum(second, np.maximum(nearest, distance))
            shard[distance < nearest] = number_of_seed
            nearest = np.minimum(nearest, distance)
        tone = blended(first, second_colour, shard * 37 % 60 / 60)
        return rounded(np.where((second - nearest < 0.008)[:, :, None], np.float32(24), tone))
    if kind == 3:
        picture = np.ascontiguousarray(rounded(blended(first, first, 0 * x)))
        for _ in range(26):
            start = np.array([rng.uniform(0, width), rng.uniform(0, height)])
            points = start + np.cumsum(numbers.normal(0, 46, (8, 2)), axis=0)
            colour = rng.choice((second_colour, third, (250, 250, 245), (20, 20, 24)))
            cv2.polylines(picture, [np.rint(points).astype(np.int32)], False, colour, rng.randint(3, 26), cv2.LINE_AA)
        return picture
    warp = x * 3 + 1.1 * clouded(numbers, size, 1.6, 4)
    return rounded(blended(first, second_colour, np.abs(np.sin(warp * 2.2)) ** 0.6))


def draw_icon(canvas: ImageDraw.ImageDraw, kind: int, box: tuple[float, float, float, float], ink: Colour, line: int) -> None:
    """One of 12 pictograms in a square, in outlines `line` pixels thick."""
    left, top, side = box[0], box[1], box[2] - box[0]

    def at(*shares: float) -> list[float]:
        return [(left if place % 2 == 0 else top) + share * side for place, share in enumerate(shares)]

    def stroke(*shares: float) -> None:
        canvas.line(at(*shares), fill=ink, width=line, joint="curve")

    match kind % 12:
        case 0:
            stroke(0, 0.5, 0.5, 0, 1, 0.5)
            canvas.rectangle(at(0.16, 0.5, 0.84, 1), outline=ink, width=line)
            canvas.rectangle(at(0.42, 0.68, 0.6, 1), fill=ink)
        case 1:
            canvas.polygon(
                at(0.5, 1, 0.04, 0.48, 0.06, 0.16, 0.3, 0.04, 0.5, 0.22, 0.7, 0.04, 0.94, 0.16, 0.96, 0.48), fill=ink
            )
        case 2:
            stroke(0, 0.5, 0.95, 0.5)
            stroke(0.6, 0.15, 0.98, 0.5, 0.6, 0.85)
        case 3:
            canvas.ellipse(at(0, 0, 0.7, 0.7), outline=ink, width=line)
            stroke(0.6, 0.6, 1, 1)
        case 4:
            points = [0.5 + 0.5 * (1 if spike % 2 == 0 else 0.45) * part(math.pi * spike / 5 - math.pi / 2)
                      for spike in range(10) for part in (math.cos, math.sin)]  # fmt: skip
            canvas.polygon(at(*points), fill=ink)
        case 5:
            canvas.ellipse(at(0, 0.4, 0.5, 0.9), fill=ink)
            canvas.ellipse(at(0.25, 0.15, 0.8, 0.7), fill=ink)
            canvas.rounded_rectangle(at(0.1, 0.55, 1, 0.9), 0.15 * side, fill=ink)
        case 6:
            canvas.ellipse(at(0.28, 0, 0.72, 0.44), outline=ink, width=line)
            canvas.arc(at(0.05, 0.55, 0.95, 1.45), 180, 360, fill=ink, width=line)
        case 7:
            canvas.rectangle(at(0, 0.18, 1, 0.84), outline=ink, width=line)
            stroke(0, 0.18, 0.5, 0.58, 1, 0.18)
        case 8:
            for row in (0.15, 0.5, 0.85):
                stroke(0, row, 1, row)
        case 9:
            for x, height in ((0.05, 0.5), (0.4, 0.9), (0.75, 0.7)):
                canvas.rectangle(at(x, 1 - height, x + 0.2, 1), fill=ink)
        case 10:
            canvas.ellipse(at(0, 0, 1, 1), outline=ink, width=line)
            stroke(0.5, 0.2, 0.5, 0.5, 0.74, 0.62)
        case _:
            canvas.polygon(at(0.1, 0.05, 0.95, 0.5, 0.1, 0.95), fill=ink)


def icons(rng: random.Random, size: Size, number: int) -> Pixels:
    """Pictograms in rows, as in a menu, a toolbar or on a sheet."""
    width, height = size[0] * 2, size[1] * 2
    dark = number % 2 == 1
    image = Image.new(
        "RGB", (width, height), (28, 30, 38) if dark else rng.choice(((255, 255, 255), (242, 244, 248), (250, 240, 226)))
    )
    canvas = ImageDraw.Draw(image)
    columns = rng.choice((4, 5, 6, 8))
    cell = width / columns
    kind = rng.randrange(12)
    for row in range(int(height / cell) + 1):
        for column in range(columns):
            x, y, kind = column * cell, row * cell, kind + rng.choice((1, 1, 5))
            if number % 3 == 0:
                card = tuple(rng.randint(40, 220) for _ in range(3))
                canvas.rounded_rectangle(
                    (x + 0.1 * cell, y + 0.1 * cell, x + 0.9 * cell, y + 0.9 * cell), cell * 0.18, fill=card
                )
            light = dark or number % 3 == 0
            ink = (245, 245, 245) if light else rng.choice(((40, 44, 52), (30, 110, 200), (200, 60, 60)))
            box = (x + 0.28 * cell, y + 0.28 * cell, x + 0.72 * cell, y + 0.72 * cell)
            draw_icon(canvas, kind, box, ink, max(3, round(cell * 0.05)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def plain_photograph(rng: random.Random, size: Size, chosen: str, number: int) -> Pixels:
    """A part of a photograph that shows no letters, sometimes mirrored."""
    without = {"tune": (1, 2, 3), "report": (0, 2, 0), "promise": (0, 2, 0)}[chosen]
    picture = photograph(rng, size, chosen, without[number % 3])
    return np.ascontiguousarray(picture[:, ::-1]) if number % 2 else picture
