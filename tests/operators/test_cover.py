"""`cover` hides a text as a whole, keeps what stays, and accepts only what cannot be read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from flows.evaluation.draw_text import Caption, draw
from operators import cover as module
from operators.compose import Compose
from operators.cover import Cover
from operators.generators.covers import COVERS
from operators.rows.failure import RunError
from operators.soften import Soften

Rows = Callable[..., pa.Table]


@pytest.fixture(scope="module")
def card() -> tuple[np.ndarray, np.ndarray]:
    """A name above a number that nearly touches it, and the pixels of the name."""
    from font_roboto import RobotoMedium

    clean = np.full((120, 300, 3), 228, np.uint8)
    first, name = draw(clean, Caption("gypsy young", RobotoMedium, 32, 0.5, 0.32, (30, 30, 30)))
    both, _ = draw(first, Caption("0171 2345678", RobotoMedium, 32, 0.5, 0.6, (30, 30, 30)))
    return both, name > 0


@pytest.fixture
def softened(card: tuple[np.ndarray, np.ndarray], saved: Any, rows: Rows, text_region: Callable[..., Any]) -> pa.Table:
    """The number is open, the name is kept by a rule."""
    kept = {**text_region(60, 19, 180, 40), "state": "kept", "reason": "kept_by_rule", "rule": "names"}
    open_region = {**text_region(50, 55, 200, 34), "rule": "numbers"}
    table = rows({"bytes": saved(card[0], "PNG"), "width": 300, "height": 120, "regions": [kept, open_region]})
    return Soften().apply(table)


@pytest.mark.parametrize("how", COVERS)
def test_a_text_is_hidden_and_what_stays_keeps_its_pixels(
    how: str, softened: pa.Table, card: tuple[np.ndarray, np.ndarray]
) -> None:
    covered = Cover(how).apply(softened)
    (_, region), (row,) = covered["regions"].to_pylist()[0], Compose().apply(covered).to_pylist()
    assert [(check["name"], check["value"], check["passed"]) for check in region["checks"]] == [("readable", 0.0, True)]
    assert region["rung"] == how
    assert row["verdict"] == "edited"
    result = np.asarray(Image.open(io.BytesIO(row["encoded"])))
    assert (result[card[1]] == card[0][card[1]]).all()
    below = result[66:86, 60:240].astype(int)
    assert np.abs(below - card[0][66:86, 60:240]).max() > 100


def test_what_can_still_be_read_is_refused(softened: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COVERS", dict.fromkeys(COVERS, lambda pixels, *others: pixels.copy()))
    covered = Cover("blur").apply(softened)
    region = covered["regions"].to_pylist()[0][1]
    assert [(check["rung"], check["passed"]) for check in region["checks"]] == [("blur", False), ("color", False)]
    assert region["state"] == "open"
    (row,) = Compose().apply(covered).to_pylist()
    assert (row["verdict"], row["regions"][1]["reason"]) == ("rolled_back", "readable")


def test_one_colour_is_tried_where_something_else_can_be_read(softened: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COVERS", {**COVERS, "blur": lambda pixels, *others: pixels.copy()})
    region = Cover("blur").apply(softened)["regions"].to_pylist()[0][1]
    assert (region["state"], region["rung"]) == ("accepted", "color")


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(softened: pa.Table) -> None:
    fills = [Cover("pixelate", seed).apply(softened)["regions"].to_pylist()[0][1]["fill"]["data"] for seed in (1, 1, 2)]
    assert fills[0] == fills[1]
    assert fills[0] != fills[2]


def test_an_unknown_cover_is_refused_when_the_flow_is_built() -> None:
    with pytest.raises(RunError, match="color, blur, pixelate"):
        Cover("smear")
