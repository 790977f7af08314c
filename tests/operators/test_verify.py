"""`verify` measures each new fill once, then accepts it or leaves it open with its reasons."""

from dataclasses import fields

import numpy as np
import pytest

from operators.masks.mask import dilated
from operators.rows.checks import reasons_of
from operators.rows.schema import check_schema
from operators.rows.table import fill_record, row_views
from operators.verify import CheckLimits, Verify

X, Y = 20, 40


@pytest.fixture(scope="module")
def crops(captioned, photo):
    """The crop with text, the same without, and the hole over its strokes."""
    picture, text = captioned
    window = np.s_[Y : Y + 100, X : X + 360]
    hole = dilated(text[window].astype(np.uint8), 3) > 0
    return np.ascontiguousarray(picture[window]), np.ascontiguousarray(photo[window]), hole


@pytest.fixture(scope="module")
def judged(crops, rows, open_region):
    """The region after verification of the given fill."""

    def work(fill, settings=None, **more):
        pixels, _, hole = crops
        more = {"rung": "telea", "passes": 1, **more}
        region = open_region(X, Y, pixels, hole, fill=None if fill is None else fill_record(fill), **more)
        done = Verify(**(settings or {})).apply(rows({"width": 512, "height": 512, "regions": [region]}))
        check_schema(done, "verify")
        assert done["failure"].to_pylist() == [None]
        return row_views(done)[0].regions[0]

    return work


@pytest.fixture(scope="module")
def truth(judged, crops):
    return judged(crops[1], {"gated": False})


@pytest.fixture(scope="module")
def ghost(judged, crops):
    return judged(crops[0])


def test_the_true_picture_is_accepted(truth):
    assert truth["state"] == "accepted"
    assert truth["checks"]
    assert all(check["passed"] for check in truth["checks"])
    assert reasons_of(truth["checks"]) == []


def test_a_fill_that_can_still_be_read_stays_open_and_says_so(ghost):
    assert ghost["state"] == "open"
    assert any(reason.startswith("telea: residual_text ") for reason in reasons_of(ghost["checks"]))


def test_a_measurement_is_recorded_with_its_limit(ghost):
    for check in ghost["checks"]:
        assert check["rung"] == "telea"
        assert check["passed"] == (not check["value"] > check["limit"])


def test_a_fill_of_another_colour_stays_open(judged, crops):
    _, clean, hole = crops
    fill = clean.copy()
    fill[hole] = (255, 0, 255)
    assert judged(fill)["state"] == "open"


@pytest.mark.parametrize("fill", [None, np.zeros((50, 180, 3), np.uint8)], ids=["none", "of another size"])
def test_a_missing_fill_is_never_accepted(judged, fill):
    region = judged(fill)
    assert region["state"] == "open"
    assert reasons_of(region["checks"])


def test_limits_decide(judged, crops):
    limits = {field.name: 1e9 for field in fields(CheckLimits) if field.name != "missing"}
    lenient = {"limits": CheckLimits(**limits), "gated": False}
    assert judged(crops[0], lenient)["state"] == "accepted"
    assert judged(None, lenient)["state"] == "open"


def test_checks_of_every_rung_are_kept_in_order(judged, crops):
    earlier = [{"rung": "navier_stokes", "name": "seam", "value": 9.0, "limit": 2.0, "passed": False}]
    checks = judged(crops[1], checks=earlier, passes=2)["checks"]
    assert checks[0] == earlier[0]
    assert {check["rung"] for check in checks[1:]} == {"telea"}


def test_an_accepted_region_is_not_measured_again(judged, crops):
    region = judged(crops[0], state="accepted")
    assert (region["state"], region["checks"]) == ("accepted", [])


def test_images_without_open_regions_pass_unchanged(rows):
    table = rows({"width": 9, "height": 9, "regions": []}, {"regions": None})
    assert Verify().apply(table).drop_columns(["timings"]).equals(table.drop_columns(["timings"]))


def test_a_given_mask_is_not_checked_for_text(judged, crops):
    checks = judged(crops[0], kind="mask")["checks"]
    assert [check["value"] for check in checks if check["name"] == "residual_text"] in ([], [0.0])


def test_an_edit_that_leaves_no_ring_to_compare_with_is_not_refused_for_it(rows, open_region):
    flat = np.full((40, 40, 3), 90, np.uint8)
    region = open_region(0, 0, flat, np.ones((40, 40), bool), kind="mask", rung="telea", passes=1, fill=fill_record(flat))
    done = Verify().apply(rows({"width": 40, "height": 40, "regions": [region]}))
    assert row_views(done)[0].regions[0]["state"] == "accepted"


# --- transparent pictures


def judge_on_white(rows, open_region, pixels, alpha, fill, hole):
    """The region of a transparent crop that lies on white, after verification of a fill."""
    transparency = {"alpha": alpha.tobytes(), "ground": 255}
    region = open_region(X, Y, pixels, hole, fill=fill_record(fill), rung="telea", passes=1, transparency=transparency)
    done = Verify(gated=False).apply(rows({"width": 512, "height": 512, "regions": [region]}))
    assert done["failure"].to_pylist() == [None]
    return row_views(done)[0].regions[0]


def test_letters_that_only_alpha_draws_are_gone_with_a_clear_fill(rows, open_region, captioned):
    _, text = captioned
    letters = text[Y : Y + 100, X : X + 360]
    alpha = np.where(letters, 255, 0).astype(np.uint8)
    pixels = np.where(letters[:, :, None], 0, 255).astype(np.uint8).repeat(3, axis=2)
    hole = dilated(letters.astype(np.uint8), 2) > 0
    assert judge_on_white(rows, open_region, pixels, alpha, np.full_like(pixels, 255), hole)["state"] == "accepted"


def test_letters_that_only_another_ground_shows_are_refused(rows, open_region, captioned):
    _, text = captioned
    letters = text[Y : Y + 100, X : X + 360]
    thick = dilated(letters.astype(np.uint8), 2) > 0
    alpha = np.where(thick, 255, 0).astype(np.uint8)
    pixels = np.full((*letters.shape, 3), 255, np.uint8)
    elsewhere = np.zeros_like(letters)
    elsewhere[:, ::40] = True
    region = judge_on_white(rows, open_region, pixels, alpha, pixels, letters & elsewhere)
    assert region["state"] == "open"
    assert any(reason.startswith("telea: residual_text ") for reason in reasons_of(region["checks"]))
