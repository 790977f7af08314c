"""Captions of the default suite: its typefaces, colours that can be read, and fitting sizes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flows.evaluation.draw_text import Caption, extent
from operators.rows.arrays import LUMA_WEIGHTS, Pixels

Colour = tuple[int, int, int]

LIGHT, DARK = (250, 250, 248), (22, 22, 28)

INKS = (LIGHT, DARK, (250, 214, 50), (206, 30, 44), (24, 84, 170))


def typefaces() -> dict[str, str]:
    """The suite's typefaces: name to the path of the font file."""
    from font_amatic_sc import AmaticSCBold
    from font_fredoka_one import FredokaOne
    from font_roboto import Roboto, RobotoBold
    from font_source_serif_pro import SourceSerifPro, SourceSerifProBold, SourceSerifProExtraLight

    return {
        "hand": AmaticSCBold,
        "round": FredokaOne,
        "sans": Roboto,
        "sans bold": RobotoBold,
        "serif": SourceSerifPro,
        "serif bold": SourceSerifProBold,
        "serif thin": SourceSerifProExtraLight,
    }


def handwriting() -> tuple[str, str]:
    """Two typefaces that look written by hand."""
    from font_amatic_sc import AmaticSCBold
    from font_intuitive import Intuitive

    return Intuitive, AmaticSCBold


def eastern() -> str:
    """A typeface with Chinese and Japanese characters: Noto Sans CJK, under the SIL Open Font
    License 1.1.
    """
    from noto_cjk_sans_jp_bold import FONT_PATH

    return str(FONT_PATH)


def fitted(caption: Caption, clean: Pixels, share: float = 0.94, edge: float = 0.012) -> Caption:
    """The caption, made smaller and moved until it lies inside the picture.

    It takes at most `share` of each side, and stays `edge` of each side away from the border.
    """
    height, width = clean.shape[:2]
    across, down = extent(caption)
    for _ in range(4):
        excess = max(across / (share * width), down / (share * height))
        if excess <= 1:
            break
        caption = replace(caption, size=max(6, int(caption.size / excess)))
        across, down = extent(caption)
    x, y = across / 2 / width + edge, down / 2 / height + edge
    return replace(caption, x=min(max(caption.x, x), 1 - x), y=min(max(caption.y, y), 1 - y))


def left_aligned(caption: Caption, left: float, clean: Pixels) -> Caption:
    """The caption with its first letter at `left` pixels."""
    return replace(caption, x=(left + extent(caption)[0] / 2) / clean.shape[1])


def behind(clean: Pixels, caption: Caption) -> Pixels:
    """The part of the picture where the caption goes."""
    height, width = clean.shape[:2]
    across, down = (side / 2 for side in extent(caption))
    x, y = caption.x * width, caption.y * height
    return clean[max(0, int(y - down)) : int(y + down) + 1, max(0, int(x - across)) : int(x + across) + 1]


def readable(rng: random.Random, caption: Caption, clean: Pixels, inks: Sequence[Colour] = INKS) -> Caption:
    """The caption in a colour that differs by 60 grey levels from nine tenths of what lies behind
    it, or else in the colour that comes closest to that; its outline is the lighter or darker one.
    """
    grey = behind(clean, caption) @ LUMA_WEIGHTS
    lumas = {ink: float(np.dot(ink, LUMA_WEIGHTS)) for ink in inks}
    shares = {ink: float((np.abs(luma - grey) >= 60).mean()) for ink, luma in lumas.items()}
    visible = [ink for ink in inks if shares[ink] >= 0.9]
    colour = rng.choice(visible) if visible else max(inks, key=shares.__getitem__)
    return replace(caption, colour=colour, outline_colour=LIGHT if lumas[colour] < 128 else DARK)


def square_captions(rng: random.Random, number: int, bucket: str, words: Sequence[str], clean: Pixels) -> list[Caption]:
    """The captions of one square picture: styles in a fixed order, their details random."""
    fonts = typefaces()
    names = list(fonts)
    inks = ((25, 25, 30),) if bucket == "page" else ((255, 255, 255), (15, 15, 15), (250, 220, 60), (200, 30, 40))

    def line(y: float, **style: object) -> Caption:
        font = fonts[names[rng.randrange(len(names))]]
        base: dict[str, object] = {
            "text": words[rng.randrange(len(words))],
            "font": font,
            "size": rng.randint(24, 46),
            "x": rng.uniform(0.42, 0.58),
            "y": y,
        }
        caption = fitted(Caption(**{**base, **style}), clean, 1.0, 0.0)  # type: ignore[arg-type]
        return readable(rng, caption, clean, inks)

    styles = (
        lambda: [line(0.3), line(0.72, size=rng.randint(18, 24))],
        lambda: [line(0.5, opacity=rng.uniform(0.35, 0.7), angle=rng.choice((-25.0, 20.0, 30.0)), size=52)],
        lambda: [line(0.25, outline=2), line(0.7, shadow=3)],
        lambda: [line(0.15 + 0.14 * row, size=20, x=0.5) for row in range(6)],
        lambda: [line(0.5, size=84, text=words[7])],
        lambda: [line(0.035, size=24), line(0.96, size=22)],
        lambda: [line(0.4, font=fonts["serif thin"], size=30), line(0.75, font=fonts["hand"], size=40)],
        lambda: [line(0.35, size=15, text=words[7]), line(0.65, size=18, text=words[4])],
    )
    return styles[number % len(styles)]()
