"""What is no text is not confirmed, whatever the detector says; text is, at any size in bounds."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from font_amatic_sc import AmaticSCBold
from font_fredoka_one import FredokaOne
from font_roboto import Roboto, RobotoBold
from PIL import Image, ImageDraw, ImageFont

from flows.evaluation.draw_text import Caption, draw, polygon_around
from operators.detect import Detect
from operators.pictures.codec import Limits, decode
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import RegionRecord
from operators.vision.close_look import FoundText
from operators.vision.line_network import LineNetwork
from operators.vision.recogniser import Character
from operators.vision.text_confirmation import LINE_SURE, Confirmation, Rule, features, repeats_one, rule

GROUND = np.full((600, 800, 3), (176, 168, 150), np.uint8)
MIDDLE = [[300.0, 250.0], [500.0, 250.0], [500.0, 300.0], [300.0, 300.0]]


def box(left: float, top: float, width: float, height: float) -> list[list[float]]:
    return [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]


def leaf() -> Pixels:
    """A leaf that fills the picture, with its veins."""
    image = Image.new("RGB", (900, 700), (40, 35, 20))
    drawing = ImageDraw.Draw(image)
    drawing.ellipse((40, 30, 860, 670), fill=(80, 160, 60))
    drawing.line((40, 350, 860, 350), fill=(180, 220, 150), width=10)
    for x in range(100, 720, 60):
        for y in (150, 550):
            drawing.line((x, 350, x + 110, y), fill=(180, 220, 150), width=6)
    return cv2.GaussianBlur(np.asarray(image), (0, 0), 1.2)


def foliage() -> Pixels:
    """A hedge of a thousand small leaves."""
    random = np.random.default_rng(1)
    image = Image.new("RGB", (900, 700), (20, 40, 20))
    drawing = ImageDraw.Draw(image)
    for _ in range(1500):
        x, y, angle, length = (*random.integers(0, (900, 700)), random.uniform(0, 3.14), random.integers(8, 45))
        along, across = (
            length * np.array([np.cos(angle), np.sin(angle)]),
            length / 3 * np.array([-np.sin(angle), np.cos(angle)]),
        )
        green = int(random.integers(50, 220))
        corners = [tuple(np.array([x, y]) + step) for step in (along, across, -along, -across)]
        drawing.polygon(corners, fill=(green // 3, green, green // 4))
    return np.asarray(image)


def blinds() -> Pixels:
    picture = np.full((700, 900, 3), (190, 190, 180), np.uint8)
    for y in range(0, 700, 40):
        picture[y : y + 24, 60:840] = (240, 235, 220)
    return picture


def fence() -> Pixels:
    picture = np.full((700, 900, 3), (120, 170, 210), np.uint8)
    for x in range(0, 900, 44):
        picture[100:640, x : x + 24] = (110, 80, 50)
    picture[200:220], picture[500:520] = (90, 60, 40), (90, 60, 40)
    return picture


def bricks() -> Pixels:
    picture = np.full((700, 900, 3), (190, 185, 175), np.uint8)
    random = np.random.default_rng(2)
    for row, y in enumerate(range(0, 700, 36)):
        for x in range(-80 if row % 2 else -40, 900, 80):
            picture[y : y + 32, max(0, x) : max(0, x + 76)] = np.array((150, 72, 52)) + random.integers(-20, 20)
    return picture


def windows() -> Pixels:
    picture = np.full((700, 900, 3), (70, 75, 90), np.uint8)
    random = np.random.default_rng(3)
    for y in range(20, 660, 70):
        for x in range(20, 860, 60):
            picture[y : y + 48, x : x + 36] = (240, 220, 130) if random.random() < 0.5 else (30, 30, 40)
    return picture


def flag() -> Pixels:
    """A white cross that fills a red picture; the detector takes it for a sign 528 pixels high."""
    picture = np.full((528, 528, 3), (220, 20, 20), np.uint8)
    picture[100:428, 215:313] = picture[215:313, 100:428] = 255
    return picture


def regions_of(picture: Pixels) -> list[RegionRecord]:
    return Detect().regions(decode(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes(), Limits()))


@pytest.mark.parametrize("motif", [leaf, foliage, blinds, fence, bricks, windows, flag])
def test_a_picture_without_text_has_no_open_region(motif) -> None:
    assert [region["reason"] for region in regions_of(motif()) if region["state"] == "open"] == []


def test_a_sign_that_fills_the_picture_is_kept_as_too_high() -> None:
    assert {(region["state"], region["reason"]) for region in regions_of(flag())} == {("kept", "too_high")}


CAPTIONS = {
    "small": Caption("photo by nobody", Roboto, 16, 0.5, 0.9),
    "usual": Caption("Fresh coffee daily", RobotoBold, 40, 0.5, 0.4),
    "large": Caption("SALE", RobotoBold, 190, 0.5, 0.5),
    "by hand": Caption("hand written note", AmaticSCBold, 60, 0.5, 0.7, colour=(40, 20, 90)),
    "a watermark": Caption("stockphoto", FredokaOne, 70, 0.5, 0.5, opacity=0.35, angle=20),
    "a price": Caption("$19.99", RobotoBold, 44, 0.5, 0.5),
    "a page number": Caption("Page 17", Roboto, 22, 0.5, 0.9),
    "turned by 90 degrees": Caption("Main Street", RobotoBold, 40, 0.5, 0.5, angle=90),
    "upside down": Caption("Main Street", RobotoBold, 40, 0.5, 0.5, angle=180),
    "a sound": Caption("BOOM!", FredokaOne, 120, 0.5, 0.5, colour=(250, 220, 40), outline=4, angle=-15),
    "faint": Caption("do not touch", RobotoBold, 36, 0.5, 0.3, opacity=0.25),
}


@pytest.mark.parametrize("name", CAPTIONS)
def test_text_is_confirmed(name: str) -> None:
    picture, _ = draw(GROUND, CAPTIONS[name])
    states = [region["state"] for region in regions_of(picture)]
    assert states
    assert set(states) == {"open"}


def detection(polygon: list[list[float]], score: float) -> FoundText:
    return FoundText(polygon, score, np.zeros((1, 1), np.float32), Box(0, 0, 1, 1), likelihood=0.9)


def verdict(confirmation: Confirmation, polygon: list[list[float]], score: float, picture: Pixels = GROUND) -> str | None:
    (found,) = confirmation.verdicts(picture, [detection(polygon, score)], picture.shape[1], picture.shape[0])
    return found.reason


def test_flat_ground_is_not_confirmed_at_any_unsure_score() -> None:
    assert verdict(Confirmation(), MIDDLE, 0.6) == "not_confirmed"


def test_a_line_of_usual_shape_with_a_sure_score_is_not_read() -> None:
    assert verdict(Confirmation(), MIDDLE, 0.8) is None
    assert verdict(Confirmation(sure_score=0.9), box(300, 250, 100, 50), 0.7) == "not_confirmed"


def test_a_high_line_must_be_read_however_sure_the_networks_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineNetwork, "logit_at", lambda network, rgb, polygon: Confirmation().proven_line - 0.1)
    assert verdict(Confirmation(read_area=1), box(200, 200, 400, 121), 1.0) == "not_confirmed"
    assert verdict(Confirmation(read_area=1), box(200, 200, 400, 119), 1.0) is None
    assert verdict(Confirmation(), box(200, 200, 400, 61), 1.0) == "not_confirmed"
    assert verdict(Confirmation(), box(200, 200, 400, 59), 1.0) is None
    picture, coverage = draw(GROUND, CAPTIONS["large"])
    assert verdict(Confirmation(), polygon_around(coverage), 0.95, picture) is None


def scored(monkeypatch: pytest.MonkeyPatch, score: float) -> None:
    """From now on the rule gives every detection this score, and the detector is never sure."""
    learnt = Rule({}, math.log(score / (1 - score)), 0.25)
    monkeypatch.setattr("operators.vision.text_confirmation.rule", lambda: learnt)


def test_less_proof_is_asked_of_a_low_line_that_is_longer_than_high(monkeypatch: pytest.MonkeyPatch) -> None:
    scored(monkeypatch, 0.13)
    assert verdict(Confirmation(), box(200, 200, 200, 72), 0.5) is None
    assert verdict(Confirmation(), box(200, 200, 200, 73), 0.5) == "not_confirmed"
    assert verdict(Confirmation(), box(200, 200, 179, 72), 0.5) == "not_confirmed"
    doubtful = replace(detection(box(200, 200, 200, 72), 0.5), in_doubt=True)
    assert Confirmation().verdicts(GROUND, [doubtful], 800, 600)[0].reason == "not_confirmed"
    scored(monkeypatch, 0.11)
    assert verdict(Confirmation(), box(200, 200, 200, 72), 0.5) == "not_confirmed"


def test_a_long_line_of_which_the_rule_is_sure_need_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineNetwork, "logit_at", lambda network, rgb, polygon: 0.0)
    scored(monkeypatch, 0.71)
    assert verdict(Confirmation(), box(100, 200, 480, 80), 0.5) is None
    assert verdict(Confirmation(), box(100, 200, 470, 80), 0.5) == "not_confirmed"
    scored(monkeypatch, 0.69)
    assert verdict(Confirmation(), box(100, 200, 480, 80), 0.5) == "not_confirmed"


def test_where_all_three_networks_are_sure_a_long_text_in_doubt_need_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    scored(monkeypatch, 0.05)
    least_score, least_likelihood, least_logit = Confirmation().agreed

    def reason(
        score: float = least_score,
        likelihood: float = least_likelihood,
        logit: float = least_logit,
        place: tuple[int, int, int, int] = (100, 260, 600, 80),
    ) -> str | None:
        monkeypatch.setattr(LineNetwork, "logit_at", lambda network, rgb, polygon: logit)
        doubtful = replace(detection(box(*place), score), likelihood=likelihood, in_doubt=True)
        return Confirmation(sure_score=1.1).verdicts(GROUND, [doubtful], 800, 600)[0].reason

    assert reason() is None
    assert reason(score=least_score - 0.01) == "not_confirmed"
    assert reason(likelihood=least_likelihood - 0.01) == "not_confirmed"
    assert reason(logit=least_logit - 0.1) == "not_confirmed"
    # Clutter that all three take for text is short: whiskers, windows, branches.
    assert reason(place=(100, 260, 400, 80)) == "not_confirmed"
    assert reason(place=(20, 200, 760, 124)) == "not_confirmed"


@pytest.mark.parametrize(("read", "reason"), [("囚", "not_confirmed"), ("囚山", None)])
def test_one_character_that_is_read_only_when_an_icon_is_turned_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, read: str, reason: str | None
) -> None:
    monkeypatch.setattr(LineNetwork, "logit_at", lambda network, rgb, polygon: 0.0)
    characters = [Character(text, 1.0, 0.5) for text in read]
    monkeypatch.setattr("operators.vision.text_confirmation.readings", lambda line, squarish: iter([[], characters]))
    monkeypatch.setattr("operators.vision.text_confirmation.rule", lambda: Rule({"letters": 9.0}, -3.0, 0.25))
    assert verdict(Confirmation(), box(300, 200, 60, 50), 0.7) == reason


def test_each_bound_gives_its_reason() -> None:
    assert verdict(Confirmation(tallest=49), MIDDLE, 0.9) == "too_high"
    assert verdict(Confirmation(tallest_share=0.08), MIDDLE, 0.9) == "too_high"
    assert verdict(Confirmation(largest_area=0.02), MIDDLE, 0.9) == "too_large"
    assert verdict(Confirmation(most_area=0.02), MIDDLE, 0.9) == "too_much"


def test_too_much_text_counts_only_what_is_confirmed_and_concerns_all_of_it() -> None:
    lines = [detection(box(0, y, 800, 60), 0.9) for y in range(0, 540, 60)]
    confirmation = Confirmation(read_area=1)
    verdicts = confirmation.verdicts(GROUND, lines, 800, 600)
    assert {found.reason for found in verdicts} == {"too_much"}
    unsure = [replace(line, score=0.9 if number % 2 else 0.5) for number, line in enumerate(lines)]
    verdicts = confirmation.verdicts(GROUND, unsure, 800, 600)
    assert [found.reason for found in verdicts] == ["not_confirmed", None] * 4 + ["not_confirmed"]


def test_a_line_may_be_as_high_as_its_banner() -> None:
    line = box(300, 5, 160, 54)
    assert Confirmation().bound(line, 800, 64) is None
    assert Confirmation().bound(line, 64, 800) is None
    assert Confirmation().bound(line, 190, 64) == "too_high"


@pytest.mark.parametrize(
    ("beside", "reason"),
    [
        (box(330, 150, 72, 36), None),
        (box(330, 420, 72, 36), "not_confirmed"),
        (box(330, 150, 36, 18), "not_confirmed"),
    ],
    ids=["near and as high", "far away", "near and lower"],
)
def test_less_proof_is_asked_of_a_text_near_a_confirmed_one_with_like_letters(
    beside: list[list[float]], reason: str | None
) -> None:
    texts = [detection(beside, 0.92), detection(box(300, 100, 200, 36), 0.95)]
    alone, sure = Confirmation(score_beside_text=2.0).verdicts(GROUND, texts, 800, 600)
    assert (alone.reason, sure.reason) == ("not_confirmed", None)
    found, _ = Confirmation(score_beside_text=alone.score).verdicts(GROUND, texts, 800, 600)
    assert found.reason == reason
    assert Confirmation(score_beside_text=alone.score + 0.01).verdicts(GROUND, texts, 800, 600)[0] == alone


@pytest.mark.parametrize(("drawn", "reason"), [("arrow", "not_confirmed"), ("house", "not_confirmed"), ("7", None)])
def test_an_icon_beside_a_text_is_not_one_but_a_digit_is(drawn: str, reason: str | None) -> None:
    image = Image.fromarray(GROUND)
    canvas = ImageDraw.Draw(image)
    if drawn == "arrow":
        canvas.line((300, 168, 330, 168), (60, 70, 90), 3)
        canvas.line((319, 157, 330, 168, 319, 179), (60, 70, 90), 3)
    elif drawn == "house":
        canvas.line((303, 169, 315, 157, 327, 169), (70, 75, 85), 3)
        canvas.rectangle((307, 168, 323, 180), outline=(70, 75, 85), width=2)
    else:
        canvas.text((307, 151), drawn, (60, 70, 90), font=ImageFont.truetype(Roboto, 32))
    canvas.text((350, 150), "Delivery", (20, 22, 30), font=ImageFont.truetype(Roboto, 32))
    texts = [replace(detection(box(298, 155, 34, 26), 0.7), likelihood=0.5), detection(box(346, 153, 130, 32), 0.95)]
    confirmation = Confirmation(score_beside_text=0.0)
    beside, sure = confirmation.verdicts(np.asarray(image), texts, 800, 600)
    assert (beside.reason, sure.reason) == (reason, None)


def cells(numbers: list[str]) -> tuple[Pixels, list[FoundText]]:
    """A column of numbers on paper, and their detections."""
    image, texts = Image.new("RGB", (800, 600), (250, 250, 250)), []
    for row, number in enumerate(numbers):
        top = 150 + 60 * row
        ImageDraw.Draw(image).text((300, top), number, (10, 10, 10), font=ImageFont.truetype(Roboto, 32))
        texts.append(replace(detection(box(296, top, 100, 38), 0.95 if row else 0.5), likelihood=0.9))
    return np.asarray(image), texts


def test_a_number_of_one_digit_is_text_in_a_column_of_numbers() -> None:
    picture, texts = cells(["00000", "00037", "00074"])
    assert [verdict.reason for verdict in Confirmation().verdicts(picture, texts, 800, 600)] == [None, None, None]


@pytest.mark.parametrize("others", [[], ["00037"]])
def test_a_number_of_one_digit_needs_two_others(others: list[str]) -> None:
    picture, texts = cells(["00000", *others])
    first, *_ = Confirmation().verdicts(picture, texts, 800, 600)
    assert (first.reason, first.is_pattern) == ("not_confirmed", True)


def test_an_arrow_in_a_column_of_numbers_is_no_text() -> None:
    picture, texts = cells(["", "00037", "00074"])
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).line((300, 168, 330, 168), (60, 70, 90), 3)
    ImageDraw.Draw(image).line((319, 157, 330, 168, 319, 179), (60, 70, 90), 3)
    arrow = replace(detection(box(296, 152, 38, 34), 0.7), likelihood=0.9)
    first, *_ = Confirmation(score_beside_text=0.0).verdicts(np.asarray(image), [arrow, *texts[1:]], 800, 600)
    assert (first.reason, first.is_pattern) == ("not_confirmed", True)


def test_the_windows_of_a_house_are_no_column_of_letters() -> None:
    image = Image.fromarray(GROUND)
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((300, 200, 380, 420), fill=(150, 190, 175), outline=(20, 20, 20), width=4)
    for y in range(220, 400, 28):
        canvas.rectangle((322, y, 358, y + 12), outline=(20, 20, 20), width=2)
    house = replace(detection(box(300, 202, 80, 216), 0.75), likelihood=0.65)
    (verdict,) = Confirmation().verdicts(np.asarray(image), [house], 800, 600)
    assert (verdict.reason, verdict.is_pattern) == ("not_confirmed", True)


@pytest.mark.parametrize(
    ("read", "share", "repeats"),
    [
        ("0000", 1.0, True),
        ("0O日0", 1.0, True),
        ("00", 1.0, False),
        ("1000", 1.0, False),
        ("1000", 0.75, True),
        ("2024", 0.75, False),
        ("", 0.75, False),
    ],
)
def test_one_character_again_and_again_is_a_pattern(read: str, share: float, repeats: bool) -> None:
    assert repeats_one([Character(each, 0.9, 0.5) for each in read], share) is repeats


def test_a_picture_decoded_at_half_its_size_gives_the_same_verdicts() -> None:
    picture, coverage = draw(GROUND, CAPTIONS["large"])
    polygon = polygon_around(coverage)
    half = cv2.resize(picture, (400, 300), interpolation=cv2.INTER_AREA)
    for seen in (picture, half):
        (found,) = Confirmation().verdicts(seen, [detection(polygon, 0.6)], 800, 600)
        assert found.confirmed


def test_reading_never_counts_against_a_text() -> None:
    unread = features(detection(MIDDLE, 0.6), 1.0, [], 4.0, 0.05)
    read = features(detection(MIDDLE, 0.6), 1.0, [Character("A", 0.4, 0.5), Character("7", 0.9, 0.5)], 4.0, 0.05)
    assert rule()(read) > rule()(unread)
    assert rule()(replace(unread, detector=0.9)) > rule()(unread)
    assert rule()(replace(unread, first_look=1.0)) > rule()(unread)
    assert rule()(replace(unread, line=2.0)) > rule()(unread)


def test_the_line_network_counts_within_bounds() -> None:
    assert features(detection(MIDDLE, 0.6), 40.0, [], 4.0, 0.05).line == LINE_SURE
    assert features(detection(MIDDLE, 0.6), -40.0, [], 4.0, 0.05).line == -LINE_SURE


def test_symbols_do_not_count_as_letters() -> None:
    signs = [Character("★", 1.0, 0.2), Character("□", 1.0, 0.5), Character("一", 0.0, 0.8)]
    assert features(detection(MIDDLE, 0.6), 0.0, signs, 2.0, 0.1).letters == 0.0
    assert features(detection(MIDDLE, 0.6), 0.0, [Character("€", 1.0, 0.5)], 2.0, 0.1).letters == pytest.approx(np.log(2))
