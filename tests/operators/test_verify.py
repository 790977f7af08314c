"""`verify` measures each new fill once, then accepts it or leaves it open with its reasons."""

from dataclasses import fields

import numpy as np
import pytest

from operators.decisions.best_fill import excess
from operators.decisions.gate import Model
from operators.masks.mask import dilated
from operators.rows.checks import judged_rungs, last_checks, reasons_of
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


@pytest.fixture(scope="module")
def climbed(crops, rows, open_region):
    """The region after a ladder of the given fills, each of a rung named by its number."""

    def work(*fills, **settings):
        pixels, _, hole = crops
        region = open_region(X, Y, pixels, hole)
        for number, fill in enumerate(fills, 1):
            attempt = {"fill": None if fill is None else fill_record(fill), "rung": f"rung {number}", "seed": number}
            region = {**region, **attempt, "passes": number}
            last = number == len(fills)
            verify = Verify(remembers=settings.get("remembers", True), delivers=last and settings.get("delivers", True))
            done = verify.apply(rows({"width": 512, "height": 512, "regions": [region]}))
            check_schema(done, "verify")
            assert done["failure"].to_pylist() == [None]
            region = done["regions"].to_pylist()[0][0]
        return region

    return work


def coloured(crops, colour):
    """A fill of one colour, which no gate accepts."""
    _, clean, hole = crops
    fill = clean.copy()
    fill[hole] = colour
    return fill


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 1)])
def test_the_best_refused_fill_is_delivered_whatever_its_place(climbed, crops, order):
    fills = [crops[0], coloured(crops, (255, 0, 255))]
    values = {1: climbed(fills[1]), 0: climbed(fills[0])}
    better = min(values, key=lambda number: excess(last_checks(values[number]["checks"])))
    region = climbed(*(fills[number] for number in order))
    assert region["state"] == "accepted"
    assert region["fill"]["data"] == fills[better].tobytes()
    assert (region["rung"], region["seed"]) == (f"rung {order.index(better) + 1}", order.index(better) + 1)
    assert region["best"] is None


def test_the_doubts_about_the_delivered_fill_are_its_last_checks(climbed, crops):
    alone, region = (
        climbed(coloured(crops, (150, 60, 150))),
        climbed(coloured(crops, (150, 60, 150)), coloured(crops, (255, 0, 255))),
    )
    assert reasons_of(alone["checks"])
    assert [check["value"] for check in last_checks(region["checks"])] == [check["value"] for check in alone["checks"]]
    assert [check["rung"] for check in last_checks(region["checks"])] == ["rung 1"] * len(alone["checks"])
    assert judged_rungs(region["checks"]) == ["rung 2", "rung 1"]


def test_the_mask_of_the_best_fill_comes_back_with_it(climbed, crops, rows):
    region = climbed(coloured(crops, (150, 60, 150)), delivers=False)
    grown = {**region, "mask": b"\xff" * len(region["mask"]), "passes": 2, "rung": "rung 2", "fill": None}
    (done,) = Verify(delivers=True).apply(rows({"width": 512, "height": 512, "regions": [grown]}))["regions"].to_pylist()[0]
    assert (done["mask"], done["rung"], done["state"]) == (region["mask"], "rung 1", "accepted")


def test_without_any_fill_the_region_stays_open(climbed):
    region = climbed(None, None)
    assert (region["state"], region["best"]) == ("open", None)


def test_a_refused_fill_is_delivered_although_the_last_rung_failed(climbed, crops):
    region = climbed(crops[0], None)
    assert (region["state"], region["rung"]) == ("accepted", "rung 1")


def test_a_fill_that_passes_is_taken_before_a_remembered_one(crops, rows, open_region):
    pixels, clean, hole = crops
    region = open_region(X, Y, pixels, hole, fill=fill_record(pixels), rung="telea", passes=1)
    (refused,) = (
        Verify(remembers=True).apply(rows({"width": 512, "height": 512, "regions": [region]}))["regions"].to_pylist()[0]
    )
    assert refused["best"]["fill"]["data"] == pixels.tobytes()
    second = {**refused, "fill": fill_record(clean), "rung": "telea", "passes": 2}
    verify = Verify(gated=False, remembers=True, delivers=True)
    (done,) = verify.apply(rows({"width": 512, "height": 512, "regions": [second]}))["regions"].to_pylist()[0]
    assert (done["state"], done["fill"]["data"], done["best"]) == ("accepted", clean.tobytes(), None)


def test_without_remembering_no_fill_is_kept(climbed, crops):
    region = climbed(crops[0], crops[0], remembers=False, delivers=False)
    assert (region["state"], region["best"]) == ("open", None)


def test_a_text_over_a_face_is_refused_if_its_strokes_hide_the_face(judged, crops):
    lenient = {"gated": False}
    over, thin, beside = (
        judged(crops[1], lenient, metadata=list(figures.items()))
        for figures in (
            {"on_face": 0.3, "face_strokes": 0.2},
            {"on_face": 0.3, "face_strokes": 0.02},
            {"on_face": 0.01, "face_strokes": 0.2},
        )
    )
    assert over["state"] == "open"
    assert reasons_of(over["checks"]) == ["telea: face_damage 0.2 > 0.03"]
    assert [region["state"] for region in (thin, beside)] == ["accepted", "accepted"]
    assert "face_damage" not in {check["name"] for check in beside["checks"]}


def test_a_user_s_own_mask_may_remove_a_face(judged, crops):
    face = [("on_face", 1.0), ("face_strokes", 0.9)]
    assert judged(crops[1], {"gated": False}, kind="mask", metadata=face)["state"] == "accepted"


def test_a_text_over_a_face_has_half_the_gate_s_bound(judged, crops, monkeypatch):
    model = Model(mean=[0.0] * 20, scale=[1.0] * 20, examples=[[0.0] * 20], weights=[0.0], bias=0.0, bound=1.0)
    monkeypatch.setattr("operators.verify.model_of", lambda rung: model)
    monkeypatch.setattr("operators.decisions.gate.features", lambda measurements: np.zeros(20))
    for figures, bound in (({}, 1.0), ({"on_face": 0.3, "face_strokes": 0.0}, 0.5)):
        checks = judged(crops[1], metadata=list(figures.items()))["checks"]
        (gated,) = (check for check in checks if check["name"] == "predicted_error")
        assert (gated["value"], gated["limit"]) == (pytest.approx(0.9), bound)


@pytest.mark.parametrize("plain", [0.0, 1.0])
def test_the_gate_judges_fills_of_plain_ground_and_of_texture(monkeypatch, plain):
    model = Model(mean=[0.0] * 20, scale=[1.0] * 20, examples=[[0.0] * 20], weights=[0.0], bias=3.0, bound=1.0)
    monkeypatch.setattr("operators.verify.model_of", lambda rung: model)
    monkeypatch.setattr("operators.decisions.gate.features", lambda measurements: np.zeros(20))
    measured = {**dict.fromkeys(("residual_text", "structure", "colour_shift", "jump", "seam"), 0.0), "plain": plain}
    checks = {check["name"]: check["passed"] for check in Verify().check_fill("telea", measured)}
    assert [name for name, passed in checks.items() if not passed] == ["predicted_error"]


def test_the_settings_of_a_run_hold_what_the_calibration_promises(monkeypatch):
    promise = {"set": "report", "kept": 100, "bad": 1, "most_bad": 0.046, "confidence": 0.95}
    monkeypatch.setattr("operators.verify.promises", lambda: {"hybrid": promise})
    assert Verify().settings()["promise"] == {"hybrid": promise}


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
