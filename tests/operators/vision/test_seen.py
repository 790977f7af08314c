"""What a larger polygon hides is judged when that polygon turns out to be no text."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from font_roboto import Roboto

from flows.evaluation.draw_text import Caption, draw, polygon_around
from operators.detect import Detect
from operators.pictures.codec import Limits, decode
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.vision.close_look import FoundText
from operators.vision.find_texts import without_repeats
from operators.vision.seen import judged
from operators.vision.text_confirmation import Confirmation

GROUND = np.full((600, 800, 3), (176, 168, 150), np.uint8)


def seen_as(polygon: list[list[float]], score: float, likelihood: float = 0.0) -> FoundText:
    return FoundText(polygon, score, np.ones((1, 1), np.float32), Box(0, 0, 800, 600), likelihood)


def rectangle(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def reasons(picture: Pixels, *texts: FoundText) -> list[str | None]:
    return [one.verdict.reason for one in judged(Confirmation(), picture, without_repeats(texts), 800, 600)]


def test_a_text_within_a_polygon_that_is_no_text_is_confirmed() -> None:
    picture, coverage = draw(GROUND, Caption("Departures", Roboto, 30, colour=(20, 20, 30)))
    line = seen_as(polygon_around(coverage), 0.8, 0.7)
    assert reasons(picture, line) == [None]
    assert reasons(picture, line, seen_as(rectangle(100, 100, 700, 500), 0.6)) == [None]


def test_within_it_a_text_must_be_read_however_sure_the_detector_is() -> None:
    line = seen_as(rectangle(300, 290, 500, 320), 0.95, 1.0)
    assert reasons(GROUND, line) == [None]
    assert reasons(GROUND, line, seen_as(rectangle(100, 100, 700, 500), 0.6)) == ["not_confirmed"]


def test_within_it_a_row_of_rings_is_no_word() -> None:
    picture = GROUND.copy()
    for x in range(310, 500, 20):
        cv2.circle(picture, (x, 305), 8, (20, 20, 30), 3, cv2.LINE_AA)
    row = replace(seen_as(rectangle(295, 290, 505, 320), 0.75, 0.9), in_doubt=True)
    assert reasons(picture, row) == ["not_confirmed"]
    assert reasons(picture, replace(row, in_doubt=False)) == ["not_confirmed"]


def test_a_price_on_a_shining_ball_is_found() -> None:
    picture = np.full((440, 640, 3), 252, np.uint8)
    across = np.clip(np.abs(np.linspace(-1, 1, 148)) * 90, 0, 90)
    shine = np.stack([225 - across, 185 - across, 90 - across / 2], axis=1)
    shine[36:44] = (255, 240, 120)
    ball = np.zeros((440, 640), np.uint8)
    cv2.ellipse(ball, (380, 245), (74, 90), 0, 0, 360, 1, -1)
    picture[:, 306:454][ball[:, 306:454] > 0] = np.broadcast_to(shine, (440, 148, 3))[ball[:, 306:454] > 0].astype(np.uint8)
    shown, _ = draw(picture, Caption("Only $ 7.49", Roboto, 24, colour=(20, 20, 20), x=380 / 640, y=230 / 440))
    operator = Detect()
    operator.open()
    found = [
        one
        for one in operator.see(decode(cv2.imencode(".png", shown[..., ::-1])[1].tobytes(), Limits()))
        if one.verdict.confirmed
    ]
    assert len(found) == 1
