"""Draws the examples for the first look: text and marks of many kinds on pictures, with their
truth.

Each example is a part of a picture with some lines of text, and for each cell of CELL x CELL pixels
whether it holds text or a mark, how high the letters are, and how the line is turned. Every fifth
example has neither text nor marks.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw

from flows.evaluation.draw_text import Caption, Coverage, draw, polygon_of
from operators.rows.arrays import Pixels
from training.procedural import procedural
from training.strokes import random_text

SIDE, CELL = 320, 8
"""Sides in pixels of an example and of a cell."""
LOWEST, HIGHEST = 6.0, 96.0
"""Heights in pixels of the letters that the network looks for; others are not counted."""
EMPTY = 0.2
"""Share of the examples that hold neither text nor marks."""
COVERED, TOUCHED = 0.4, 0.08
"""Share of a cell that lines cover if it is text, and if it is not surely without."""
ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789äöüéèñçßøåłžş&!?.,:-",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяАБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЯ",
    "greek": "αβγδεζηθικλμνξοπρστυφχψωΑΒΓΔΕΘΚΛΜΝΞΠΣΦΨΩ",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "devanagari": "अआइईउऊएऐओऔकखगघचछजझटठडढणतथदधनपफबभमयरलवशषसह",
    "bengali": "অআইউএওকখগঘচছজঝটঠডঢতথদধনপফবভমযরলশষসহ",
    "tamil": "அஆஇஈஉஊஎஏஐஒகஙசஞடணதநபமயரலவழளறன",
    "thai": "กขคงจฉชซญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหอฮ",
    "hangul": "가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루무부수우주추쿠투푸후",
    "kana": "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"
    "アイウエオカキクケコサシスセソタチツテト",
    "han": "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多"
    "天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长",
}
"""Letters of each script; words are drawn from them by chance."""


class Example(NamedTuple):
    """A picture of SIDE x SIDE pixels and its truth on a grid of SIDE / CELL cells a side."""

    picture: Pixels
    """uint8, SIDE x SIDE x 3."""
    truth: npt.NDArray[np.float16]
    """One plane for each of: text (0 or 1), whether that is certain (0 or 1), mark (0 or 1),
    whether that is certain, logarithm to base 2 of the letters' height divided by 16 pixels, cosine
    and sine of twice the line's angle, and whether the height (1) or the angle as well (2) counts.
    """


@dataclass(frozen=True)
class Materials:
    """What examples are made of: files of pictures, logos with alpha, and typefaces by script."""

    pictures: list[str]
    logos: list[str]
    fonts: dict[str, list[str]]


def typefaces(folders: Sequence[Path]) -> dict[str, list[str]]:
    """The typefaces in folders by the scripts whose letters they hold, at most 200 a script."""
    found: dict[str, list[str]] = {script: [] for script in ALPHABETS}
    for file in sorted(f for folder in folders for f in folder.rglob("*") if f.suffix.lower() in (".ttf", ".otf", ".ttc")):
        try:
            letters = TTFont(str(file), fontNumber=0, lazy=True).getBestCmap() or {}
        except Exception:  # A broken typeface raises anything; it is left out.
            continue
        for script, alphabet in ALPHABETS.items():
            needed = alphabet[:62] if script == "latin" else alphabet
            if all(ord(letter) in letters for letter in needed):
                found[script].append(str(file))
    rng = random.Random(0)
    return {script: sorted(rng.sample(files, min(len(files), 200))) for script, files in found.items() if files}


def words(rng: random.Random, script: str) -> str:
    """A line in a script."""
    if script == "latin" and rng.random() < 0.8:
        return random_text(rng)
    joined = "" if script in ("han", "kana", "thai") else " "
    letters = ALPHABETS[script]
    return joined.join(
        "".join(rng.choice(letters) for _ in range(rng.randint(1 if joined else 2, 8))) for _ in range(rng.randint(1, 4))
    )


def height_by_chance(rng: random.Random) -> float:
    """The height of a line's letters in pixels; small ones come as often as large ones."""
    return math.exp(rng.uniform(math.log(6.5), math.log(105)))


def colours(rng: random.Random, behind: Pixels) -> tuple[tuple[int, int, int], float]:
    """A colour for letters over some pixels, and their opacity."""
    mean = behind.reshape(-1, 3).mean(axis=0) if behind.size else np.array([128.0] * 3)
    kind = rng.random()
    if kind < 0.2:
        step = rng.choice((-1, 1)) * rng.uniform(9, 40)
        faint = np.clip(mean + step + np.array([rng.gauss(0, 4) for _ in range(3)]), 0, 255)
        return (int(faint[0]), int(faint[1]), int(faint[2])), 1.0
    opacity = rng.uniform(0.2, 0.8) if kind < 0.45 else 1.0
    pick = rng.random()
    if pick < 0.3:
        return (255, 255, 255), opacity
    if pick < 0.5:
        return (rng.randint(0, 40),) * 3, opacity
    if pick < 0.6:
        grey = rng.randint(90, 220)
        return (grey, grey, grey), opacity
    colour = tuple(rng.randint(0, 255) for _ in range(3))
    if np.abs(np.array(colour) - mean).max() < 40:
        colour = (0, 0, 0) if mean.mean() > 128 else (255, 255, 255)
    return (colour[0], colour[1], colour[2]), opacity


def line_of(rng: random.Random, materials: Materials, height: float, behind: Pixels) -> Caption:
    """A line of text with letters of this height in pixels, in a style by chance."""
    scripts = list(materials.fonts)
    script = "latin" if rng.random() < 0.5 else rng.choice(scripts)
    colour, opacity = colours(rng, behind)
    turned, styled = rng.random(), rng.random()
    angle = rng.gauss(0, 2) if turned < 0.1 else 0.0 if turned < 0.6 else rng.uniform(-80, 80)
    arc = rng.choice((-1, 1)) * rng.uniform(40, 300) if turned > 0.9 else 0.0
    vertical = script in ("han", "kana", "hangul") and rng.random() < 0.4 and not arc
    text = words(rng, script)
    if vertical or height > 60:
        text = text[: rng.randint(2, 8)]
    return Caption(
        text,
        rng.choice(materials.fonts[script]),
        max(6, round(height / 0.72)),
        rng.uniform(0.05, 0.95),
        rng.uniform(0.05, 0.95),
        colour,
        opacity=opacity,
        outline=max(1, round(height * rng.uniform(0.03, 0.1))) if styled < 0.15 else 0,
        outline_colour=rng.choice(((0, 0, 0), (255, 255, 255))),
        shadow=max(1, round(height * rng.uniform(0.04, 0.12))) if 0.1 < styled < 0.25 else 0,
        glow=max(1, round(height * rng.uniform(0.1, 0.3))) if styled > 0.93 else 0,
        angle=0.0 if arc or vertical else angle,
        arc=arc if len(text) > 3 else 0.0,
        vertical=vertical,
        underlined=rng.random() < 0.05 and not arc and not vertical,
    )


class Truth:
    """The truth of one example, collected line by line."""

    def __init__(self) -> None:
        self.text, self.uncounted, self.mark = (np.zeros((SIDE, SIDE), np.float32) for _ in range(3))
        self.height, self.cosine, self.sine, self.counts = (np.zeros((SIDE, SIDE), np.float32) for _ in range(4))

    def add_line(self, caption: Caption, coverage: Coverage, height: float) -> None:
        """Add a line of text from what it covers."""
        place = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillPoly(place, [np.rint(polygon_of(caption, coverage)).astype(np.int32)], 1)
        inside = place > 0
        if not LOWEST <= height <= HIGHEST:
            self.uncounted[inside] = 1
            return
        self.text[inside] = 1
        self.height[inside] = math.log2(height / 16)
        angle = 2 * math.radians(caption.angle)
        self.cosine[inside], self.sine[inside] = math.cos(angle), math.sin(angle)
        self.counts[inside] = 1 if caption.arc or caption.vertical or len(caption.text) < 2 else 2

    def planes(self) -> npt.NDArray[np.float16]:
        """The planes of `Example.truth`."""
        text, uncounted, mark = (_by_cell(plane) for plane in (self.text, self.uncounted, self.mark))
        sure = ((text >= COVERED) | (text <= TOUCHED)) & (uncounted <= TOUCHED)
        sure_mark = (mark >= COVERED) | (mark <= TOUCHED)
        weight = np.maximum(text, 1e-6)
        inside = self.text
        height, cosine, sine = (_by_cell(plane * inside) / weight for plane in (self.height, self.cosine, self.sine))
        counts = np.where(text >= COVERED, np.rint(_by_cell(self.counts * inside) / weight), 0)
        planes = (text >= COVERED, sure, mark >= COVERED, sure_mark, height, cosine, sine, counts)
        return np.stack([np.asarray(plane, np.float16) for plane in planes])


def _by_cell(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean of each cell."""
    cells: npt.NDArray[np.float32] = plane.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL).mean(axis=(1, 3))
    return cells


def ground_of(rng: random.Random, materials: Materials) -> Pixels:
    """A part of a picture, a procedural texture, or a page with lines, boxes and cells."""
    kind = rng.random()
    if kind < 0.12:
        return page(rng)
    if kind < 0.2:
        return procedural(rng.getrandbits(32), SIDE)
    with Image.open(rng.choice(materials.pictures)) as file:
        picture = file.convert("RGB")
    most = min(picture.width, picture.height) / SIDE
    zoom = math.exp(rng.uniform(math.log(0.6), math.log(max(0.7, most))))
    side = min(round(SIDE * zoom), picture.width, picture.height)
    left, top = rng.randint(0, picture.width - side), rng.randint(0, picture.height - side)
    part = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side)))
    if rng.random() < 0.1:
        part = np.repeat(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    if rng.random() < 0.15:
        part = cv2.GaussianBlur(part, (0, 0), rng.uniform(2, 12))
    if rng.random() < 0.12:
        part = (part * rng.uniform(0.1, 0.5)).astype(np.uint8)
    return np.ascontiguousarray(part)


def page(rng: random.Random) -> Pixels:
    """Paper or a window, perhaps with rules, an empty table, boxes, check boxes and dots."""
    light = rng.random() < 0.7
    base = tuple(rng.randint(225, 255) if light else rng.randint(10, 70) for _ in range(3))
    image = Image.new("RGB", (SIDE, SIDE), base)
    canvas = ImageDraw.Draw(image)

    def ink() -> tuple[int, ...]:
        return tuple(rng.randint(0, 255) for _ in range(3)) if rng.random() < 0.3 else (rng.randint(60, 200),) * 3

    if rng.random() < 0.5:
        step, across, colour = rng.randint(14, 70), rng.randint(30, 140), ink()
        for y in range(rng.randint(0, step), SIDE, step):
            canvas.line((0, y, SIDE, y), colour, rng.choice((1, 1, 2)))
        if rng.random() < 0.6:
            for x in range(rng.randint(0, across), SIDE, across):
                canvas.line((x, 0, x, SIDE), colour)
    for _ in range(rng.choice((0, 0, 2, 5))):
        x, y, w, h = rng.randint(0, SIDE), rng.randint(0, SIDE), rng.randint(6, 160), rng.randint(6, 80)
        shape = rng.choice((canvas.rectangle, canvas.ellipse, canvas.rounded_rectangle))
        shape((x, y, x + w, y + h), fill=ink() if rng.random() < 0.5 else None, outline=ink())
    pixels = np.asarray(image)
    if rng.random() < 0.4:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(1, 6), pixels.shape)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def add_logo(rng: random.Random, materials: Materials, picture: Pixels, truth: Truth) -> Pixels:
    """The picture with a translucent logo."""
    with Image.open(rng.choice(materials.logos)) as file:
        logo = file.convert("RGBA")
    size = rng.uniform(24, 200)
    logo.thumbnail((size, size))
    alpha = np.asarray(logo, np.float32)[:, :, 3] / 255
    if alpha.mean() < 0.1 or alpha.min() > 0.5 or min(logo.size) < 12:
        return picture
    left, top = rng.randint(-10, SIDE - 20), rng.randint(-10, SIDE - 20)
    canvas = np.zeros((SIDE, SIDE, 4), np.float32)
    x, y = max(0, left), max(0, top)
    part = np.asarray(logo, np.float32)[y - top :, x - left :][: SIDE - y, : SIDE - x]
    canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    opacity = rng.uniform(0.2, 0.75)
    weight = canvas[:, :, 3:] / 255 * opacity
    colour = canvas[:, :, :3] if rng.random() < 0.4 else np.full((SIDE, SIDE, 3), rng.choice((255.0, 255.0, 0.0, 128.0)))
    kernel = np.ones((9, 9), np.uint8)
    truth.mark = np.maximum(truth.mark, cv2.morphologyEx((canvas[:, :, 3] > 40).astype(np.float32), cv2.MORPH_CLOSE, kernel))
    return np.rint(picture * (1 - weight) + colour * weight).astype(np.uint8)


def add_lines(rng: random.Random, materials: Materials, picture: Pixels, truth: Truth) -> Pixels:
    """The picture with some lines of text: single ones, a paragraph, or one that is tiled."""
    kind = rng.random()
    height = height_by_chance(rng)
    first = line_of(rng, materials, height, picture)
    captions: list[tuple[Caption, float]] = [(first, height)]
    if kind < 0.3 and height < 40:
        style = {**vars(first), "arc": 0.0, "angle": 0.0, "vertical": False, "x": rng.uniform(0.3, 0.6)}
        script = next(name for name, files in materials.fonts.items() if first.font in files)
        step = height * rng.uniform(1.5, 3.5) / SIDE
        captions = [
            (Caption(**{**style, "text": words(rng, script), "y": first.y + number * step}), height)
            for number in range(rng.randint(2, 12))
        ]
    elif kind < 0.38 and height < 40:
        across, down = rng.uniform(0.3, 0.7), max(0.12, height * rng.uniform(2, 5) / SIDE)
        short = first.text[:12]
        captions = [
            (Caption(**{**vars(first), "text": short, "arc": 0.0, "x": x * across, "y": y * down}), height)
            for x in range(4)
            for y in range(math.ceil(1 / down) + 1)
        ]
    elif kind < 0.8:
        for _ in range(rng.randint(0, 4)):
            other = height_by_chance(rng)
            captions.append((line_of(rng, materials, other, picture), other))
    taken = np.zeros((SIDE, SIDE), bool)
    for caption, size in captions:
        ground = picture
        if rng.random() < 0.1 and not caption.arc and not taken.any():
            ground = with_panel(rng, picture, caption)
        drawn, coverage = draw(ground, caption)
        covered = coverage > 0.1 * caption.opacity
        visible = np.abs(drawn.astype(np.int16) - ground).max(axis=2)[covered]
        if not covered.any() or (covered & taken).any() or np.percentile(visible, 70) < 7:
            continue
        picture = drawn
        taken |= covered
        truth.add_line(caption, np.where(covered, 1.0, 0.0).astype(np.float32), size)
    return picture


def with_panel(rng: random.Random, picture: Pixels, caption: Caption) -> Pixels:
    """The picture with a filled box where a line of text will be."""
    picture = picture.copy()
    x, y = caption.x * SIDE, caption.y * SIDE
    half, high = rng.uniform(20, 180), caption.size * rng.uniform(0.8, 1.5)
    light = sum(caption.colour) < 384
    colour = [rng.randint(170, 255) if light else rng.randint(0, 90) for _ in range(3)]
    cv2.rectangle(picture, (round(x - half), round(y - high)), (round(x + half), round(y + high)), colour, -1)
    return picture


def example(rng: random.Random, materials: Materials) -> Example:
    """One example."""
    picture, truth = ground_of(rng, materials), Truth()
    if rng.random() >= EMPTY:
        if materials.logos and rng.random() < 0.15:
            picture = add_logo(rng, materials, picture, truth)
        if rng.random() < 0.93:
            picture = add_lines(rng, materials, picture, truth)
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=rng.randint(45, 95))
        picture = np.asarray(Image.open(buffer))
    return Example(picture, truth.planes())
