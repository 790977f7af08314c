"""The buckets of the default suite: how the pictures of each are drawn, and how they are saved."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from flows.evaluation import pages, patterns, surfaces
from flows.evaluation.captions import (
    DARK,
    LIGHT,
    behind,
    eastern,
    fitted,
    handwriting,
    left_aligned,
    readable,
    typefaces,
)
from flows.evaluation.draw_text import Caption, extent
from flows.evaluation.pages import Scene
from flows.evaluation.surfaces import Size, any_surface, photograph
from flows.evaluation.words import PUNCTUATED, SENTENCES, SHORT, VERTICAL
from operators.rows.arrays import Pixels

Recipe = Callable[[random.Random, str, int], Scene]
"""Draws one picture: random numbers, set, and the picture's number in its bucket and set."""


class Format(NamedTuple):
    """How a picture is saved; `subsampled` is whether the colours of a JPEG are halved (4:2:0)."""

    extension: str
    quality: int = 0
    subsampled: bool = False


PNG = Format("png")
SMOOTH = (Format("jpg", 90), Format("jpg", 75, True), Format("webp", 80), PNG,
          Format("jpg", 60, True), Format("jpg", 95), Format("webp", 70), Format("jpg", 85, True))  # fmt: skip
"""Formats of the pictures whose smooth places show every fault."""
MIXED = (PNG, Format("jpg", 85, True), PNG, Format("webp", 90), PNG, Format("jpg", 92), PNG, Format("jpg", 75, True))


def _size(rng: random.Random) -> Size:
    return rng.choice(((560, 420), (480, 480), (600, 400), (420, 560), (640, 440)))


def _font(rng: random.Random) -> str:
    return rng.choice([path for name, path in typefaces().items() if name not in ("hand", "serif thin")])


def _phrase(rng: random.Random, chosen: str) -> str:
    return rng.choice(rng.choice((SHORT, SENTENCES))[chosen])


def _lines(rng: random.Random, chosen: str, clean: Pixels, **style: object) -> list[Caption]:
    """One to three readable lines, in bands one below the other."""
    count, written = rng.randint(1, 3), []
    phrases = rng.sample((*SHORT[chosen], *SENTENCES[chosen]), count)
    for row, phrase in enumerate(phrases):
        y = (row + rng.uniform(0.35, 0.65)) / count
        caption = Caption(phrase, _font(rng), rng.randint(22, 50), rng.uniform(0.3, 0.7), y)
        written.append(readable(rng, fitted(replace(caption, **style), clean), clean))  # type: ignore[arg-type]
    return written


def _on(surface: Callable[[random.Random, Size], Pixels], rng: random.Random, chosen: str, number: int) -> Scene:
    clean = surface(rng, _size(rng))
    return Scene(clean, _lines(rng, chosen, clean))


def _page(page: Callable[[random.Random, Size, str], Scene], rng: random.Random, chosen: str, number: int) -> Scene:
    scene = page(rng, rng.choice(((640, 440), (560, 420), (720, 460))), chosen)
    return scene if number % 4 != 3 else Scene(pages.noisy(rng, scene.clean, 1.5), scene.captions)


def drop_shadow(rng: random.Random, chosen: str, number: int) -> Scene:
    """Letters with a blurred shadow below and to the right."""
    clean = any_surface(rng, _size(rng), chosen, number)
    return Scene(clean, _lines(rng, chosen, clean, shadow=rng.randint(2, 6)))


def glow(rng: random.Random, chosen: str, number: int) -> Scene:
    """Letters with a light around them."""
    clean = any_surface(rng, _size(rng), chosen, number)
    light = rng.choice(((255, 255, 255), (90, 200, 255), (255, 120, 200), (10, 10, 14)))
    return Scene(clean, _lines(rng, chosen, clean, glow=rng.randint(4, 9), glow_colour=light))


def outline(rng: random.Random, chosen: str, number: int) -> Scene:
    """Letters with a line around them."""
    clean = any_surface(rng, _size(rng), chosen, number)
    return Scene(clean, _lines(rng, chosen, clean, outline=rng.randint(2, 5)))


def text_box(rng: random.Random, chosen: str, number: int) -> Scene:
    """Letters in an opaque or half transparent box, which stays when they go."""
    clean = any_surface(rng, _size(rng), chosen, number)
    lines = _lines(rng, chosen, clean)
    shade = Image.new("RGBA", (clean.shape[1], clean.shape[0]), (0, 0, 0, 0))
    fill, ink = rng.choice((((0, 0, 0), LIGHT), ((255, 255, 255), DARK), ((200, 30, 40), LIGHT), ((250, 220, 60), DARK)))
    opacity = 255 if number % 2 else rng.randint(110, 190)
    for line in lines:
        across, down = extent(line)
        x, y = line.x * clean.shape[1], line.y * clean.shape[0]
        box = (x - across / 2 - 10, y - down / 2 - 7, x + across / 2 + 10, y + down / 2 + 7)
        ImageDraw.Draw(shade).rounded_rectangle(box, rng.choice((0, 8)), fill=(*fill, opacity))
    boxed = Image.fromarray(clean).convert("RGBA")
    boxed.alpha_composite(shade)
    return Scene(np.asarray(boxed.convert("RGB")), [replace(line, colour=ink) for line in lines])


def speech_bubbles(rng: random.Random, chosen: str, number: int) -> Scene:
    """A page of a comic."""
    return pages.comic_page(rng, rng.choice(((520, 760), (600, 800), (480, 700))), chosen)


def vertical_text(rng: random.Random, chosen: str, number: int) -> Scene:
    """Chinese and Japanese in columns, over drawings and other places."""
    clean = pages.comic_panel(rng, (460, 600), number % 4 == 1) if number % 2 else any_surface(rng, (460, 600), chosen, number)
    written, outlined = [], number % 2 == 1 or rng.random() < 0.5
    for column in range(rng.randint(1, 3)):
        text = VERTICAL[chosen][(number + column) % 8]
        caption = Caption(text, eastern(), rng.randint(28, 54), 0.82 - 0.24 * column, rng.uniform(0.3, 0.6), vertical=True)
        caption = fitted(replace(caption, outline=3 if outlined else 0), clean)
        written.append(readable(rng, caption, clean, (LIGHT, DARK)))
    return Scene(clean, written)


def faces(rng: random.Random, chosen: str, number: int) -> Scene:
    """A person or a cat with text over or beside the face; the sets show other cuts of the same."""
    from skimage import data

    parts = ((data.astronaut(), 0.12, 0.0, 0.62), (data.camera(), 0.2, 0.06, 0.55), (data.chelsea(), 0.1, 0.0, 0.98))
    picture, left, top, share = parts[(0, 0, 1, 2)[number % 4]]
    rgb = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    side = round(share * min(rgb.shape[:2]) * rng.uniform(0.85, 1))
    x, y = round((left + rng.uniform(0, 0.06)) * rgb.shape[1]), round(top * rgb.shape[0])
    cut = rgb[y : y + side, x : x + side]
    if chosen == "report":
        cut = cut[:, ::-1]
    image = Image.fromarray(np.ascontiguousarray(cut)).resize((440, 440), Image.Resampling.LANCZOS)
    clean = np.asarray(image.convert("L").convert("RGB") if chosen == "promise" else image)
    over = Caption(
        _phrase(rng, chosen), _font(rng), rng.randint(24, 44), 0.5, rng.uniform(0.3, 0.6), outline=rng.choice((0, 2))
    )
    beside = Caption(
        rng.choice(SHORT[chosen]), _font(rng), rng.randint(18, 30), rng.uniform(0.1, 0.9), rng.choice((0.06, 0.92))
    )
    written = [over, beside][number % 2 :]
    return Scene(clean, [readable(rng, fitted(line, clean), clean, (LIGHT, DARK, (250, 214, 50))) for line in written])


def curved_text(rng: random.Random, chosen: str, number: int) -> Scene:
    """A badge, or lines along an arc."""
    if number % 2 == 0:
        return pages.badge(rng, (460, 460), chosen, number // 2)
    clean = any_surface(rng, _size(rng), chosen, number)
    arc = rng.choice((-1, 1)) * rng.uniform(50, 120)
    caption = Caption(_phrase(rng, chosen), _font(rng), rng.randint(28, 44), 0.5, rng.uniform(0.35, 0.65), arc=arc)
    return Scene(clean, [readable(rng, fitted(caption, clean), clean)])


def handwritten(rng: random.Random, chosen: str, number: int) -> Scene:
    """Words by hand on paper, walls and photographs."""
    size = _size(rng)
    clean = pages.noisy(rng, surfaces.plain_wall(rng, size), 1) if number % 2 else any_surface(rng, size, chosen, number)
    return Scene(clean, _lines(rng, chosen, clean, font=handwriting()[number % 3 == 2], size=rng.randint(34, 60)))


def tall_strip(rng: random.Random, chosen: str, number: int) -> Scene:
    """A strip of panels to scroll down."""
    if number % 2:
        return pages.comic_page(rng, (400, rng.choice((2400, 3000))), chosen, 6)
    parts = [any_surface(rng, (400, 500), chosen, part + number) for part in range(5)]
    clean = np.concatenate(parts)
    rows = [
        Caption(_phrase(rng, chosen), _font(rng), rng.randint(22, 40), 0.5, (part + rng.uniform(0.2, 0.8)) / 5)
        for part in range(5)
    ]
    return Scene(clean, [readable(rng, fitted(row, clean), clean) for row in rows])


def wide_strip(rng: random.Random, chosen: str, number: int) -> Scene:
    """A banner or panorama."""
    size = (rng.choice((2400, 3000)), 300)
    if number % 2:
        clean = np.concatenate([any_surface(rng, (size[0] // 4, 300), chosen, part + number) for part in range(4)], axis=1)
    else:
        clean = rng.choice((surfaces.smooth_sky, surfaces.plain_wall))(rng, size)
    count = rng.randint(2, 4)
    lines = [
        Caption(_phrase(rng, chosen), _font(rng), rng.randint(26, 80), (part + 0.5) / count, rng.uniform(0.3, 0.7))
        for part in range(count)
    ]
    return Scene(
        clean, [readable(rng, fitted(line, clean, 0.9 / count if len(line.text) > 14 else 0.9), clean) for line in lines]
    )


def tiny_text(rng: random.Random, chosen: str, number: int) -> Scene:
    """Letters of 8 to 13 pixels."""
    clean, written = any_surface(rng, _size(rng), chosen, number), []
    for row in range(rng.randint(2, 5)):
        caption = Caption(
            _phrase(rng, chosen),
            typefaces()[rng.choice(("sans", "serif", "sans bold"))],
            rng.randint(8, 13),
            y=0.12 + 0.17 * row,
        )
        caption = left_aligned(caption, rng.uniform(0.05, 0.5) * clean.shape[1], clean)
        written.append(readable(rng, fitted(caption, clean), clean, (LIGHT, DARK)))
    return Scene(clean, written)


def punctuation(rng: random.Random, chosen: str, number: int) -> Scene:
    """Lines with small marks."""
    size, fonts = _size(rng), typefaces()
    clean = (
        (surfaces.plain_wall, surfaces.studio_white, surfaces.smooth_sky)[number % 3](rng, size)
        if number % 4
        else photograph(rng, size, chosen, number)
    )
    texts = [PUNCTUATED[chosen][(number + row) % 8] for row in range(3)]
    lines = [
        Caption(
            text,
            fonts[rng.choice(("sans", "serif", "sans bold"))],
            rng.randint(18, 40),
            rng.uniform(0.35, 0.65),
            0.2 + 0.3 * row,
        )
        for row, text in enumerate(texts)
    ]
    return Scene(clean, [readable(rng, fitted(line, clean), clean) for line in lines])


def watermark(rng: random.Random, chosen: str, number: int) -> Scene:
    """Translucent words, one across the picture or many over all of it."""
    clean = any_surface(rng, _size(rng), chosen, number)
    word, opacity, angle = rng.choice(SHORT[chosen]), rng.uniform(0.35, 0.7), rng.choice((0.0, 25.0, 35.0, -20.0))
    if number % 3 == 2:
        places = [(0.2 + 0.3 * column + 0.06 * (row % 2), 0.2 + 0.3 * row) for row in range(3) for column in range(3)]
        marks = [Caption(word, _font(rng), 20, x, y, opacity=opacity, angle=angle) for x, y in places]
        marks = [replace(mark, font=marks[0].font) for mark in marks]
    else:
        marks = [Caption(word, _font(rng), rng.randint(44, 80), opacity=opacity, angle=angle)]
    inks = (LIGHT, DARK, (128, 128, 128))
    colour = readable(rng, marks[0], clean, inks).colour
    return Scene(clean, [replace(fitted(mark, clean), colour=colour) for mark in marks])


def low_contrast(rng: random.Random, chosen: str, number: int) -> Scene:
    """Letters 10 to 25 grey levels from what lies behind them, on even places."""
    clean, written = (surfaces.plain_wall, surfaces.smooth_sky)[number % 2](rng, _size(rng)), []
    for row, phrase in enumerate(rng.sample((*SHORT[chosen], *SENTENCES[chosen]), rng.randint(1, 2))):
        caption = fitted(Caption(phrase, _font(rng), rng.randint(26, 50), rng.uniform(0.3, 0.7), 0.25 + 0.35 * row), clean)
        colour, step = behind(clean, caption).mean(axis=(0, 1)), rng.uniform(10, 25)
        red, green, blue = (round(value) for value in np.clip(colour + (step if colour.mean() < 128 else -step), 0, 255))
        written.append(replace(caption, colour=(red, green, blue)))
    return Scene(clean, written)


def _sound(rng: random.Random, chosen: str, number: int) -> Scene:
    return pages.sound_word(rng, rng.choice(((560, 420), (480, 560), (640, 460))), chosen, number)


def _without(pattern: Callable[[random.Random, Size, int], Pixels], rng: random.Random, chosen: str, number: int) -> Scene:
    return Scene(pattern(rng, _size(rng), number), [])


def _photograph(rng: random.Random, chosen: str, number: int) -> Scene:
    return Scene(patterns.plain_photograph(rng, _size(rng), chosen, number), [])


EVERYDAY: dict[str, tuple[Recipe, tuple[Format, ...]]] = {
    "smooth sky": (partial(_on, surfaces.smooth_sky), SMOOTH),
    "plain wall": (partial(_on, surfaces.plain_wall), SMOOTH),
    "bokeh": (partial(_on, surfaces.bokeh), SMOOTH),
    "studio white": (partial(_on, surfaces.studio_white), SMOOTH),
    "table": (partial(_page, pages.table), MIXED),
    "form": (partial(_page, pages.form), MIXED),
    "screenshot": (partial(_page, pages.screenshot), MIXED),
    "drop shadow": (drop_shadow, MIXED),
    "glow": (glow, MIXED),
    "outline": (outline, MIXED),
    "text box": (text_box, MIXED),
    "speech bubbles": (speech_bubbles, MIXED),
    "vertical text": (vertical_text, MIXED),
    "sound words": (_sound, MIXED),
    "faces": (faces, MIXED),
    "curved text": (curved_text, MIXED),
    "handwriting": (handwritten, MIXED),
    "tall strip": (tall_strip, MIXED),
    "wide strip": (wide_strip, MIXED),
    "tiny text": (tiny_text, MIXED),
    "punctuation": (punctuation, MIXED),
    "watermark": (watermark, MIXED),
    "low contrast": (low_contrast, SMOOTH),
}
"""Bucket to how its pictures are drawn and saved."""

TEXT_FREE: dict[str, Recipe] = {
    "no text: foliage": partial(_without, patterns.foliage),
    "no text: blinds and fences": partial(_without, patterns.blinds_and_fences),
    "no text: abstract": partial(_without, patterns.abstract),
    "no text: icons": partial(_without, patterns.icons),
    "no text: photo": _photograph,
}
"""Bucket to how its pictures, which show no text at all, are drawn."""
