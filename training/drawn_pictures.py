"""Drawn pictures for training, without text: windows, tables, charts, maps, comics, diagrams,
icons, pages and posters.

The evaluation suite draws its own; these come from other code, other colours and other seeds.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from operators.rows.arrays import Pixels

Colour = tuple[int, int, int]
Drawing = Callable[[random.Random, int], Pixels]
"""Draws a picture of so many pixels a side, uint8 side x side x 3."""


def _colour(rng: random.Random) -> Colour:
    return (rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255))


def _mixed(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def _paper(rng: random.Random) -> tuple[Colour, Colour]:
    """The colours of a ground and of the ink on it."""
    mood = rng.random()
    if mood < 0.5:
        light = rng.randint(236, 255)
        paper = (light, light, light) if rng.random() < 0.5 else (light, rng.randint(232, 255), rng.randint(228, 255))
        return paper, _mixed((0, 0, 0), _colour(rng), rng.uniform(0, 0.5))
    if mood < 0.75:
        dark = rng.randint(12, 60)
        return (dark, dark + rng.randint(0, 8), dark + rng.randint(0, 16)), _mixed(
            (255, 255, 255), _colour(rng), rng.uniform(0, 0.4)
        )
    paper = _colour(rng)
    return paper, ((0, 0, 0) if sum(paper) > 380 else (255, 255, 255))


def _sheet(side: int, colour: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (side, side), colour)
    return image, ImageDraw.Draw(image)


def _box(rng: random.Random, side: int, least: int = 10) -> tuple[int, int, int, int]:
    x, y = rng.randint(-side // 4, side - least), rng.randint(-side // 4, side - least)
    return x, y, x + rng.randint(least, side), y + rng.randint(least, side)


def _icon(canvas: ImageDraw.ImageDraw, rng: random.Random, box: tuple[int, int, int, int], ink: Colour, line: int) -> None:
    """A pictogram made of a few strokes and shapes in a square."""
    left, top, side = box[0], box[1], box[2] - box[0]

    def at(count: int) -> list[tuple[float, float]]:
        return [(left + rng.randint(0, 4) / 4 * side, top + rng.randint(0, 4) / 4 * side) for _ in range(count)]

    for _ in range(rng.randint(1, 3)):
        kind = rng.random()
        (x0, y0), (x1, y1) = at(2)
        corners = (min(x0, x1), min(y0, y1), max(x0, x1) + 2, max(y0, y1) + 2)
        if kind < 0.25:
            canvas.ellipse(corners, fill=ink if rng.random() < 0.4 else None, outline=ink, width=line)
        elif kind < 0.5:
            canvas.rectangle(corners, fill=ink if rng.random() < 0.4 else None, outline=ink, width=line)
        elif kind < 0.7:
            canvas.polygon(at(rng.randint(3, 5)), fill=ink)
        else:
            canvas.line(at(rng.randint(2, 5)), fill=ink, width=line, joint="curve")


def window(rng: random.Random, side: int) -> Pixels:
    """A user interface: bars, panels, rows between lines, buttons, fields, icons and underlines."""
    paper, ink = _paper(rng)
    image, canvas = _sheet(side, paper)
    line, panel = _mixed(paper, ink, rng.uniform(0.06, 0.3)), _mixed(paper, ink, rng.uniform(0.03, 0.12))
    accent = _colour(rng)
    edge = rng.randint(0, side - 1)
    if rng.random() < 0.6:
        canvas.rectangle((-1, -1, edge, side) if rng.random() < 0.5 else (edge, -1, side, side), fill=panel)
        canvas.line((edge, 0, edge, side), fill=line, width=rng.choice((1, 1, 2)))
    if rng.random() < 0.6:
        bar = rng.randint(12, 60)
        canvas.rectangle((0, 0, side, bar), fill=rng.choice((panel, accent, _mixed(paper, ink, 0.2))))
        for dot in range(rng.choice((0, 0, 3))):
            canvas.ellipse((10 + 18 * dot, bar // 2 - 6, 22 + 18 * dot, bar // 2 + 6), fill=_colour(rng))
    step, start, kind = rng.randint(14, 56), rng.randint(0, 50), rng.random()
    for y in range(start, side, step):
        if kind < 0.55:
            canvas.line((rng.choice((0, edge, 14)) if rng.random() < 0.1 else 8, y, side, y), fill=line, width=1)
        elif kind < 0.7 and (y - start) // step % 2:
            canvas.rectangle((0, y, side, y + step - 1), fill=panel)
        if rng.random() < 0.5:
            size = max(6, min(step - 4, rng.randint(8, 26)))
            x = rng.choice((10, 14, edge + 10, side - 40))
            _icon(canvas, rng, (x, y + 3, x + size, y + 3 + size), rng.choice((ink, accent, line)), rng.choice((1, 2, 2)))
        if rng.random() < 0.25:
            x = rng.randint(0, side)
            canvas.line((x, y + step // 2, x + rng.randint(20, side), y + step // 2), fill=rng.choice((accent, ink)), width=1)
    for _ in range(rng.randint(0, 4)):
        x0, y0 = rng.randint(-10, side - 20), rng.randint(-10, side - 16)
        place = (x0, y0, x0 + rng.randint(30, 150), y0 + rng.randint(14, 50))
        fill, outline = rng.choice(
            ((accent, None), (paper, line), (panel, line), (_mixed(paper, accent, 0.2), accent), (_colour(rng), None))
        )
        canvas.rounded_rectangle(
            place, rng.choice((0, 0, 3, 6, 10, 25)), fill=fill, outline=outline, width=rng.choice((1, 1, 2))
        )
    return np.asarray(image)


def table(rng: random.Random, side: int) -> Pixels:
    """A table: ruled, striped or boxed, with a heading, cells in other colours and double lines."""
    paper, ink = _paper(rng)
    image, canvas = _sheet(side, paper)
    high, rule = rng.randint(14, 64), _mixed(paper, ink, rng.uniform(0.15, 1))
    stripe, head = _mixed(paper, _colour(rng), rng.uniform(0.05, 0.25)), rng.choice((_colour(rng), _mixed(paper, ink, 0.1)))
    left, top, width = rng.choice((0, 0, rng.randint(0, 30))), rng.randint(-20, 40), rng.choice((1, 1, 1, 2, 3))
    edges = [left]
    while edges[-1] < side:
        edges.append(edges[-1] + rng.randint(30, 140))
    striped, rows, columns = rng.random() < 0.5, rng.random() < 0.8, rng.random() < 0.7
    canvas.rectangle((left, top, side, top + high), fill=head)
    for number, y in enumerate(range(top + high, side, high)):
        if striped and number % 2:
            canvas.rectangle((left, y, side, y + high - 1), fill=stripe)
        if rng.random() < 0.1:
            x = rng.randrange(len(edges) - 1)
            canvas.rectangle((edges[x], y, edges[x + 1], y + high), fill=_mixed(paper, _colour(rng), 0.5))
        if rows:
            canvas.line((left, y, side, y), fill=rule, width=width)
    for x in edges if columns else ():
        canvas.line((x, top, x, side), fill=rule, width=width)
    if rng.random() < 0.3:
        canvas.line((left, top + high + 3, side, top + high + 3), fill=rule, width=1)
    return np.asarray(image)


def chart(rng: random.Random, side: int) -> Pixels:
    """A chart: a grid, axes, and bars, lines, areas, points or sectors."""
    paper, ink = _paper(rng)
    image, canvas = _sheet(side, paper)
    grid, axis = _mixed(paper, ink, rng.uniform(0.08, 0.3)), _mixed(paper, ink, rng.uniform(0.5, 1))
    step = rng.randint(14, 60)
    for place in range(rng.randint(0, 20), side, step):
        dashed = rng.random() < 0.15
        for start in range(0, side, 8 if dashed else side):
            canvas.line((start, place, start + (4 if dashed else side), place), fill=grid)
            if rng.random() < 0.5 or not dashed:
                canvas.line((place, start, place, start + (4 if dashed else side)), fill=grid)
    base, kind = rng.randint(side // 2, side + 20), rng.random()
    if kind < 0.35:
        wide, colours, x = rng.randint(8, 50), [_colour(rng) for _ in range(3)], rng.randint(-10, 30)
        while x < side:
            for colour in colours[: rng.randint(1, 3)]:
                tall = rng.randint(10, side)
                canvas.rectangle((x, base - tall, x + wide, base), fill=colour, outline=rng.choice((None, axis)))
                x += wide
            x += rng.randint(2, wide)
    elif kind < 0.65:
        for _ in range(rng.randint(1, 4)):
            pitch, y, colour = rng.randint(8, 40), rng.uniform(0, side), _colour(rng)
            points = [(x, y := y + rng.gauss(0, pitch / 2)) for x in range(-10, side + pitch, pitch)]
            if rng.random() < 0.3:
                canvas.polygon([*points, (side, side), (-10, side)], fill=_mixed(paper, colour, 0.5))
            canvas.line(points, fill=colour, width=rng.randint(1, 4), joint="curve")
            for x, y_of in points if rng.random() < 0.4 else ():
                canvas.ellipse((x - 3, y_of - 3, x + 3, y_of + 3), fill=colour)
    elif kind < 0.85:
        x, y, radius, angle = rng.randint(0, side), rng.randint(0, side), rng.randint(side // 5, side), 0.0
        while angle < 360:
            sweep = rng.uniform(15, 120)
            canvas.pieslice(
                (x - radius, y - radius, x + radius, y + radius),
                angle,
                angle + sweep,
                fill=_colour(rng),
                outline=rng.choice((None, paper)),
            )
            angle += sweep
        if rng.random() < 0.4:
            canvas.ellipse((x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2), fill=paper)
    else:
        for _ in range(rng.randint(20, 90)):
            x, y, r = rng.randint(0, side), rng.randint(0, side), rng.randint(1, 6)
            canvas.ellipse((x - r, y - r, x + r, y + r), fill=_colour(rng) if rng.random() < 0.2 else axis)
    left = rng.randint(0, side // 3)
    canvas.line((left, 0, left, side), fill=axis, width=rng.randint(1, 2))
    canvas.line((0, min(base, side - 3), side, min(base, side - 3)), fill=axis, width=rng.randint(1, 2))
    return np.asarray(image)


def chart_map(rng: random.Random, side: int) -> Pixels:
    """A map: areas around scattered places with borders, water, roads with edges, and squares of a
    grid.
    """
    numbers = np.random.default_rng(rng.getrandbits(32))
    places = numbers.uniform(0, side, (rng.randint(4, 26), 2))
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bend = cv2.resize(
        numbers.normal(0, 1, (2, 6, 6)).astype(np.float32).transpose(1, 2, 0), (side, side), interpolation=cv2.INTER_CUBIC
    )
    sway = rng.choice((0.0, 6.0, 14.0))
    distances = np.stack([np.hypot(x + sway * bend[..., 0] - a, y + sway * bend[..., 1] - b) for a, b in places])
    area = distances.argmin(axis=0)
    tone, land = rng.uniform(0.1, 0.9), _colour(rng)
    colours = np.array([_mixed(land, _colour(rng), tone) for _ in places], np.uint8)
    if rng.random() < 0.5:
        colours[numbers.random(len(places)) < 0.4] = _mixed((170, 210, 240), _colour(rng), 0.1)
    image = Image.fromarray(colours[area])
    canvas = ImageDraw.Draw(image)
    if rng.random() < 0.6:
        border = (np.diff(area, axis=0, prepend=area[:1]) != 0) | (np.diff(area, axis=1, prepend=area[:, :1]) != 0)
        border = cv2.dilate(border.astype(np.uint8), np.ones((rng.randint(1, 3),) * 2)) > 0
        image = Image.fromarray(
            np.where(border[..., None], np.array(_mixed((0, 0, 0), _colour(rng), 0.4), np.uint8), np.asarray(image))
        )
        canvas = ImageDraw.Draw(image)
    for _ in range(rng.randint(0, 5)):
        points, start = [], numbers.uniform(0, side, 2)
        heading = rng.uniform(0, 2 * math.pi)
        for _ in range(rng.randint(2, 12)):
            points.append((float(start[0]), float(start[1])))
            heading += rng.gauss(0, 0.4)
            start = start + rng.uniform(15, 60) * np.array([math.cos(heading), math.sin(heading)])
        wide, case = rng.randint(1, 8), rng.random() < 0.6
        if case:
            canvas.line(points, fill=_mixed((90, 90, 90), _colour(rng), 0.3), width=wide + 2, joint="curve")
        canvas.line(points, fill=rng.choice(((255, 255, 255), (250, 220, 110), _colour(rng))), width=wide, joint="curve")
    if rng.random() < 0.25:
        for place in range(rng.randint(0, 30), side, rng.randint(20, 60)):
            canvas.line((0, place, side, place), fill=(120, 150, 180))
            canvas.line((place, 0, place, side), fill=(120, 150, 180))
    return np.asarray(image)


def comic(rng: random.Random, side: int) -> Pixels:
    """A drawing in ink: dots or flat colour, hatching, speed lines, outlined shapes, bubbles,
    gutters.
    """
    ink = (rng.randint(0, 40),) * 3
    under, over = ((255, 255, 255), (rng.randint(80, 190),) * 3) if rng.random() < 0.5 else (_colour(rng), _colour(rng))
    y, x = np.mgrid[:side, :side].astype(np.float32)
    turn, cell = rng.uniform(0, 1.5), rng.uniform(4, 12)
    u, v = (x * math.cos(turn) + y * math.sin(turn)) / cell, (y * math.cos(turn) - x * math.sin(turn)) / cell
    kind = rng.random()
    if kind < 0.4:
        size = rng.uniform(0.12, 0.5) + rng.choice((0, rng.uniform(-0.4, 0.4))) * (y / side if rng.random() < 0.5 else x / side)
        spots = np.hypot(u % 1 - 0.5, v % 1 - 0.5) < size
    elif kind < 0.6:
        spots = u % 1 < rng.uniform(0.15, 0.6)
    else:
        spots = np.zeros((side, side), bool)
    image = Image.fromarray(np.where(spots[..., None], np.array(over, np.uint8), np.array(under, np.uint8)).astype(np.uint8))
    canvas = ImageDraw.Draw(image)
    if rng.random() < 0.35:
        middle = (rng.uniform(-0.2, 1.2) * side, rng.uniform(-0.2, 1.2) * side)
        for _ in range(rng.randint(12, 70)):
            angle, start, thick = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.6) * side, rng.uniform(0.002, 0.02)
            canvas.polygon(
                [
                    (middle[0] + r * math.cos(angle + a), middle[1] + r * math.sin(angle + a))
                    for r, a in ((start, 0), (2 * side, thick), (2 * side, -thick))
                ],
                fill=ink,
            )
    for _ in range(rng.randint(1, 7)):
        fill, width, box = (
            rng.choice((_colour(rng), (255, 255, 255), (235, 235, 235), ink, None)),
            rng.randint(1, 5),
            _box(rng, side),
        )
        shape = rng.random()
        if shape < 0.4:
            canvas.rectangle(box, fill=fill, outline=ink, width=width)
        elif shape < 0.75:
            canvas.ellipse(box, fill=fill, outline=ink, width=width)
        elif shape < 0.85:
            canvas.arc(box, rng.randint(0, 360), rng.randint(0, 360), fill=ink, width=width)
        else:
            canvas.line(
                [(rng.randint(0, side), rng.randint(0, side)) for _ in range(rng.randint(2, 5))],
                fill=ink,
                width=width,
                joint="curve",
            )
    if rng.random() < 0.5:
        place = rng.randint(0, side)
        gutter = (
            (place, -5, place + rng.randint(6, 14), side + 5)
            if rng.random() < 0.5
            else (-5, place, side + 5, place + rng.randint(6, 14))
        )
        canvas.rectangle(gutter, fill=(255, 255, 255), outline=ink, width=rng.randint(1, 4))
    return np.asarray(image)


def diagram(rng: random.Random, side: int) -> Pixels:
    """Boxes and ellipses joined by lines and arrows, on plain or squared paper."""
    paper, ink = _paper(rng)
    image, canvas = _sheet(side, paper)
    if rng.random() < 0.3:
        for place in range(0, side, rng.randint(8, 30)):
            canvas.line((0, place, side, place), fill=_mixed(paper, ink, 0.12))
            canvas.line((place, 0, place, side), fill=_mixed(paper, ink, 0.12))
    middles = [(rng.randint(0, side), rng.randint(0, side)) for _ in range(rng.randint(2, 6))]
    width = rng.randint(1, 4)
    for (x0, y0), (x1, y1) in pairwise(middles):
        canvas.line((x0, y0, x1, y0, x1, y1) if rng.random() < 0.6 else (x0, y0, x1, y1), fill=ink, width=width)
        canvas.polygon(((x1, y1 - 9), (x1 - 5, y1 - 18), (x1 + 5, y1 - 18)), fill=ink)
    for x, y in middles:
        a, b = rng.randint(12, 70), rng.randint(8, 40)
        fill, radius = rng.choice((paper, _colour(rng), _mixed(paper, _colour(rng), 0.3))), rng.choice((0, 0, 5, 12))
        if rng.random() < 0.7:
            canvas.rounded_rectangle((x - a, y - b, x + a, y + b), radius, fill=fill, outline=ink, width=width)
        else:
            canvas.ellipse((x - a, y - b, x + a, y + b), fill=fill, outline=ink, width=width)
    return np.asarray(image)


def icons(rng: random.Random, side: int) -> Pixels:
    """Pictograms in rows, on the sheet or on cards."""
    paper, ink = _paper(rng)
    image, canvas = _sheet(side, paper)
    cell, cards, coloured = rng.randint(24, 100), rng.random() < 0.4, rng.random() < 0.5
    for y in range(-5, side, cell):
        for x in range(-5, side, cell):
            if cards:
                canvas.rounded_rectangle(
                    (x + 3, y + 3, x + cell - 4, y + cell - 4), rng.choice((4, cell // 5)), fill=_colour(rng)
                )
            box = (x + cell // 4, y + cell // 4, x + cell - cell // 4, y + cell - cell // 4)
            _icon(canvas, rng, box, _colour(rng) if coloured else ink, max(1, cell // rng.randint(12, 24)))
    return np.asarray(image)


def page(rng: random.Random, side: int) -> Pixels:
    """Paper, ruled, squared or with a margin, sometimes unevenly lit as in a scan."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    paper = np.full((side, side, 3), numbers.uniform(222, 256, 3), np.float32)
    step, width, strength, start = rng.randint(8, 60), rng.choice((1, 1, 1, 2)), numbers.uniform(15, 140, 3), rng.randint(0, 40)
    if rng.random() < 0.5:
        strength[:] = strength.mean()
    for row in range(width):
        paper[start + row :: step] -= strength
    if rng.random() < 0.3:
        for column in range(width):
            paper[:, start + column :: step] -= strength
    if rng.random() < 0.3:
        paper[:, rng.randint(0, side - 1)] -= (20, 120, 120)
    if rng.random() < 0.4:
        slope = np.linspace(-1, 1, side, dtype=np.float32)
        paper -= (rng.uniform(0, 24) * np.square(slope - rng.uniform(-1, 1)))[:, None]
        paper = paper.transpose(1, 0, 2) if rng.random() < 0.3 else paper
    return np.clip(np.rint(paper), 0, 255).astype(np.uint8)


def poster(rng: random.Random, side: int) -> Pixels:
    """Flat shapes over a gradient, up to four colours, sometimes with shapes that are graded
    too.
    """
    ramp = np.linspace(0, 1, side, dtype=np.float32)
    turn = rng.choice((0.0, math.pi / 2, rng.uniform(0, 2 * math.pi)))
    along = ramp[:, None] * math.cos(turn) + ramp[None] * math.sin(turn)
    if rng.random() < 0.2:
        along = np.hypot(ramp[:, None] - rng.random(), ramp[None] - rng.random())

    def graded(most: float) -> Pixels:
        first = _colour(rng)
        second = _mixed(first, _colour(rng), rng.uniform(0, most))
        level = (along - along.min()) / max(1e-6, float(np.ptp(along)))
        return np.rint(np.array(first) * (1 - level[..., None]) + np.array(second) * level[..., None]).astype(np.uint8)

    image = Image.fromarray(graded(0.0 if rng.random() < 0.25 else 1.0))
    for _ in range(rng.randint(1, 9)):
        shape = Image.new("L", (side, side), 0)
        canvas, box, kind = ImageDraw.Draw(shape), _box(rng, side), rng.random()
        if kind < 0.45:
            canvas.rounded_rectangle(box, rng.choice((0, 0, 4, 10, 20)), fill=255)
        elif kind < 0.8:
            canvas.ellipse(box, fill=255)
        else:
            canvas.polygon([(rng.randint(0, side), rng.randint(0, side)) for _ in range(rng.randint(3, 5))], fill=255)
        over = Image.fromarray(graded(1.0)) if rng.random() < 0.2 else Image.new("RGB", (side, side), _colour(rng))
        image.paste(over, (0, 0), shape)
    return np.asarray(image)


DRAWINGS: tuple[tuple[Drawing, int], ...] = (
    (window, 5),
    (table, 4),
    (chart, 3),
    (chart_map, 2),
    (comic, 4),
    (diagram, 2),
    (icons, 1),
    (page, 2),
    (poster, 5),
)
"""The kinds of drawings, and how often each is drawn."""


def drawn_picture(rng: random.Random, side: int) -> Pixels:
    """One drawn picture, uint8 side x side x 3: hard or soft edges, sometimes with a scan's
    grain.
    """
    drawing = rng.choices([kind for kind, _ in DRAWINGS], [share for _, share in DRAWINGS])[0]
    scale = rng.choice((1, 1, 1, 1, 2, 2, 3))
    image = Image.fromarray(drawing(rng, side * scale if scale < 3 else round(side * rng.uniform(1.2, 1.8))))
    picture = np.asarray(image.resize((side, side), Image.Resampling.LANCZOS if rng.random() < 0.5 else Image.Resampling.BOX))
    if rng.random() < 0.15:
        picture = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.0))))
    if rng.random() < 0.12:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(
            0, rng.uniform(0.5, 4), (*picture.shape[:2], rng.choice((1, 3)))
        )
        picture = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture)


def compressed(picture: Pixels, form: str, quality: int) -> Pixels:
    """The picture after compression as `JPEG` or `WEBP`."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, form, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))
