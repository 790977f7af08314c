"""Cells of the first look become areas: one a line or paragraph, turned as its lines are turned."""

import math

import numpy as np
import pytest
from font_roboto import RobotoBold

from flows.evaluation.draw_text import Caption, draw
from operators.vision.areas import LEAST_PEAK, LOW_PEAK, areas, turned
from operators.vision.first_look import Cells, first_look

ROWS, COLUMNS, SIDE = 40, 60, 8.0


def cells(*lines: tuple[tuple[slice, slice], float, float], text: float = 0.9) -> Cells:
    """Cells with lines of text: their place, the height of their letters and their angle in
    degrees.
    """
    planes = {name: np.zeros((ROWS, COLUMNS), np.float32) for name in ("text", "height", "cosine", "sine")}
    planes["height"][:] = 16
    for place, height, degrees in lines:
        planes["text"][place], planes["height"][place] = text, height
        planes["cosine"][place], planes["sine"][place] = (f(2 * math.radians(degrees)) for f in (math.cos, math.sin))
    return Cells(SIDE, **planes)


LINE = (np.s_[10:12, 5:30], 14.0, 0.0)


def test_without_text_there_is_no_area() -> None:
    assert areas([cells()]) == []


def test_cells_of_which_none_is_sure_are_no_area() -> None:
    assert areas([cells(LINE, text=LEAST_PEAK - 0.05)]) == []


def test_an_area_holds_its_line_and_a_margin_of_the_height_of_its_letters() -> None:
    (area,) = areas([cells(LINE)])
    assert (area.angle, area.height) == (0.0, 14.0)
    assert area.left <= 5 * SIDE - 14 and area.right >= 30 * SIDE + 14
    assert area.top <= 10 * SIDE - 14 and area.bottom >= 12 * SIDE + 14
    assert area.bottom - area.top < 4 * SIDE + 3 * 14


def test_the_unsure_rim_of_a_line_does_not_belong_to_it() -> None:
    (sure,) = areas([cells(LINE)])
    with_rim = cells(LINE)
    rim = np.zeros((ROWS, COLUMNS), bool)
    rim[9:13, 4:31] = True
    rim[10:12, 5:30] = False
    with_rim.text[rim] = 0.35
    assert areas([with_rim]) == [sure]


def test_lines_of_a_paragraph_are_looked_at_together() -> None:
    lines = [(np.s_[row : row + 1, 5:30], 10.0, 0.0) for row in (10, 12, 14)]
    assert len(areas([cells(*lines)])) == 1


def test_lines_far_apart_are_looked_at_one_by_one() -> None:
    assert len(areas([cells(LINE, (np.s_[30:32, 5:30], 14.0, 0.0))])) == 2


def test_letters_of_other_heights_are_looked_at_at_scales_of_their_own() -> None:
    found = areas([cells(LINE, (np.s_[12:20, 5:30], 60.0, 0.0))])
    assert sorted(round(area.height) for area in found) == [14, 60]


@pytest.mark.parametrize("degrees", [30, -45, 70])
def test_a_turned_line_is_turned_upright(degrees: float) -> None:
    text = np.zeros((ROWS, COLUMNS), bool)
    angle = math.radians(degrees)
    middle, along = np.array([COLUMNS / 2, ROWS / 2]), np.array([math.cos(angle), -math.sin(angle)])
    for step in np.linspace(-14, 14, 200):
        column, row = np.floor(middle + step * along).astype(int)
        text[row, column] = True
    (area,) = areas([cells((text, 12.0, degrees))])  # type: ignore[arg-type]
    assert math.degrees(area.angle) == pytest.approx(degrees, abs=2)
    assert area.bottom - area.top < 0.4 * (area.right - area.left)
    ends = np.stack([middle - 14 * along, middle + 14 * along]) * SIDE @ turned(area.angle).T
    assert ends[:, 1] == pytest.approx([(area.top + area.bottom) / 2] * 2, abs=SIDE)


def test_a_bent_line_is_parted_into_sectors() -> None:
    arc = cells()
    for angle in np.linspace(0, math.pi, 400):
        for radius in (19.5, 20.5):
            place = int(30 - radius * math.sin(angle)), int(30 - radius * math.cos(angle))
            arc.text[place], arc.height[place] = 0.9, 14.0
            arc.cosine[place], arc.sine[place] = -math.cos(2 * angle), math.sin(2 * angle)
    parts = areas([arc])
    assert all(area.bent for area in parts)
    angles = [math.degrees(area.angle) for area in parts]
    assert len(angles) >= 5
    assert min(angles) <= -55 and max(angles) >= 55


def test_low_letters_are_looked_for_in_the_largest_copy_only() -> None:
    low = (np.s_[10:12, 5:30], 1.5 * SIDE, 0.0)
    assert len(areas([cells(low)])) == 1
    assert areas([cells(), cells(low)]) == []


@pytest.mark.parametrize("degrees", [0.0, 30.0, -50.0])
def test_of_a_short_word_the_network_says_how_it_runs(degrees: float) -> None:
    (area,) = areas([cells((np.s_[10:14, 10:14], 20.0, degrees))])
    assert math.degrees(area.angle) == pytest.approx(degrees, abs=1)


def test_the_shape_of_a_long_line_says_how_it_runs_whatever_the_network_says() -> None:
    (area,) = areas([cells((LINE[0], LINE[1], 60.0))])
    assert area.angle == 0.0


def test_a_short_word_that_is_clearly_longer_than_high_shows_how_it_runs() -> None:
    (area,) = areas([cells((np.s_[10:12, 10:22], 20.0, 60.0))])
    assert area.angle == 0.0


def test_lines_close_together_are_not_taken_for_a_bent_one() -> None:
    bubble = np.full((300, 400, 3), 250, np.uint8)
    for number, text in enumerate(("WE MEET", "AT THE OLD", "HARBOUR")):
        bubble, _ = draw(bubble, Caption(text, RobotoBold, 34, y=0.35 + number * 0.13, colour=(20, 20, 20)))
    assert not any(area.bent for area in areas(first_look().cells(bubble, 400, 300, 1.0)))


@pytest.mark.parametrize(("height", "count"), [(12.0, 1), (20.0, 0)])
def test_of_low_letters_the_network_need_not_be_as_sure(height: float, count: int) -> None:
    assert len(areas([cells((np.s_[10:12, 5:15], height, 0.0), text=(LOW_PEAK + LEAST_PEAK) / 2)])) == count
