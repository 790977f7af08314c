"""Draws the examples for the line network: lines of text, and what looks like one but is not.

An example is a straightened rectangle with its margin, SIDE pixels high, uint8. Those without text
are rectangles of pictures, rows of one shape, rows of icons, and what the detector takes for text
on pictures without any.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from flows.evaluation.draw_text import Caption, draw, polygon_of
from operators.masks.geometry import Polygon, straightened, stroke_height
from operators.rows.arrays import Pixels
from operators.vision.find_texts import find_texts
from operators.vision.first_look import View
from operators.vision.line_network import MARGIN
from operators.vision.recogniser import recogniser
from training.first_look_data import SIDE as GROUND
from training.first_look_data import Materials, ground_of, height_by_chance, line_of, words

SIDE = 48
"""Height in pixels of an example."""
LONGEST = 600
"""Largest width of an example."""
LEAST_VISIBLE = 12
"""Levels by which the 70th percentile of the pixels of a line differs from the ground at least."""
CERTAIN = 0.8
"""Probability from which a character counts as read."""
MOST_READ = 1
"""Characters that are read for certain in a false detection at most; others may be true text."""

Array = npt.NDArray[np.float32]


def line_example(rgb: Pixels, polygon: Polygon) -> Pixels | None:
    """The straightened rectangle around a polygon with its margin; None if it is too small."""
    line = straightened(rgb, polygon, round(MARGIN * stroke_height(polygon)))
    if min(line.shape[:2]) < 6:
        return None
    factor = SIDE / line.shape[0]
    width = max(8, min(LONGEST, round(line.shape[1] * factor)))
    scaled: Pixels = cv2.resize(line, (width, SIDE), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    return scaled


def as_detected(rng: random.Random, polygon: Polygon, may_be_cut: bool) -> Polygon:
    """A rectangle as the detector may see a line: higher, turned a little, or only a part."""
    (x, y), (width, height), angle = cv2.minAreaRect(np.asarray(polygon, np.float32))
    if width < height:
        width, height, angle = height, width, angle - 90
    along = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    across = np.array([-along[1], along[0]])
    high = max(6.0, height * rng.uniform(0.9, 1.45))
    if may_be_cut and width > 3 * height and rng.random() < 0.35:
        long = width * rng.uniform(0.35, 0.9)
        shift = rng.uniform(-0.5, 0.5) * (width - long)
    else:
        long, shift = width + height * rng.uniform(-0.1, 0.7), height * rng.uniform(-0.2, 0.2)
    middle = np.array([x, y]) + along * shift + across * height * rng.uniform(-0.12, 0.12)
    corners = cv2.boxPoints(((float(middle[0]), float(middle[1])), (float(long), float(high)), angle + rng.gauss(0, 2)))
    rectangle: Polygon = corners.tolist()
    return rectangle


def text_example(rng: random.Random, materials: Materials) -> Pixels | None:
    """A line of text on a picture; None if it cannot be seen well enough."""
    ground = ground_of(rng, materials)
    caption = line_of(rng, materials, height_by_chance(rng), ground)
    picture, coverage = draw(ground, caption)
    inside = coverage > 0.1 * caption.opacity
    if caption.arc or inside.sum() < 20:
        return None
    if np.percentile(np.abs(picture.astype(np.int16) - ground).max(axis=2)[inside], 70) < LEAST_VISIBLE:
        return None
    outline = np.clip(polygon_of(caption, inside.astype(np.float32)), 0, GROUND - 1)
    return line_example(_recompressed(rng, picture), as_detected(rng, outline.tolist(), may_be_cut=True))


def label_example(rng: random.Random, materials: Materials) -> Pixels | None:
    """A short text in a cell, a box or a paragraph, whose frame and neighbours are seen as well."""
    script = "latin" if rng.random() < 0.8 else rng.choice(list(materials.fonts))
    base, ink = _paper(rng)
    ground = np.full((GROUND, GROUND, 3), base, np.uint8)
    size = round(math.exp(rng.uniform(math.log(10), math.log(44))))
    caption = Caption(_label(rng, script), rng.choice(materials.fonts[script]), size, colour=ink)
    _, coverage = draw(ground, caption)
    rows, columns = np.nonzero(coverage > 0.1)
    if len(rows) < 12 or np.ptp(columns) > 0.9 * GROUND:
        return None
    left, top, right, bottom = (int(v) for v in (columns.min(), rows.min(), columns.max(), rows.max()))
    height = bottom - top + 1
    framed = _framed(rng, ground, (left, top, right, bottom), height)
    picture, _ = draw(framed, caption)
    for side in rng.choice(((), (), (), (1,), (1, -1))):
        step = side * height * rng.uniform(1.15, 1.7) / GROUND
        other = replace(caption, text=_label(rng, script), x=0.5 + rng.uniform(-0.05, 0.05), y=0.5 + step)
        picture, _ = draw(picture, other)
    if np.percentile(np.abs(picture.astype(np.int16) - framed).max(axis=2)[rows, columns], 70) < 2 * LEAST_VISIBLE:
        return None
    margin = height * rng.uniform(0.15, 0.6)
    ends = (left - margin * rng.uniform(0.3, 1.2), right + margin * rng.uniform(0.3, 1.2))
    around = [[ends[0], top - margin], [ends[1], top - margin], [ends[1], bottom + margin], [ends[0], bottom + margin]]
    return line_example(_recompressed(rng, picture), np.clip(around, 0, GROUND - 1).tolist())


def rectangle_example(rng: random.Random, materials: Materials) -> Pixels | None:
    """Any rectangle of a picture."""
    height = math.exp(rng.uniform(math.log(8), math.log(90)))
    size = (height * math.exp(rng.uniform(0, 2.3)), height)
    middle = (rng.uniform(20, GROUND - 20), rng.uniform(20, GROUND - 20))
    corners = cv2.boxPoints((middle, size, rng.choice((0.0, 0.0, 0.0, rng.uniform(-80, 80)))))
    rectangle = np.clip(corners, 0, GROUND - 1).tolist()
    return line_example(ground_of(rng, materials), as_detected(rng, rectangle, may_be_cut=False))


def shapes_example(rng: random.Random, materials: Materials) -> Pixels:
    """A row of one shape, such as rings, bars, boxes or stars."""
    size, count = rng.randint(14, 44), rng.choice((1, 2, 3, 4, 6, 8, 12))
    step = round(size * rng.uniform(0.5, 1.6))
    ground = _strip(rng, materials, min(LONGEST, step * count + size + 20))
    one, alpha = _shape(rng, size), np.zeros(ground.shape[:2], np.float32)
    top, left = (SIDE - size) // 2, rng.randint(0, 12)
    for x in range(left, min(left + step * count, ground.shape[1] - size), step):
        place = alpha[top : top + size, x : x + size]
        np.maximum(place, one, out=place)
    drawn = _mixed(ground, _ink(rng, ground), alpha * rng.uniform(0.3, 1))
    return cv2.GaussianBlur(drawn, (0, 0), rng.uniform(0.5, 1.6)) if rng.random() < 0.3 else drawn


def icons_example(rng: random.Random, materials: Materials) -> Pixels:
    """A row of icons in their own colours or in a single one."""
    count, size = rng.choice((1, 1, 1, 2, 3, 5)), rng.randint(26, 46)
    step = round(size * rng.uniform(1, 1.8))
    drawn = _strip(rng, materials, max(30, min(LONGEST, step * count + 14)))
    flat = _ink(rng, drawn) if rng.random() < 0.55 else None
    opacity, left = rng.uniform(0.2, 1), rng.randint(0, 8)
    for x in range(left, drawn.shape[1] - size, step):
        with Image.open(rng.choice(materials.logos)) as file:
            icon = file.convert("RGBA")
        icon.thumbnail((size, size))
        values = np.asarray(icon, np.float32)
        alpha = values[:, :, 3] / 255 * opacity
        if flat is not None:
            alpha = alpha * (1 - values[:, :, :3].mean(axis=2) / 255 * rng.choice((0, 0.8, 1)))
        top = (SIDE - icon.height) // 2
        place = np.s_[top : top + icon.height, x : x + icon.width]
        drawn[place] = _mixed(drawn[place], values[:, :, :3] if flat is None else flat, alpha)
    return drawn


def false_detections(files: Sequence[Path], rng: random.Random) -> Iterator[Pixels]:
    """What the detector takes for text on pictures without any, unless characters are read."""
    for file in files:
        try:
            with Image.open(file) as opened:
                picture = _opaque(opened, rng)
        except (OSError, ValueError, SyntaxError):
            continue
        factor = rng.uniform(400, 1000) / min(picture.size)
        if factor < 1 or max(picture.size) < 300:
            size = (max(16, round(picture.width * factor)), max(16, round(picture.height * factor)))
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        rgb = np.ascontiguousarray(np.asarray(picture))
        height, width = rgb.shape[:2]
        found = find_texts(rgb, width, height, View().factor(width, height), 0.5)
        for text in [*found, *(held for one in found for held in one.covered)]:
            read = recogniser().characters(straightened(rgb, text.polygon))
            if sum(each.text.isalnum() and each.probability > CERTAIN for each in read) <= MOST_READ:
                example = line_example(rgb, text.polygon)
                if example is not None:
                    yield example


def _label(rng: random.Random, script: str) -> str:
    """A number, price, time, date, share or word."""
    if script != "latin":
        return words(rng, script)[: rng.randint(2, 10)]
    numbers = (
        str(rng.randint(0, 999)),
        f"{rng.randint(0, 999)}.{rng.randint(0, 99):02}",
        f"{rng.randint(1, 28)}/{rng.randint(1, 12)}/20{rng.randint(0, 30):02}",
        f"{rng.randint(1, 99)} %",
        f"{rng.choice('€$£')} {rng.randint(1, 999)}",
        f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}",
    )
    return rng.choice((*numbers, words(rng, script).split()[0], words(rng, script)[:12], "Save", "Name:", "No."))


def _paper(rng: random.Random) -> tuple[list[int], tuple[int, int, int]]:
    """A colour of paper or of a panel, and one of ink on it."""
    light = rng.random() < 0.7
    base = [rng.randint(215, 255) if light else rng.randint(10, 90) for _ in range(3)]
    if rng.random() < 0.15:
        base = [rng.randint(0, 255) for _ in range(3)]
    low, high = (0, 120) if sum(base) > 384 else (175, 255)
    grey = rng.randint(low, high)
    red, green, blue = (rng.randint(low, high) for _ in range(3)) if rng.random() < 0.5 else (grey, grey, grey)
    return base, (red, green, blue)


def _framed(rng: random.Random, ground: Pixels, text: tuple[int, int, int, int], height: int) -> Pixels:
    """The ground with a box, a panel or the rules of a table around a text, or as it is."""
    left, top, right, bottom = text
    across, down = round(height * rng.uniform(0.25, 1.6)), round(height * rng.uniform(0.2, 1.0))
    base = ground[0, 0].astype(int)
    other = [int(np.clip(value + rng.choice((-1, 1)) * rng.randint(20, 140), 0, 255)) for value in base]
    framed, kind = ground.copy(), rng.random()
    if kind < 0.3:
        cv2.rectangle(framed, (left - across, top - down), (right + across, bottom + down), other, rng.choice((1, 1, 2, 3)))
    elif kind < 0.55:
        framed[:] = other
        framed[max(0, top - down) : bottom + down, max(0, left - across) : right + across] = base
    elif kind < 0.8:
        for x in (left - across, right + across):
            if rng.random() < 0.7:
                cv2.line(framed, (x, 0), (x, GROUND), other, 1)
        for y in (top - down, bottom + down):
            if rng.random() < 0.6:
                cv2.line(framed, (0, y), (GROUND, y), other, 1)
    return framed


def _recompressed(rng: random.Random, picture: Pixels) -> Pixels:
    """The picture, in half of the cases after JPEG."""
    if rng.random() < 0.5:
        return picture
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=rng.randint(45, 95))
    return np.asarray(Image.open(buffer))


def _opaque(picture: Image.Image, rng: random.Random) -> Image.Image:
    """The picture as RGB; what is transparent is laid on white or on a grey by chance."""
    if picture.mode not in ("RGBA", "LA", "P"):
        return picture.convert("RGB")
    grey = rng.choice((255, rng.randint(0, 255)))
    ground = Image.new("RGBA", picture.size, (grey, grey, grey, 255))
    ground.alpha_composite(picture.convert("RGBA"))
    return ground.convert("RGB")


def _strip(rng: random.Random, materials: Materials, width: int) -> Pixels:
    """A ground of SIDE pixels' height: one colour, a gradient, or a part of a picture."""
    if rng.random() < 0.6:
        grey = rng.choice((20, 128, 235, 250))
        colour = [rng.randint(0, 255) for _ in range(3)] if rng.random() < 0.6 else [grey] * 3
        values = np.full((SIDE, width, 3), colour, np.float32)
        if rng.random() < 0.4:
            values += np.linspace(-20, 20, width)[None, :, None] * rng.uniform(-1, 1)
        return np.clip(values, 0, 255).astype(np.uint8)
    with Image.open(rng.choice(materials.pictures)) as file:
        picture = file.convert("RGB")
    picture = picture.resize((max(width + 4, picture.width // 2), max(SIDE + 4, picture.height // 2)))
    left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - SIDE)
    return np.array(picture.crop((left, top, left + width, top + SIDE)))


def _ink(rng: random.Random, ground: Pixels) -> Array:
    """A colour that differs from the mean of a ground."""
    mean, least = ground.reshape(-1, 3).mean(axis=0), rng.choice((15, 40, 80))
    while True:
        grey = rng.randint(0, 255)
        colour = np.array([rng.randint(0, 255) for _ in range(3)] if rng.random() < 0.5 else [grey] * 3, np.float32)
        if np.abs(colour - mean).max() >= least:
            return colour


def _mixed(ground: Pixels, colour: Array, alpha: Array) -> Pixels:
    """The ground under a colour with this opacity, 0..1."""
    mixed: Pixels = np.rint(ground * (1 - alpha[:, :, None]) + colour * alpha[:, :, None]).astype(np.uint8)
    return mixed


def _shape(rng: random.Random, size: int) -> Array:
    """A ring, disc, ellipse, box, bar, star, wedge or diamond; size x size, 0..1."""
    drawn, middle, reach = np.zeros((size, size), np.uint8), size // 2, round(size * rng.uniform(0.25, 0.48))
    pen = rng.choice((-1, -1, max(1, size // 12), max(1, size // 6)))
    kind = rng.randrange(7)
    if kind == 0:
        cv2.circle(drawn, (middle, middle), reach, 255, pen, cv2.LINE_AA)
    elif kind == 1:
        axes = (max(2, round(reach * rng.uniform(0.3, 0.9))), reach)
        cv2.ellipse(drawn, (middle, middle), axes, 0, 0, 360, 255, pen, cv2.LINE_AA)
    elif kind == 2:
        across = round(reach * rng.uniform(0.2, 1))
        cv2.rectangle(drawn, (middle - across, middle - reach), (middle + across, middle + reach), 255, pen)
    elif kind == 3:
        ends = [(middle + rng.randint(-reach, reach), middle + side * reach) for side in (-1, 1)]
        cv2.line(drawn, ends[0], ends[1], 255, max(1, size // rng.choice((5, 8, 12))), cv2.LINE_AA)
    elif kind == 4:
        turns = np.linspace(0, 2 * np.pi, 11)[:-1]
        radii = reach * np.where(np.arange(10) % 2, 1, 0.45)
        star = np.stack([middle + radii * np.sin(turns), middle - radii * np.cos(turns)], axis=1)
        cv2.fillPoly(drawn, [star.astype(np.int32)], 255, cv2.LINE_AA)
    elif kind == 5:
        wedge = np.array([[middle - reach, middle + reach], [middle, middle - reach], [middle + reach, middle + reach]])
        cv2.polylines(drawn, [wedge], rng.random() < 0.5, 255, max(1, size // 8), cv2.LINE_AA)
    else:
        sides = [[middle, middle - reach], [middle + reach, middle], [middle, middle + reach], [middle - reach, middle]]
        cv2.fillPoly(drawn, [np.array(sides)], 255, cv2.LINE_AA)
    return drawn.astype(np.float32) / 255
