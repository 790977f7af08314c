"""Pages with their captions: tables, forms, windows, comics and badges."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from flows.evaluation import captions
from flows.evaluation.captions import DARK, LIGHT, fitted, left_aligned, typefaces
from flows.evaluation.draw_text import Caption, extent
from flows.evaluation.patterns import draw_icon
from flows.evaluation.surfaces import Size, numbers_of, smooth_sky
from flows.evaluation.words import LABELS, SENTENCES, SHORT, SOUNDS
from operators.rows.arrays import Pixels

Box = tuple[float, float, float, float]


class Scene(NamedTuple):
    """A clean picture, and the captions to draw on it."""

    clean: Pixels
    captions: list[Caption]


def _sheet(size: Size, colour: tuple[int, int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, colour)
    return image, ImageDraw.Draw(image)


def _amount(rng: random.Random) -> str:
    return rng.choice(
        (
            f"{rng.randint(1, 999)}.{rng.randint(10, 99)}",
            f"{rng.randint(2, 98)} %",
            f"{rng.randint(1, 12)}:{rng.randint(10, 59)}",
        )
    )


def table(rng: random.Random, size: Size, chosen: str) -> Scene:
    """A table with a heading, ruled or striped rows, words on the left and numbers on the right."""
    rows, columns, margin = rng.randint(5, 8), rng.randint(3, 4), 16
    image, canvas = _sheet(size, rng.choice(((255, 255, 255), (250, 248, 242))))
    width, height = (size[0] - 2 * margin) / columns, (size[1] - 2 * margin) / (rows + 1)
    head = rng.choice(((38, 70, 120), (222, 228, 236), (60, 110, 90)))
    frame = (margin, margin, size[0] - margin, margin + round(height) * (rows + 1))
    striped, ruled, fonts = rng.random() < 0.5, rng.random() < 0.7, typefaces()
    height = round(height)
    for row in range(1, rows + 1):
        top = margin + row * height
        if striped and row % 2:
            canvas.rectangle((frame[0], top, frame[2], top + height), fill=(232, 238, 246))
        canvas.line((frame[0], top, frame[2], top), fill=(150, 156, 166), width=1)
    canvas.rectangle((frame[0], frame[1], frame[2], frame[1] + height), fill=head)
    canvas.rectangle(frame, outline=(110, 116, 128), width=rng.choice((1, 2)))
    for column in range(1, columns if ruled else 0):
        canvas.line((margin + column * width, margin, margin + column * width, frame[3]), fill=(150, 156, 166), width=1)
    clean, written = np.asarray(image), []
    labels, letters = rng.sample(LABELS[chosen], len(LABELS[chosen])), rng.choice((15, 16, 18))
    for row in range(rows + 1):
        for column in range(columns):
            word = labels.pop() if row == 0 or column == 0 else _amount(rng)
            font = fonts["sans bold" if row == 0 else "sans"]
            ink = LIGHT if row == 0 and sum(head) < 400 else DARK
            cell = Caption(word, font, letters, y=(margin + (row + 0.5) * height) / size[1], colour=ink)
            right = margin + (column + 1) * width - 8 - extent(cell)[0]
            left = margin + column * width + 6
            written.append(left_aligned(cell, left if row == 0 or column == 0 else right, clean))
    return Scene(clean, written)


def form(rng: random.Random, size: Size, chosen: str) -> Scene:
    """A form: labels, boxes or lines to write on, entries by hand, boxes to tick and a button."""
    image, canvas = _sheet(size, (rng.randint(238, 255), rng.randint(240, 255), rng.randint(236, 255)))
    start = rng.uniform(0.3, 0.42) * size[0]
    rows, fonts, boxed = rng.randint(4, 6), typefaces(), rng.random() < 0.6
    step, written, entries = size[1] / (rows + 1.4), [], (captions.handwriting()[0], fonts["sans"])
    for row in range(rows):
        middle = round((row + 0.8) * step)
        field = (start, middle - 0.3 * step, 0.94 * size[0], middle + 0.3 * step)
        if boxed:
            canvas.rectangle(field, fill=(255, 255, 255), outline=(140, 146, 156), width=1)
        else:
            canvas.line((field[0], field[3], field[2], field[3]), fill=(90, 90, 100), width=1)
        written.append((Caption(LABELS[chosen][row], fonts["sans"], 17, y=middle / size[1], colour=DARK), 0.05 * size[0]))
        if rng.random() < 0.75:
            entry = rng.choice((_amount(rng), SHORT[chosen][row]))
            font = entries[0 if rng.random() < 0.5 else 1]
            written.append(
                (Caption(entry, font, 22 if font == entries[0] else 18, y=middle / size[1], colour=(20, 40, 130)), field[0] + 8)
            )
    bottom = round((rows + 0.75) * step)
    for column in range(2):
        left = (0.05 + 0.3 * column) * size[0]
        canvas.rectangle((left, bottom - 8, left + 16, bottom + 8), outline=(60, 60, 70), width=2)
        if column:
            canvas.line((left + 3, bottom, left + 7, bottom + 4, left + 13, bottom - 5), fill=(30, 110, 60), width=2)
        written.append((Caption(LABELS[chosen][6 + column], fonts["sans"], 15, y=bottom / size[1], colour=DARK), left + 24))
    button = (0.7 * size[0], bottom - 16, 0.94 * size[0], bottom + 16)
    canvas.rounded_rectangle(button, 6, fill=(36, 100, 190))
    clean = np.asarray(image)
    press = Caption(LABELS[chosen][10], fonts["sans bold"], 17, 0.82, bottom / size[1], LIGHT)
    return Scene(clean, [*(left_aligned(caption, left, clean) for caption, left in written), press])


def screenshot(rng: random.Random, size: Size, chosen: str) -> Scene:
    """A window: a bar, a side menu with icons, rows between lines, and underlined words."""
    dark = rng.random() < 0.35
    paper, ink, line = ((30, 32, 38), (226, 228, 232), (62, 66, 74)) if dark else ((255, 255, 255), DARK, (216, 220, 226))
    image, canvas = _sheet(size, paper)
    width, height, fonts, side = *size, typefaces(), 0.28 * size[0]
    canvas.rectangle((0, 0, width, 36), fill=(52, 56, 66) if dark else (228, 231, 236))
    for dot, colour in enumerate(((236, 96, 88), (244, 190, 72), (98, 196, 84))):
        canvas.ellipse((12 + 20 * dot, 12, 24 + 20 * dot, 24), fill=colour)
    canvas.rectangle((0, 36, side, height), fill=(40, 43, 50) if dark else (244, 246, 249))
    canvas.line((side, 36, side, height), fill=line)
    written = [(Caption(SHORT[chosen][rng.randrange(8)], fonts["sans bold"], 15, y=18 / height, colour=ink), 0.42 * width)]
    for row in range(5):
        y = 64 + 34 * row
        draw_icon(canvas, rng.randrange(12), (14, y - 8, 30, y + 8), (90, 130, 190), 2)
        written.append((Caption(LABELS[chosen][5 + row], fonts["sans"], 14, y=y / height, colour=ink), 38))
    link, step = (120, 170, 255) if dark else (20, 90, 200), rng.randint(46, 58)
    titles = rng.sample(SENTENCES[chosen], 8)
    for row in range(int((height - 60) / step)):
        y = 50 + step * row
        canvas.line((side + 14, y + step - 6, width - 14, y + step - 6), fill=line)
        draw_icon(canvas, rng.randrange(12), (side + 18, y + 6, side + 38, y + 26), (120, 126, 136), 2)
        text = titles[row % 8]
        linked = rng.random() < 0.4
        title = Caption(text, fonts["sans"], 15, y=(y + 10) / height, colour=link if linked else ink, underlined=linked)
        written.append((title, side + 50))
        if step > 50:
            written.append((Caption(_amount(rng), fonts["sans"], 12, y=(y + 30) / height, colour=(128, 132, 140)), side + 50))
    clean = np.asarray(image)
    return Scene(clean, [fitted(left_aligned(caption, left, clean), clean, 0.98) for caption, left in written])


def _softened(image: Image.Image) -> Pixels:
    """The drawing with the soft edges of a scan."""
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.6)))


def comic_panel(rng: random.Random, size: Size, coloured: bool) -> Pixels:
    """A drawing in ink: halftone dots, speed lines or a town, and figures."""
    return _softened(_ink_panel(rng, size, coloured))


def _ink_panel(rng: random.Random, size: Size, coloured: bool) -> Image.Image:
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn, cell = rng.uniform(0.3, 1.2), rng.uniform(6, 10)
    u, v = (x * math.cos(turn) + y * math.sin(turn)) / cell, (y * math.cos(turn) - x * math.sin(turn)) / cell
    dots = np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.16 + 0.42 * (y / height if rng.random() < 0.5 else 1 - y / height)
    under, over = (
        ((rng.choice(((250, 226, 150), (176, 220, 244), (250, 200, 190)))), (236, 120, 90))
        if coloured
        else ((255, 255, 255), (120, 120, 120))
    )
    picture = np.where(dots[:, :, None], np.array(over, np.uint8), np.array(under, np.uint8))
    image = Image.fromarray(picture.astype(np.uint8))
    canvas = ImageDraw.Draw(image)
    black, middle = (16, 16, 18), (rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.6) * height)
    if rng.random() < 0.5:
        for _ in range(rng.randint(40, 80)):
            angle, start = rng.uniform(0, 2 * math.pi), rng.uniform(0.35, 0.6) * min(size)
            ends = [
                (middle[0] + r * math.cos(angle + a), middle[1] + r * math.sin(angle + a))
                for r, a in ((start, 0), (1.2 * max(size), 0.008), (1.2 * max(size), -0.008))
            ]
            canvas.polygon(ends, fill=black)
    else:
        left = 0.0
        while left < width:
            wide, tall = rng.uniform(0.08, 0.18) * width, rng.uniform(0.2, 0.55) * height
            wall = tuple(rng.randint(120, 220) for _ in range(3)) if coloured else (235, 235, 235)
            canvas.rectangle((left, height - tall, left + wide, height), fill=wall, outline=black, width=3)
            for row in range(int(tall / 26)):
                canvas.rectangle(
                    (left + 0.25 * wide, height - tall + 10 + 26 * row, left + 0.7 * wide, height - tall + 22 + 26 * row),
                    outline=black,
                    width=2,
                )
            left += wide
    for _ in range(rng.randint(1, 2)):
        _draw_figure(canvas, rng, (rng.uniform(0.2, 0.8) * width, height), 0.32 * min(size), coloured)
    return image


def _draw_figure(canvas: ImageDraw.ImageDraw, rng: random.Random, foot: tuple[float, float], r: float, coloured: bool) -> None:
    """A head and shoulders: hair, eyes, mouth and coat in outlines."""
    x, y, black = foot[0], foot[1] - 1.1 * r, (16, 16, 18)
    skin, coat = ((246, 208, 170), (60, 110, 180)) if coloured else ((250, 250, 250), (70, 70, 74))
    canvas.rounded_rectangle((x - 0.9 * r, y + 0.45 * r, x + 0.9 * r, y + 3 * r), 0.4 * r, fill=coat, outline=black, width=4)
    canvas.ellipse((x - 0.5 * r, y - 0.62 * r, x + 0.5 * r, y + 0.62 * r), fill=skin, outline=black, width=4)
    canvas.chord((x - 0.56 * r, y - 0.72 * r, x + 0.56 * r, y + 0.4 * r), 180, 360, fill=black)
    for side in (-0.2, 0.2):
        canvas.ellipse((x + side * r - 5, y + 0.02 * r, x + side * r + 5, y + 0.02 * r + 12), fill=black)
    canvas.arc(
        (x - 0.2 * r, y + 0.12 * r, x + 0.2 * r, y + 0.42 * r),
        rng.choice((20, 200)),
        rng.choice((160, 340)),
        fill=black,
        width=3,
    )


def comic_page(rng: random.Random, size: Size, chosen: str, rows: int = 2) -> Scene:
    """Panels one below the other, each with a speech bubble of two or three lines."""
    coloured, gap = rng.random() < 0.5, 12
    page, canvas = _sheet(size, (255, 255, 255))
    tall, written, fonts = (size[1] - gap * (rows + 1)) // rows, [], (captions.handwriting()[0], typefaces()["round"])
    font = rng.choice(fonts)
    for row in range(rows):
        top = gap + row * (tall + gap)
        page.paste(_ink_panel(rng, (size[0] - 2 * gap, tall), coloured), (gap, top))
        canvas.rectangle((gap, top, size[0] - gap, top + tall), outline=(16, 16, 18), width=4)
        words = rng.choice(SENTENCES[chosen]).upper().split()
        lines = [" ".join(words[start : start + 2]) for start in range(0, len(words), 2)]
        letters = [Caption(line, font, 24, colour=DARK) for line in lines]
        line_height = 30
        half = (max(extent(letter)[0] for letter in letters) * 0.72, (line_height * len(lines) / 2 + 6) * 1.35)
        x = rng.uniform(gap + half[0] + 8, size[0] - gap - half[0] - 8)
        y = top + half[1] + rng.uniform(8, max(9, 0.3 * tall))
        tail = (x + rng.uniform(-30, 30), y + half[1] + 46)
        for grow, ink in ((3, (16, 16, 18)), (0, (255, 255, 255))):
            canvas.polygon(
                (x - 16 - grow, y + 0.7 * half[1], x + 16 + grow, y + 0.7 * half[1], tail[0], tail[1] + 2 * grow), fill=ink
            )
            canvas.ellipse((x - half[0] - grow, y - half[1] - grow, x + half[0] + grow, y + half[1] + grow), fill=ink)
        for number, letter in enumerate(letters):
            middle = y + (number - (len(lines) - 1) / 2) * line_height
            written.append(Caption(letter.text, font, 24, x / size[0], middle / size[1], DARK))
    return Scene(_softened(page), written)


def sound_word(rng: random.Random, size: Size, chosen: str, number: int) -> Scene:
    """A drawing with a big outlined slanted sound word over it."""
    clean, fonts = comic_panel(rng, size, number % 2 == 0), typefaces()
    fill, line = rng.choice((((255, 220, 40), DARK), (LIGHT, DARK), ((220, 40, 40), LIGHT), ((20, 20, 24), LIGHT)))
    word = Caption(SOUNDS[chosen][number % 8], fonts[rng.choice(("round", "sans bold", "serif bold"))], rng.randint(80, 130),
                   rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.6), fill, outline=rng.randint(4, 8), outline_colour=line,
                   angle=rng.choice((-18.0, -10.0, 8.0, 15.0, 24.0)))  # fmt: skip
    return Scene(clean, [fitted(word, clean)])


def badge(rng: random.Random, size: Size, chosen: str, number: int) -> Scene:
    """A round badge with a line along its upper and one along its lower edge."""
    width, height = size[0] * 2, size[1] * 2
    image = (
        Image.fromarray(smooth_sky(rng, size)).resize((width, height))
        if number % 2
        else Image.new("RGB", (width, height), (244, 240, 230))
    )
    canvas = ImageDraw.Draw(image)
    radius, ring = 0.46 * min(size), rng.randint(52, 64)
    edge, inner = rng.choice(
        (((30, 60, 110), (250, 250, 245)), ((150, 40, 40), (250, 226, 180)), ((240, 200, 60), (40, 40, 46)))
    )
    for r, colour in ((radius, edge), (radius - 4, inner), (radius - 8, edge), (radius - ring, inner)):
        canvas.ellipse((width / 2 - 2 * r, height / 2 - 2 * r, width / 2 + 2 * r, height / 2 + 2 * r), fill=colour)
    side = radius * 0.7
    draw_icon(canvas, rng.randrange(12), (width / 2 - side, height / 2 - side, width / 2 + side, height / 2 + side), edge, 18)
    clean = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
    middle = radius - 8 - (ring - 8) / 2
    ink = DARK if sum(edge) > 400 else LIGHT
    words = (SHORT[chosen][number % 8].upper(), SHORT[chosen][(number + 3) % 8].upper())
    return Scene(clean, [_along(word, middle, sign, ink, size) for word, sign in zip(words, (1, -1), strict=True)])


def _along(word: str, radius: float, sign: int, ink: tuple[int, int, int], size: Size) -> Caption:
    """A caption along a circle around the picture's middle, at its top (sign 1) or bottom (-1)."""
    caption = Caption(word, typefaces()["sans bold"], 30, colour=ink)
    across, down = extent(caption)
    half = across / radius / 2
    outer, lowest = radius + down / 2, (radius - down / 2 if half < math.pi / 2 else radius + down / 2) * math.cos(half)
    y = size[1] / 2 - sign * (outer + lowest) / 2
    return Caption(word, caption.font, caption.size, 0.5, y / size[1], ink, arc=sign * math.degrees(2 * half))


def noisy(rng: random.Random, clean: Pixels, deviation: float) -> Pixels:
    """The picture with a camera's grain."""
    grain = numbers_of(rng).normal(0, deviation, clean.shape)
    return np.clip(np.rint(clean + grain), 0, 255).astype(np.uint8)
