"""Charts are inline SVG: bars to scale, whiskers where the intervals lie, every word escaped."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.reports.charts import COLOURS, LABEL, VALUE, WIDTH, bars, tiles

check = settings(deadline=None, max_examples=40)
GROUPS = {"photo": {"telea": 0.1, "patchmatch": 0.4}, "page": {"telea": 0.2, "patchmatch": 0.05}}

Chart = ElementTree.Element


def drawn(*arguments: object, **more: object) -> Chart:
    return ElementTree.fromstring(bars(*arguments, **more))


def lengths(chart: Chart) -> list[float]:
    return [float(bar.get("width", "nan")) for bar in chart.findall("rect")]


def words(chart: Chart, **wanted: str) -> list[str]:
    """The texts whose attributes are as wanted."""
    found = (text for text in chart.findall("text") if all(text.get(name) == value for name, value in wanted.items()))
    return ["".join(text.itertext()) for text in found]


def test_bars_are_as_long_as_their_values_the_longest_over_the_whole_width() -> None:
    assert lengths(drawn("", GROUPS)) == pytest.approx([390 / 4, 390, 195, 390 / 8], abs=0.06)
    assert WIDTH - LABEL - VALUE == 390


def test_bars_stand_below_each_other_without_touching() -> None:
    rows = [(float(bar.get("y", "")), float(bar.get("height", ""))) for bar in drawn("", GROUPS).findall("rect")]
    assert all(y + height < below for (y, height), (below, _) in pairwise(rows))


def test_every_value_is_written_at_the_end_of_its_bar_with_its_unit() -> None:
    chart = drawn("", {"image": {"p50": 12.3456, "p95": 1234.5}}, " ms")
    assert words(chart, **{"class": "value"}) == ["12.3 ms", "1.23e+03 ms"]
    ends = [float(text.get("x", "")) for text in chart.findall("text") if text.get("class") == "value"]
    assert ends == pytest.approx([LABEL + length + 5 for length in lengths(chart)], abs=1)


def test_every_bar_says_its_series_and_value_when_pointed_at() -> None:
    hints = ["".join(hint.itertext()) for hint in drawn("", GROUPS).findall("rect/title")]
    assert hints == ["telea: 0.1", "patchmatch: 0.4", "telea: 0.2", "patchmatch: 0.05"]


def test_groups_are_labelled_and_the_title_is_there() -> None:
    chart = drawn("Quality of fills", GROUPS)
    assert words(chart, **{"class": "title"}) == ["Quality of fills"]
    assert words(chart, **{"text-anchor": "end"}) == ["photo", "page"]


def test_a_series_has_one_colour_in_every_group_and_in_the_key() -> None:
    chart = drawn("", {"photo": {"one": 1, "other": 2}, "page": {"other": 3, "one": 4}})
    assert [bar.get("fill") for bar in chart.findall("rect")] == [COLOURS[0], COLOURS[1], COLOURS[1], COLOURS[0]]
    assert [span.get("fill") for span in chart.iter("tspan")] == [COLOURS[0], COLOURS[1]]


def test_a_single_series_needs_no_key() -> None:
    assert drawn("", {"photo": {"telea": 1}, "page": {"telea": 2}}).find(".//tspan") is None


@pytest.mark.parametrize("unknown", [math.nan, math.inf, -math.inf])
def test_what_could_not_be_measured_has_no_bar(unknown: float) -> None:
    chart = drawn("", {"photo": {"telea": 1.0, "patchmatch": unknown}})
    assert lengths(chart) == [390]
    assert words(chart, **{"class": "value"}) == ["1"]


def test_whiskers_reach_from_low_to_high_on_the_scale_of_the_bars() -> None:
    chart = drawn("", {"photo": {"telea": 0.5}}, intervals={"photo": {"telea": (0.25, 1.0)}})
    (whisker,) = chart.findall("line")
    assert lengths(chart) == [195]
    assert float(whisker.get("x1", "")) == LABEL + 390 / 4
    assert float(whisker.get("x2", "")) == LABEL + 390
    assert whisker.get("y1") == whisker.get("y2")


def test_a_bar_without_an_interval_has_no_whisker() -> None:
    assert len(drawn("", GROUPS, intervals={"photo": {"telea": (0.05, 0.2)}}).findall("line")) == 1


def test_words_are_escaped() -> None:
    chart = drawn("<b>a & b</b>", {"<script>": {'"one" & <two>': 1.0, "three": 2.0}})
    assert words(chart, **{"class": "title"}) == ["<b>a & b</b>"]
    assert words(chart, **{"text-anchor": "end"}) == ["<script>"]
    assert "".join(chart.findall("rect/title")[0].itertext()) == '"one" & <two>: 1'
    assert chart.find(".//script") is None


@pytest.mark.parametrize("groups", [{}, {"photo": {}}, {"photo": {"telea": math.nan}}, {"photo": {"telea": 0.0}}])
def test_a_chart_of_nothing_is_still_a_chart(groups: dict[str, dict[str, float]]) -> None:
    chart = drawn("nothing", groups)
    assert chart.tag == "svg"
    assert words(chart, **{"class": "title"}) == ["nothing"]


def test_a_chart_needs_nothing_from_elsewhere() -> None:
    text = bars("a chart", GROUPS)
    assert not re.search(r"https?:|href|src|url\(|<style|<script", text)


names = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8)
values = st.dictionaries(names, st.dictionaries(names, st.floats(0, 1e6), max_size=4), max_size=5)


@check
@given(values)
def test_everything_lies_inside_the_picture(groups: dict[str, dict[str, float]]) -> None:
    chart = drawn("any", groups)
    _, _, width, height = map(float, chart.get("viewBox", "").split())
    for bar in chart.findall("rect"):
        assert float(bar.get("x", "")) + float(bar.get("width", "")) <= width - VALUE + 0.1
        assert float(bar.get("y", "")) + float(bar.get("height", "")) <= height
    for text in chart.findall("text"):
        assert 0 <= float(text.get("y", "")) <= height


SHARES = {"crop": {"2-4 px": 0.1, "4-8 px": 0.75}, "file": {"4-8 px": 1.0}}


def grid(*arguments: object) -> Chart:
    return ElementTree.fromstring(tiles(*arguments))


def test_a_tile_stands_in_its_line_and_under_its_name() -> None:
    chart = grid("cliffs", SHARES)
    first, second, third = chart.findall("rect")
    assert second.get("x") == third.get("x") != first.get("x")
    assert first.get("y") == second.get("y") != third.get("y")
    assert words(chart, **{"class": "title"}) == ["cliffs"]
    assert words(chart, **{"text-anchor": "end"}) == ["crop", "file"]
    assert words(chart, **{"text-anchor": "middle"}) == ["2-4 px", "4-8 px", "0.10", "0.75", "1.00"]


def test_the_less_is_left_the_darker_the_tile() -> None:
    fills = [
        tile.get("fill", "") for tile in grid("", {"a": {str(share): share for share in (0, 0.3, 0.6, 1)}}).findall("rect")
    ]
    greens = [int(fill[3:5], 16) for fill in fills]
    assert greens == sorted(set(greens))
    assert fills[0] == "#5e172b"


def test_only_what_is_marked_has_a_frame() -> None:
    framed = [tile.get("stroke") is not None for tile in grid("", SHARES, {"crop": {"4-8 px"}, "file": ()}).findall("rect")]
    assert framed == [False, True, False]


def test_a_grid_escapes_words_and_may_be_empty() -> None:
    assert words(grid("<b>", {"<i>": {"&": 0.5}}), **{"text-anchor": "end"}) == ["<i>"]
    assert grid("nothing", {}).findall("rect") == []
