"""`select` keeps and erases by rules, part by part of a line, and reads only where it must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flows.evaluation.draw_text import Caption, draw_all
from operators import select as module
from operators.select import Select
from operators.selection.rule_file import Options
from operators.selection.rules import Selection

Saved = Callable[..., bytes]


@pytest.fixture(scope="module")
def sign() -> np.ndarray:
    from font_roboto import RobotoMedium

    captions = (
        Caption("Mail: jane@example.org now", RobotoMedium, 24, 0.5, 0.2, (20, 20, 20)),
        Caption("ACME deluxe", RobotoMedium, 30, 0.5, 0.55, (20, 20, 20)),
        Caption("$ 19.99", RobotoMedium, 30, 0.5, 0.8, (20, 20, 20)),
    )
    return draw_all(np.full((260, 500, 3), 235, np.uint8), captions)[0]


BOXES = ((85, 34, 330, 36), (150, 122, 200, 42), (185, 188, 130, 42))


@pytest.fixture
def found(sign: np.ndarray, saved: Saved, rows: Callable[..., pa.Table], text_region: Callable[..., Any]) -> pa.Table:
    regions = [text_region(*box) for box in BOXES]
    return rows({"bytes": saved(sign, "PNG"), "width": 500, "height": 260, "regions": regions})


def decided(table: pa.Table) -> list[tuple[str, str | None, str, str | None]]:
    (regions,) = table["regions"].to_pylist()
    return [(region["state"], region["reason"], region["rule"], region["text"]) for region in regions]


def test_only_the_address_of_a_line_goes_and_the_rest_of_the_line_stays(found: pa.Table) -> None:
    (regions,) = Select(Options(only=("email",)).selection()).apply(found)["regions"].to_pylist()
    assert [(region["state"], region["text"]) for region in regions] == [
        ("kept", "Mail:"),
        ("open", "jane@example.org"),
        ("kept", "now"),
        ("kept", "ACME deluxe"),
        ("kept", "$ 19.99"),
    ]
    assert [region["rule"] for region in regions[:2]] == ["otherwise", "--only email"]
    assert [region["reason"] for region in regions[:2]] == ["not_selected", None]
    edges = [[min(x for x, _ in region["polygons"][0]), max(x for x, _ in region["polygons"][0])] for region in regions[:3]]
    assert edges[0][1] == edges[1][0]
    assert edges[1][1] == edges[2][0]
    assert [edges[0][0], edges[2][1]] == pytest.approx([85, 414], abs=1)


def test_the_cuts_run_through_gaps_between_letters(found: pa.Table, sign: np.ndarray) -> None:
    (regions,) = Select(Options(only=("email",)).selection()).apply(found)["regions"].to_pylist()
    for region in regions[:2]:
        cut = round(max(x for x, _ in region["polygons"][0]))
        assert (sign[34:70, cut - 1 : cut + 2] == 235).all()


def test_a_kept_name_stays_and_all_else_goes(found: pa.Table) -> None:
    result = decided(Select(Options(keep=("ACME",)).selection()).apply(found))
    assert result[1:3] == [("kept", "kept_by_rule", "--keep ACME", "ACME"), ("open", None, "otherwise", "deluxe")]
    assert {state for state, *_ in (result[0], *result[3:])} == {"open"}


def test_a_text_that_cannot_be_read_stays_if_texts_are_kept_for_what_they_say(
    sign: np.ndarray, saved: Saved, rows: Callable[..., pa.Table], text_region: Callable[..., Any]
) -> None:
    blank = rows({"bytes": saved(sign, "PNG"), "width": 500, "height": 260, "regions": [text_region(20, 235, 200, 20)]})
    assert decided(Select(Options(keep=("ACME",)).selection()).apply(blank)) == [("kept", "unsure_reading", "--keep ACME", "")]
    assert decided(Select(Options(height="5..").selection()).apply(blank)) == [("open", None, "--height 5..", None)]


def test_nothing_is_read_or_decoded_unless_a_rule_depends_on_it(found: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_line", lambda *arguments: pytest.fail("read"))
    monkeypatch.setattr(module.FRAME_CACHE, "picture", lambda *arguments: pytest.fail("decoded"))
    select = Select(Options(zone=("bottom:100%x40%",), height="5..").selection())
    select.open()
    assert select.models() == []
    assert [line[:3] for line in decided(select.apply(found))] == [
        ("kept", "not_selected", "--zone bottom:100%x40%"),
        ("kept", "not_selected", "--zone bottom:100%x40%"),
        ("open", None, "--zone bottom:100%x40%, --height 5.."),
    ]


LIMITS = {
    "zone": (Options(zone=("bottom:100%x5%",)), "not_selected", "--zone bottom:100%x5%"),
    "not zone": (Options(not_zone=("top:100%x100%",)), "kept_by_rule", "--not-zone top:100%x100%"),
    "kind": (Options(kind=("mark,mask",)), "not_selected", "--kind mark,mask"),
    "script": (Options(script=("han",)), "not_selected", "--script han"),
    "height": (Options(height="100..", score="0.1.."), "not_selected", "--height 100.."),
    "width": (Options(width="..5"), "not_selected", "--width ..5"),
    "size": (Options(size="..1%"), "not_selected", "--size ..1%"),
    "angle": (Options(angle="5.."), "not_selected", "--angle 5.."),
    "score": (Options(score="1.."), "not_selected", "--score 1.."),
    "opacity": (Options(opacity="..0.5"), "not_selected", "--opacity ..0.5"),
}


@pytest.mark.parametrize(("options", "reason", "rule"), LIMITS.values(), ids=LIMITS)
def test_the_option_that_leaves_a_text_is_named(found: pa.Table, options: Options, reason: str, rule: str) -> None:
    assert {line[:3] for line in decided(Select(options.selection()).apply(found))} == {("kept", reason, rule)}


def test_only_regions_that_rules_mean_are_read(found: pa.Table) -> None:
    selection = Options(only=("price",), zone=("bottom:100%x40%",)).selection()
    assert [text for *_, text in decided(Select(selection).apply(found))] == [None, None, "$ 19.99"]


def test_what_is_read_stays_out_of_the_ledger_if_it_may_be_private(found: pa.Table) -> None:
    result = Select(Options(only=("email",)).selection(), keeps_text=False).apply(found)
    assert [text for *_, text in decided(result)] == [None] * 5
    assert result["regions"].to_pylist()[0][0]["text_confidence"] > 0.9


def test_a_picture_of_which_too_much_would_go_keeps_it_all(found: pa.Table) -> None:
    result = decided(Select(Options(keep=("deluxe",), most="5%").selection()).apply(found))
    assert {line[:3] for line in result} == {("kept", "too_much", "most"), ("kept", "kept_by_rule", "--keep deluxe")}


def test_a_region_with_a_decision_passes_unchanged(found: pa.Table) -> None:
    once = Select(Options(only=("email",)).selection()).apply(found)
    assert Select(Options(keep=("jane",)).selection()).apply(once)["regions"].equals(once["regions"])


def test_each_supplier_has_its_own_rules(
    sign: np.ndarray, saved: Saved, rows: Callable[..., pa.Table], text_region: Any
) -> None:
    selection = Selection.model_validate(
        {
            "otherwise": "keep",
            "sources": [
                {"path": "a/*", "rules": [{"name": "prices of A", "erase": {"kind": "price"}}], "otherwise": "keep"},
                {"column": "supplier", "equals": "B", "rules": [{"name": "brand of B", "keep": {"text": "ACME"}}]},
            ],
        }
    )
    picture = {"bytes": saved(sign, "PNG"), "width": 500, "height": 260, "regions": [text_region(*box) for box in BOXES[1:]]}
    table = rows({**picture, "path": "a/1.png"}, {**picture, "path": "b/1.png"}, {**picture, "path": "c/1.png"})
    table = table.append_column("supplier", pa.array(["A", "B", None]))
    regions = Select(selection).apply(table)["regions"].to_pylist()
    assert [[(region["state"], region["rule"]) for region in row] for row in regions] == [
        [("kept", "a/*: otherwise"), ("open", "a/*: prices of A")],
        [("kept", "supplier B: brand of B"), ("open", "supplier B: otherwise"), ("open", "supplier B: otherwise")],
        [("kept", "otherwise"), ("kept", "otherwise")],
    ]


@pytest.mark.parametrize(
    ("options", "state"),
    [
        (Options(zone=("500,10:20x20", "bottom:100%x20%")), "kept"),
        (Options(zone=("499,10:20x20",)), "kept"),
        (Options(not_zone=("10,260:20x20",)), "open"),
    ],
)
def test_a_zone_that_holds_no_pixel_of_a_picture_is_noted(found: pa.Table, options: Options, state: str) -> None:
    (row,) = Select(options.selection()).apply(found).to_pylist()
    assert row["regions"][0]["state"] == state
    outside = [zone for zone in (*options.zone, *options.not_zone) if zone.startswith(("500,", "10,260:"))]
    assert (row["notes"] or []) == [f"zone_outside: {zone}" for zone in outside]


def test_a_fill_over_a_text_that_only_the_second_look_finds_and_keeps_is_given_up(found: pa.Table) -> None:
    (regions,) = found["regions"].to_pylist()
    crooked = {
        **regions[2],
        "polygons": [[[230, 190], [330, 205], [326, 228], [226, 213]]],
        "state": "accepted",
        "rule": "otherwise",
    }
    other = {**regions[0], "state": "accepted", "rule": "otherwise"}
    column = found.schema.get_field_index("regions")
    table = found.set_column(column, "regions", pa.array([[other, crooked, regions[2]]], found.schema.field("regions").type))
    result = decided(Select(Options(keep=("price",)).selection()).apply(table))
    assert [line[:3] for line in result] == [
        ("accepted", None, "otherwise"),
        ("kept", "kept_by_rule", "--keep price"),
        ("kept", "kept_by_rule", "--keep price"),
    ]


def test_a_text_that_the_detector_saw_in_part_is_kept_as_far_as_the_rule_means(found: pa.Table, text_region: Any) -> None:
    column = found.schema.get_field_index("regions")
    part = text_region(185, 188, 70, 42)
    table = found.set_column(column, "regions", pa.array([[part]], found.schema.field("regions").type))
    (regions,) = Select(Options(keep=(r"19\.99",)).selection()).apply(table)["regions"].to_pylist()
    assert [region["state"] for region in regions] == ["kept"]
    assert max(x for x, _ in regions[0]["polygons"][0]) == pytest.approx(305, abs=15)


def test_the_settings_of_a_run_hold_the_rules_as_data() -> None:
    settings = Select(Options(keep=("ACME",)).selection()).settings()
    assert settings["selection"] == {"rules": [{"name": "--keep ACME", "keep": {"text": ["ACME"]}}], "otherwise": "erase"}
