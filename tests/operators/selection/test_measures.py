"""Lengths, bounds and zones of rules: what they mean in pictures of any size."""

from __future__ import annotations

import pytest

from operators.rows.box import Box
from operators.selection.measures import Bounds, Length, Zone


@pytest.mark.parametrize(("text", "pixels"), {"12": 12, "12px": 12, "1.5%": 3, "100 %": 200, "-5": -5}.items(), ids=str)
def test_a_length_is_pixels_or_a_share_of_the_side(text: str, pixels: float) -> None:
    assert Length.parse(text).pixels(200) == pixels


def test_bounds_are_inclusive_and_may_be_open() -> None:
    assert [Bounds.parse("10..40").contain(value) for value in (9.9, 10, 40, 40.1)] == [False, True, True, False]
    assert [Bounds.parse("..2%").contain(value, 500) for value in (10, 10.1)] == [True, False]
    assert [Bounds.parse("0.6..").contain(value) for value in (0.59, 0.6, 7)] == [False, True, True]


@pytest.mark.parametrize("text", ["", "..", "4", "a..b", "5..4", "1...2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"range|neither|above"):
        Bounds.parse(text)


@pytest.mark.parametrize(
    ("zone", "size", "box"),
    [
        ("bottom-right:30%x15%", (1000, 400), Box(700, 340, 300, 60)),
        ("bottom-right:30%x15%", (333, 77), Box(233, 65, 100, 12)),
        ("top:100%x20", (640, 480), Box(0, 0, 640, 20)),
        ("centre:10%x50", (200, 100), Box(90, 25, 20, 50)),
        ("left:1000x10", (200, 100), Box(0, 45, 200, 10)),
        ("10,20%:50x50%", (200, 100), Box(10, 20, 50, 50)),
        ("150,0:100x10", (200, 100), Box(150, 0, 50, 10)),
        ("500,0:100x10", (200, 100), Box(200, 0, 0, 10)),
    ],
)
def test_a_zone_follows_the_size_of_the_picture(zone: str, size: tuple[int, int], box: Box) -> None:
    assert Zone.parse(zone).box(*size) == box


@pytest.mark.parametrize(
    "text", ["bottom", "bot:1x2", "top:0x5", "top:120%x5", "60%,0:50%x10", "-5,0:10x10", "100%,0:5x5", "top:1x2x3", "x,y:1x1"]
)
def test_a_zone_that_no_picture_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"zone|outside|nothing|neither"):
        Zone.parse(text)


def test_a_text_is_in_a_zone_that_holds_at_least_half_of_it() -> None:
    zone = Zone.parse("left:100x100%")

    def text(x: int) -> list[list[list[float]]]:
        return [[[x, 10], [x + 39, 10], [x + 39, 19], [x, 19]]]

    assert [zone.contains(text(x), 300, 50) for x in (0, 80, 81, 200)] == [True, True, False, False]
