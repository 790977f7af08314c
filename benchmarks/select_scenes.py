"""Pictures for `benchmarks.select`: products, signs in two scripts, receipts and screenshots.

Every piece of text is known: what it says, what kind it is, and which pixels it covers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flows.evaluation.surfaces import any_surface, plain_wall, smooth_sky, studio_white
from operators.rows.arrays import Pixels, Selection

BRANDS = ("ACME", "Nordlys", "Petrichor", "KAWA", "Blaubeer", "Solano", "Vektor", "Mistral", "Otter & Co", "HELIX")
GOODS = ("running shoe", "desk lamp", "rain jacket", "tea kettle", "oak shelf", "wool scarf", "espresso cup", "garden chair")
NAMES = ("jane.doe", "max_m99", "info", "k.tanaka", "support", "lea-sofie", "r2d2", "office.berlin", "anna+news", "hr")
DOMAINS = ("example.com", "mail-server.org", "acme.co.uk", "firma.de", "post.example.net", "studio.io")
HAN = ("出口", "特価品", "送料無料", "新発売", "営業中", "駐車場", "季節限定", "日本製")
KANA = ("セール", "おすすめ", "ありがとう", "いらっしゃい", "カフェ", "こちらへ")
GREEK = ("Έξοδος", "Προσφορά", "Καφενείο", "Ταβέρνα")
LATIN = ("EXIT", "Special offer", "Free shipping", "New arrival", "Open daily", "Parking", "Made in Japan", "Café")
OTHER = (
    "Please call before noon",
    "Meeting moved to room 12",
    "See you at the station",
    "Your order is on its way",
    "Draft saved",
)

Piece = tuple[str, str]
"""What a piece of a line says, and its kind."""


@dataclass(frozen=True)
class Known:
    """One piece of text in a scene."""

    text: str
    kind: str
    pixels: Selection
    """The pixels that it touches, height x width."""


@dataclass(frozen=True)
class Scene:
    """A picture with pieces of text that are known."""

    bucket: str
    picture: Pixels
    pieces: tuple[Known, ...]
    keep: str
    """A regular expression of what a user of this picture would keep."""


class Page:
    """A picture on which lines are written piece by piece."""

    def __init__(self, picture: Pixels) -> None:
        self.picture = picture.copy()
        self.pieces: list[Known] = []

    def write(
        self, pieces: Sequence[Piece], font: str, size: int, place: tuple[float, float], ink: tuple[int, int, int]
    ) -> None:
        """Write a line; `place` is its left end and the baseline, in pixels."""
        face = ImageFont.truetype(font, size)
        done = ""
        for text, kind in pieces:
            layer = Image.new("L", self.picture.shape[1::-1], 0)
            at = (place[0] + face.getlength(done), place[1])
            ImageDraw.Draw(layer).text(at, text, 255, face, anchor="ls")
            covered = np.asarray(layer)
            seen = np.nonzero(covered)
            weight = covered[seen][:, None] / np.float32(255)
            self.picture[seen] = np.rint(self.picture[seen] * (1 - weight) + np.array(ink) * weight).astype(np.uint8)
            if text.strip():
                self.pieces.append(Known(text.strip(), kind, covered > 0))
            done += text

    def scene(self, bucket: str, keep: str) -> Scene:
        """The finished scene."""
        return Scene(bucket, self.picture, tuple(self.pieces), keep)


def fonts() -> dict[str, list[str]]:
    """The typefaces of the scenes."""
    from font_fredoka_one import FredokaOne
    from font_roboto import Roboto, RobotoBold, RobotoMedium
    from font_source_serif_pro import SourceSerifPro, SourceSerifProBold
    from noto_cjk_sans_jp_bold import FONT_PATH

    return {
        "display": [RobotoBold, FredokaOne, SourceSerifProBold],
        "text": [Roboto, RobotoMedium, SourceSerifPro],
        "cjk": [str(FONT_PATH)],
        "greek": [RobotoMedium, Roboto],
    }


def price(rng: random.Random) -> str:
    """A price, in one of the usual forms."""
    whole, part = rng.randint(1, 1999), rng.randint(0, 99)
    return rng.choice(
        (f"${whole}.{part:02}", f"{whole},{part:02} €", f"EUR {whole},{part:02}", f"£{whole}.{part:02}", f"¥{whole}")
    )


def date(rng: random.Random) -> str:
    """A date, in one of the usual forms."""
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2015, 2027)
    return rng.choice((f"{day:02}.{month:02}.{year}", f"{year}-{month:02}-{day:02}", f"{month}/{day}/{year}"))


def phone(rng: random.Random) -> str:
    """A telephone number, in one of the usual forms."""
    digits = [rng.randint(100, 999) for _ in range(4)]
    return rng.choice(
        (
            f"+49 30 {digits[0]}{digits[1]}",
            f"({digits[0]}) {digits[1]}-{digits[2]}{digits[3] % 10}",
            f"0{digits[0]} {digits[1]}{digits[2]}",
            f"+1 {digits[0]} {digits[1]} {digits[2]}{digits[3] % 10}",
            f"{digits[0]}-{digits[1]}-{digits[2]}{digits[3] % 10}",
        )
    )


def email(rng: random.Random) -> str:
    """An e-mail address."""
    return f"{rng.choice(NAMES)}@{rng.choice(DOMAINS)}"


def product(rng: random.Random, faces: dict[str, list[str]]) -> Scene:
    """A product picture: the brand, what it is, a price, often in one line."""
    size, brand = (640, 520), rng.choice(BRANDS)
    draw = rng.choice((studio_white, plain_wall, smooth_sky, lambda r, s: any_surface(r, s, "tune", 0)))
    page = Page(draw(rng, size))
    dark = page.picture.mean() > 110
    ink, bright = ((25, 25, 30), (190, 20, 30)) if dark else ((245, 245, 240), (255, 220, 90))
    font = rng.choice(faces["display"])
    page.write([(brand, "brand")], font, rng.randint(40, 64), (rng.randint(20, 120), 90), ink)
    page.write(
        [(f"{rng.choice(GOODS)} ", "other"), (price(rng), "price")],
        rng.choice(faces["text"]),
        rng.randint(26, 36),
        (40, 180),
        ink,
    )
    page.write([(f"{brand} ", "brand"), (price(rng), "price")], font, rng.randint(28, 40), (60, 420), bright)
    page.write([("Offer until ", "other"), (date(rng), "date")], rng.choice(faces["text"]), rng.randint(20, 26), (60, 470), ink)
    return page.scene("product", brand.replace(" ", r"\s?"))


def sign(rng: random.Random, faces: dict[str, list[str]]) -> Scene:
    """A sign in two scripts, one below the other or in one line."""
    page = Page(rng.choice((plain_wall, smooth_sky, studio_white))(rng, (640, 420)))
    ink = (30, 30, 40) if page.picture.mean() > 110 else (250, 250, 240)
    kind, words = rng.choice((("han", HAN), ("kana", KANA), ("greek", GREEK)))
    font = rng.choice(faces["greek" if kind == "greek" else "cjk"])
    latin = rng.choice(LATIN)
    page.write([(rng.choice(words), kind)], font, rng.randint(36, 60), (60, 110), ink)
    page.write([(latin, "latin")], rng.choice(faces["display"]), rng.randint(28, 44), (60, 190), ink)
    page.write([(f"{rng.choice(words)}  ", kind), (rng.choice(LATIN), "latin")], font, rng.randint(30, 40), (60, 330), ink)
    return page.scene("sign", latin)


def receipt(rng: random.Random, faces: dict[str, list[str]]) -> Scene:
    """A receipt: the shop's name, close lines of goods and prices, the date, a telephone number."""
    page = Page(np.full((620, 420, 3), rng.randint(236, 252), np.uint8))
    font, ink, shop = rng.choice(faces["text"]), (40, 40, 45), rng.choice(BRANDS)
    size = rng.randint(18, 22)
    page.write([(shop, "brand")], rng.choice(faces["display"]), 36, (120, 60), ink)
    page.write([("Tel. ", "other"), (phone(rng), "phone")], font, size, (90, 100), ink)
    for line in range(9):
        below = 150 + round(1.3 * size) * line
        page.write([(rng.choice(GOODS), "other")], font, size, (30, below), ink)
        page.write([(price(rng), "price")], font, size, (280, below), ink)
    page.write([("TOTAL  ", "other"), (price(rng), "price")], font, size + 6, (30, 440), ink)
    page.write([("Date: ", "other"), (date(rng), "date")], font, size, (30, 490), ink)
    page.write([("Thank you for shopping", "other")], font, size, (30, 540), ink)
    return page.scene("receipt", shop.replace(" ", r"\s?"))


def screenshot(rng: random.Random, faces: dict[str, list[str]]) -> Scene:
    """A list of messages in an application, with addresses and numbers in the lines."""
    dark = rng.random() < 0.4
    ground, ink = ((32, 34, 40), (225, 225, 230)) if dark else ((250, 250, 252), (35, 35, 40))
    picture = np.full((560, 760, 3), ground, np.uint8)
    picture[:54] = (52, 84, 140)
    page = Page(picture)
    font, size, owner = rng.choice(faces["text"]), rng.randint(17, 24), rng.choice(BRANDS)
    page.write([(f"{owner} Inbox", "brand")], rng.choice(faces["display"]), 26, (24, 38), (255, 255, 255))
    forms: tuple[Callable[[], list[Piece]], ...] = (
        lambda: [("Mail: ", "other"), (email(rng), "email")],
        lambda: [("Write to ", "other"), (email(rng), "email"), (" or call ", "other"), (phone(rng), "phone")],
        lambda: [("Phone ", "other"), (phone(rng), "phone")],
        lambda: [(email(rng), "email")],
        lambda: [(rng.choice(OTHER), "other")],
        lambda: [("Contact ", "other"), (email(rng), "email"), (" today", "other")],
        lambda: [(rng.choice(OTHER), "other")],
    )
    for line in range(7):
        page.write(forms[line](), font, size, (30, 110 + 62 * line), ink)
    return page.scene("screenshot", f"{owner}|Inbox")


DRAWN: dict[str, Callable[[random.Random, dict[str, list[str]]], Scene]] = {
    "product": product,
    "sign": sign,
    "receipt": receipt,
    "screenshot": screenshot,
}
"""How a scene of each bucket is drawn."""
