"""`look_again` finds letters beside erased ones, and passes over every other image at no cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import operators.look_again
from operators.look_again import LookAgain
from operators.masks.mask import BLEND
from operators.rows.box import Box
from operators.rows.schema import check_schema
from operators.rows.table import fill_record, row_views
from operators.soften import Soften

GREY = (205, 208, 210)
CROP = np.s_[90:160, 40:240]


def draw(*words: tuple[str, int]) -> np.ndarray:
    """A grey page with words at x, all on one line."""
    image = Image.new("RGB", (500, 300), GREY)
    for word, x in words:
        ImageDraw.Draw(image).text((x, 105), word, fill=(15, 15, 20), font=ImageFont.load_default(40))
    return np.asarray(image)


@pytest.fixture
def erased(open_region):
    """A region of the word SUMMER with a clean fill."""

    def make(picture: np.ndarray, state: str = "accepted", **more: Any) -> dict[str, Any]:
        hole = np.zeros((70, 200), bool)
        hole[15:60, 8:185] = True
        fill = fill_record(np.full((70, 200, 3), GREY, np.uint8))
        return open_region(40, 90, picture[CROP], hole, state=state, fill=fill, passes=1, rung="hybrid", **more)

    return make


@pytest.fixture
def look(rows, saved):
    def work(picture: np.ndarray, *regions: dict[str, Any]) -> list[dict[str, Any]]:
        row = {"bytes": saved(picture, "PNG"), "width": 500, "height": 300, "regions": list(regions)}
        done = LookAgain().apply(rows(row))
        check_schema(done, "look_again")
        assert done["failure"].to_pylist() == [None]
        return done["regions"].to_pylist()[0]

    return work


def test_a_word_left_beside_an_erased_one_becomes_a_new_open_region(look, erased):
    picture = draw(("SUMMER", 50), ("SALE", 260))
    [first, second] = look(picture, erased(picture))
    assert first["state"] == "accepted"
    assert (second["state"], second["reason"], second["kind"], second["crop"]) == ("open", None, "text", None)
    corners = np.array(second["polygons"][0])
    assert (np.abs(corners.min(axis=0) - [262, 112]) < 12).all()
    box = second["probability"]["box"]
    assert box["x"] <= corners.min(axis=0)[0] and box["x"] + box["width"] >= corners.max(axis=0)[0]


def test_a_word_that_ends_outside_the_surroundings_is_softened_to_its_end(look, erased, rows, saved):
    picture = draw(("SUMMER", 50), ("SALE", 260))
    regions = look(picture, erased(picture))
    row = {"bytes": saved(picture, "PNG"), "width": 500, "height": 300, "regions": regions}
    region = row_views(Soften().apply(rows(row)))[0].regions[1]
    whole = np.zeros((300, 500), np.uint8)
    whole[region.crop.inside(Box(0, 0, 500, 300))] = region.array("mask", 4)[:, :, BLEND]
    letters = draw(("SALE", 260)).max(axis=2) < 150
    assert (whole[letters] == 255).all()


def test_the_detector_sees_the_picture_as_it_would_be_delivered(look, erased):
    picture = draw(("SUMMER", 50))
    assert [region["state"] for region in look(picture, erased(picture))] == ["accepted"]


def test_a_word_far_from_every_erased_one_is_not_looked_for(look, erased, monkeypatch):
    picture = draw(("SUMMER", 50), ("SALE", 390))
    seen = []
    find = operators.look_again.find_texts
    monkeypatch.setattr(operators.look_again, "find_texts", lambda *given: seen.append(given[1:3]) or find(*given))
    assert len(look(picture, erased(picture))) == 1
    [(width, height)] = seen
    assert width < 390 and height < 300


def test_open_regions_have_had_their_turn_and_are_refused(look, erased):
    picture = draw(("SUMMER", 50))
    [region] = look(picture, erased(picture, state="open"))
    assert (region["state"], region["fill"]) == ("refused", erased(picture)["fill"])


@pytest.mark.parametrize("state", ["open", "kept"])
def test_a_text_that_is_known_and_not_erased_is_not_found_again(look, erased, text_region, state):
    picture = draw(("SUMMER", 50), ("SALE", 260))
    known = {**text_region(258, 106, 110, 44), "score": 0.5, "state": state}
    regions = look(picture, erased(picture), known)
    assert [region["state"] for region in regions] == ["accepted", {"open": "refused", "kept": "kept"}[state]]


def test_kept_regions_stay_as_they_are_and_without_an_accepted_one_nobody_looks(look, erased, text_region, monkeypatch):
    monkeypatch.setattr(operators.look_again, "find_texts", None)
    picture = draw(("SUMMER", 50))
    kept = {**text_region(258, 106, 110, 44), "score": 0.5, "state": "kept", "reason": "too_high"}
    [first, second] = look(picture, erased(picture, state="open"), kept)
    assert first["state"] == "refused"
    assert {name: value for name, value in second.items() if value is not None} == kept


def test_an_image_with_nothing_to_look_at_is_not_even_decoded(rows, text_region):
    kept = {**text_region(10, 10, 40, 20), "state": "kept", "reason": "too_high"}
    table = rows(*({"bytes": b"no picture", "width": 9, "height": 9, "regions": found} for found in ([], None, [kept])))
    done = LookAgain().apply(table)
    assert done["failure"].to_pylist() == [None, None, None]
    assert done["regions"].equals(table["regions"])


def test_the_user_s_own_mask_is_not_looked_around(look, erased, monkeypatch):
    monkeypatch.setattr(operators.look_again, "find_texts", None)
    picture = draw(("SUMMER", 50), ("SALE", 260))
    assert [region["state"] for region in look(picture, erased(picture, kind="mask"))] == ["accepted"]
