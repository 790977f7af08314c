"""The texts of an animation, with a detector that finds bright rectangles."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from operators.pictures.codec import Limits, decode
from operators.pictures.picture import Picture
from operators.rows.box import Box
from operators.vision.close_look import FoundText
from operators.vision.text_confirmation import Verdict
from operators.vision.texts_of_frames import texts_of_frames

WIDTH, HEIGHT = 200, 120
FONT = ImageFont.load_default(size=24)


@dataclass
class Finder:
    """Finds each group of white letters, and counts the pixels that it looked at."""

    missed: int = -1
    """The number of the look at which it finds nothing."""
    looked: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, rgb: np.ndarray, width: int, height: int, factor: float | None) -> list[FoundText]:
        self.looked.append((width, height))
        if len(self.looked) - 1 == self.missed:
            return []
        wide = cv2.dilate((rgb.min(axis=2) > 250).astype(np.uint8), np.ones((3, 15), np.uint8))
        boxes = cv2.connectedComponentsWithStats(wide)[2][1:]
        return [self._text(*(int(value) for value in box[:4])) for box in boxes]

    def _text(self, left: int, top: int, width: int, height: int) -> FoundText:
        polygon = [
            [float(x), float(y)]
            for x, y in ((left, top), (left + width, top), (left + width, top + height), (left, top + height))
        ]
        return FoundText(polygon, 0.9, np.ones((4, 4), np.float32), Box(left, top, width, height))


class Sure:
    """Confirms every text."""

    def verdicts(self, rgb: np.ndarray, texts: list[FoundText], width: int, height: int) -> list[Verdict]:
        return [Verdict(None, 1.0) for _ in texts]


def animated(frames: list[Image.Image]) -> Picture:
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:], duration=100)
    return decode(buffer.getvalue(), Limits())


def with_text(ground: np.ndarray, text: str = "Hello you") -> Image.Image:
    picture = Image.fromarray(ground)
    ImageDraw.Draw(picture).text((30, 20), text, font=FONT, fill=(255, 255, 255))
    return picture


def still(number: int) -> np.ndarray:
    """A plain ground with a square that moves far below the text."""
    ground = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    ground[100:110, 20 + 10 * number : 30 + 10 * number] = 40
    return ground


def moving(number: int) -> np.ndarray:
    """Broad stripes that move."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    return (60 + 60 * (((across + 17 * number) // 20 + down // 20) % 2)).astype(np.uint8)[:, :, None].repeat(3, axis=2)


def found(picture: Picture, finder: Finder) -> list[int]:
    """The numbers of the pages on which a text is listed."""
    seen = texts_of_frames(picture, picture.rgb(), finder, Sure())  # type: ignore[arg-type]
    tops = [page.top for page in picture.pages]
    return sorted(max(number for number, top in enumerate(tops) if top <= one.text.box.y) for one in seen)


def test_a_text_that_stands_still_with_its_ground_is_listed_once() -> None:
    picture = animated([with_text(still(number)) for number in range(5)])
    finder = Finder()
    assert found(picture, finder) == [0]
    assert finder.looked[0] == (WIDTH, HEIGHT)
    assert all(width * height < WIDTH * HEIGHT / 2 for width, height in finder.looked[1:])


def test_a_text_over_moving_ground_is_listed_on_every_frame() -> None:
    picture = animated([with_text(moving(number)) for number in range(5)])
    assert found(picture, Finder()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("missed", [1, 4])
def test_a_text_that_the_detector_misses_on_a_frame_is_listed_there_too(missed: int) -> None:
    picture = animated([with_text(moving(number)) for number in range(5)])
    assert found(picture, Finder(missed=missed)) == [0, 1, 2, 3, 4]


def test_a_frame_without_the_text_gets_none() -> None:
    grounds = [Image.fromarray(moving(number)) if number == 2 else with_text(moving(number)) for number in range(5)]
    assert found(animated(grounds), Finder()) == [0, 1, 3, 4]


def test_a_text_that_changes_is_listed_each_time_and_seen_whole() -> None:
    picture = animated([with_text(still(0), f"Score {number}") for number in (1, 2, 3)])
    finder = Finder()
    assert found(picture, finder) == [0, 1, 2]
    seen = texts_of_frames(picture, picture.rgb(), Finder(), Sure())  # type: ignore[arg-type]
    assert all(one.text.box.x < 35 and one.text.box.width > 80 for one in seen)
