"""Rules decide about every character of a line: the first that fits, or `otherwise`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from operators.selection.rules import Rules, Selection, Text

LINE = Text(
    kind="text",
    polygons=[[[10, 10], [109, 10], [109, 29], [10, 29]]],
    height=20,
    width=100,
    angle=0,
    area=2000,
    score=0.8,
    opacity=math.nan,
    picture=(400, 200),
)


def rules(*entries: dict[str, Any], **more: Any) -> Rules:
    return Rules.model_validate({"rules": entries, **more})


def marked(which: Rules, read: str) -> str:
    """The text with `x` in place of what is erased."""
    decisions = which.decide(replace(LINE, read=read))
    return "".join("x" if decision.action == "erase" else c for c, decision in zip(read, decisions, strict=True))


def test_without_rules_everything_goes() -> None:
    assert marked(rules(), "ACME 5") == "xxxxxx"
    assert rules().decide(LINE)[0].rule == "otherwise"


def test_the_first_rule_that_fits_decides_and_gives_its_name() -> None:
    which = rules({"name": "brand", "keep": {"text": "ACME"}}, {"erase": {"kind": "price"}}, otherwise="keep")
    assert marked(which, "ACME $5 new") == "ACME xx new"
    names = [decision.rule for decision in which.decide(replace(LINE, read="ACME $5 new"))]
    assert [names[0], names[5], names[8]] == ["brand", "rule 2", "otherwise"]


def test_conditions_of_a_rule_must_hold_together_and_of_a_list_one() -> None:
    which = rules({"erase": {"text": ["one", "two"], "height": "10..30"}}, otherwise="keep")
    assert marked(which, "one two six") == "xxx xxx six"
    assert marked(rules({"erase": {"text": "one", "height": "30.."}}, otherwise="keep"), "one") == "one"


def test_not_turns_a_condition_around_and_also_means_what_cannot_be_read() -> None:
    which = rules({"keep": {"not": {"script": "latin"}}})
    assert marked(which, "東京 Tokyo") == "東京 xxxxx"
    assert which.decide(LINE)[0].action == "keep"


def test_only_rules_that_a_text_can_meet_make_it_be_read() -> None:
    prices = {"erase": {"kind": "price", "zone": "bottom:100%x20%"}}
    assert not rules(prices, otherwise="keep").must_read(LINE)
    low = replace(LINE, polygons=[[[10, 170], [109, 170], [109, 189], [10, 189]]])
    assert rules(prices, otherwise="keep").must_read(low)
    assert not rules({"keep": {"zone": "top:100%x50%"}}, {"erase": {"text": "x"}}).must_read(LINE)
    assert not rules({"erase": {"kind": "mark"}}, otherwise="keep").must_read(LINE)
    assert not rules({"erase": {"text": "x"}}).must_read(replace(LINE, kind="mark"))


def test_an_opacity_bounds_what_has_one() -> None:
    faint = rules({"erase": {"opacity": "..0.5"}}, otherwise="keep")
    actions = [faint.decide(replace(LINE, opacity=opacity))[0].action for opacity in (0.4, 0.6, math.nan)]
    assert actions == ["erase", "keep", "keep"]


def test_a_source_is_found_by_its_path_and_by_a_column() -> None:
    selection = Selection.model_validate(
        {
            "otherwise": "keep",
            "sources": [
                {"path": "acme/*", "otherwise": "erase", "most": "30%"},
                {"column": "supplier", "equals": [7, "globex"], "rules": [{"erase": {"kind": "price"}}], "otherwise": "keep"},
            ],
        }
    )
    assert selection.rules_for("acme/shoes/1.jpg", {}).most == "30%"
    assert selection.rules_for("other/1.jpg", {"supplier": 7}).needs_reading
    assert selection.rules_for("other/1.jpg", {"supplier": None}) is selection
    assert selection.columns == ["supplier"]
    assert selection.reads
    assert not selection.needs_reading
