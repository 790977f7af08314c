"""`compose` pastes accepted fills, changes nothing else, and gives the verdict."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import operators.compose
from operators.compose import Compose
from operators.masks.mask import BLEND
from operators.pictures.codec import encode_with_notes
from operators.rows.failure import Failure
from operators.rows.schema import check_schema
from operators.rows.table import fill_record, map_rows

SEAM = {"rung": "telea", "name": "seam", "value": 3.0, "limit": 2.0, "passed": False}


@pytest.fixture(scope="module")
def hole():
    hole = np.zeros((40, 60), bool)
    hole[10:20, 15:45] = True
    return hole


@pytest.fixture
def region(photo, open_region, hole):
    """A region at (100, 50) whose fill is one colour."""

    def make(state, colour=(1, 2, 3), **more):
        fill = fill_record(np.full((40, 60, 3), colour, np.uint8))
        return open_region(100, 50, photo[50:90, 100:160], hole, state=state, fill=fill, passes=1, rung="telea", **more)

    return make


def compose(rows, data, *regions, **more):
    done = Compose().apply(rows({"bytes": data, "regions": list(regions), **more}))
    check_schema(done, "compose")
    return done.to_pylist()[0]


def test_an_accepted_fill_is_pasted_and_nothing_else_changes(rows, saved, photo, region, hole):
    row = compose(rows, saved(photo, "PNG"), region("accepted"))
    expected = photo.copy()
    expected[50:90, 100:160][hole] = (1, 2, 3)
    assert (row["verdict"], row["reasons"]) == ("edited", [])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["encoded"]))), expected)


def test_an_edited_image_is_encoded_in_the_format_that_is_asked_for(rows, saved, photo, region, hole):
    table = rows({"bytes": saved(photo, "BMP"), "regions": [region("accepted")]})
    (row,) = Compose(to_format="png").apply(table).to_pylist()
    expected = photo.copy()
    expected[50:90, 100:160][hole] = (1, 2, 3)
    assert (row["verdict"], row["notes"]) == ("edited", ["converted: BMP to PNG"])
    shown = Image.open(io.BytesIO(row["encoded"]))
    assert shown.format == "PNG"
    assert np.array_equal(np.asarray(shown), expected)


def test_what_is_not_edited_is_not_converted(rows, saved, photo, region):
    table = rows({"bytes": saved(photo, "BMP"), "regions": [region("open", checks=[SEAM])]})
    (row,) = Compose(to_format="png").apply(table).to_pylist()
    assert (row["verdict"], row["encoded"], row["notes"]) == ("rolled_back", None, None)


def test_a_conversion_that_another_decoder_reads_otherwise_is_rolled_back(rows, saved, photo, region, monkeypatch):
    monkeypatch.setattr(
        "operators.pictures.converted._file", lambda picture, samples, source, target: (saved(photo[::-1], "PNG"), [])
    )
    (row,) = Compose(to_format="png").apply(rows({"bytes": saved(photo, "BMP"), "regions": [region("accepted")]})).to_pylist()
    assert (row["verdict"], row["reasons"], row["failure"]["operator"]) == ("rolled_back", ["written_wrongly"], "compose")


def test_a_composed_image_is_edited_whatever_filled_its_regions(rows, saved, photo, region):
    row = compose(rows, saved(photo, "PNG"), {**region("accepted"), "passes": 0, "checks": []})
    assert row["verdict"] == "edited"


def test_a_soft_weight_mixes_fill_and_source(rows, saved, photo, region, hole):
    soft = region("accepted")
    mask = np.zeros((40, 60, 4), np.uint8)
    mask[hole, BLEND] = 51
    row = compose(rows, saved(photo, "PNG"), {**soft, "mask": mask.tobytes()})
    expected = photo.copy()
    part = expected[50:90, 100:160]
    part[hole] = np.rint(part[hole] * 0.8 + np.array([1, 2, 3]) * 0.2)
    assert np.abs(np.asarray(Image.open(io.BytesIO(row["encoded"]))).astype(int) - expected).max() <= 1


def test_no_edit_reaches_into_a_text_that_a_rule_keeps_whatever_its_mask_says(rows, saved, photo, region, hole, text_region):
    kept = {**text_region(130, 52, 25, 36), "state": "kept", "reason": "kept_by_rule", "rule": "--keep ACME"}
    row = compose(rows, saved(photo, "PNG"), region("accepted"), kept)
    changed = (np.asarray(Image.open(io.BytesIO(row["encoded"]))) != photo).any(axis=2)
    assert not changed[52:88, 138:147].any()
    assert changed[60:70, 115:127].any()
    assert [each["state"] for each in row["regions"]] == ["erased", "kept"]


def test_a_refused_region_keeps_its_original_pixels_and_makes_the_edit_partial(rows, saved, photo, region, hole):
    open_region = region("open", checks=[SEAM])
    open_region["crop"] = {**open_region["crop"], "x": 300}
    row = compose(rows, saved(photo, "PNG"), region("accepted"), open_region)
    expected = photo.copy()
    expected[50:90, 100:160][hole] = (1, 2, 3)
    assert (row["verdict"], row["reasons"]) == ("partly_edited", ["telea: seam 3 > 2"])
    assert row["texts"] == {"found": 2, "erased": 1, "kept": 0, "refused": 1}
    assert [(end["state"], end["reason"]) for end in row["regions"]] == [("erased", None), ("refused", "seam")]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["encoded"]))), expected)


def test_without_an_accepted_fill_the_image_is_rolled_back_with_its_reasons(rows, saved, photo, region):
    row = compose(rows, saved(photo, "PNG"), region("open", checks=[SEAM]))
    assert (row["verdict"], row["encoded"], row["reasons"]) == ("rolled_back", None, ["telea: seam 3 > 2"])


def kept(text_region, reason="not_confirmed"):
    return {**text_region(10, 10, 40, 20), "state": "kept", "reason": reason}


def ends(row):
    return [(region["state"], region["reason"]) for region in row["regions"]]


def test_a_kept_text_gives_its_reason_and_takes_nothing_from_the_verdict(rows, saved, photo, region, text_region):
    row = compose(rows, saved(photo, "PNG"), region("accepted"), kept(text_region))
    assert (row["verdict"], row["reasons"]) == ("edited", ["not_confirmed"])
    assert row["texts"] == {"found": 2, "erased": 1, "kept": 1, "refused": 0}
    assert ends(row) == [("erased", None), ("kept", "not_confirmed")]


def test_an_image_whose_texts_are_all_kept_is_untouched_and_says_why(rows, saved, photo, text_region):
    row = compose(rows, saved(photo, "PNG"), kept(text_region), kept(text_region, "too_high"))
    assert (row["verdict"], row["encoded"], row["reasons"]) == ("untouched", None, ["not_confirmed", "too_high"])
    assert row["texts"] == {"found": 2, "erased": 0, "kept": 2, "refused": 0}


def test_the_reason_of_a_refused_text_is_the_last_check_that_it_failed(rows, saved, photo, region):
    ghost = {"rung": "patchmatch", "name": "residual_text", "value": 4.0, "limit": 1.0, "passed": False}
    row = compose(rows, saved(photo, "PNG"), region("open", checks=[SEAM, ghost]))
    assert row["reasons"] == ["telea: seam 3 > 2", "patchmatch: residual_text 4 > 1"]
    assert ends(row) == [("refused", "residual_text")]


def test_a_text_that_no_rung_tried_is_refused_as_not_filled(rows, saved, photo, open_region, hole):
    row = compose(rows, saved(photo, "PNG"), open_region(100, 50, photo[50:90, 100:160], hole))
    assert (row["verdict"], row["reasons"]) == ("rolled_back", ["not_filled"])
    assert ends(row) == [("refused", "not_filled")]


def test_a_text_refused_before_the_second_look_stays_refused(rows, saved, photo, region):
    row = compose(rows, saved(photo, "PNG"), region("accepted"), region("refused", checks=[SEAM]))
    assert row["verdict"] == "partly_edited"
    assert ends(row) == [("erased", None), ("refused", "seam")]


def test_the_doubts_about_an_erased_text_are_reasons_of_the_image_and_not_of_the_text(rows, saved, photo, region):
    first = {**SEAM, "rung": "ground"}
    row = compose(rows, saved(photo, "PNG"), region("accepted", checks=[first, SEAM]))
    assert (row["verdict"], row["reasons"]) == ("edited", ["telea: seam 3 > 2"])
    assert ends(row) == [("erased", None)]


@pytest.mark.parametrize(("difference", "verdict"), [(2, "untouched"), (3, "edited")])
def test_a_fill_that_nobody_can_see_is_no_edit(rows, saved, open_region, hole, difference, verdict):
    grey = np.full((512, 512, 3), 100, np.uint8)
    fill = fill_record(np.full((40, 60, 3), 100 + difference, np.uint8))
    accepted = open_region(100, 50, grey[50:90, 100:160], hole, state="accepted", fill=fill, passes=1, rung="telea")
    row = compose(rows, saved(grey, "PNG"), accepted)
    assert row["verdict"] == verdict
    if verdict == "untouched":
        assert (row["encoded"], row["reasons"]) == (None, ["no_visible_change"])
        assert ends(row) == [("kept", "no_visible_change")]
        assert row["texts"] == {"found": 1, "erased": 0, "kept": 1, "refused": 0}


@pytest.mark.parametrize("regions", [[], None])
def test_an_image_with_nothing_to_erase_is_untouched(rows, saved, photo, regions):
    done = Compose().apply(rows({"bytes": saved(photo, "PNG"), "regions": regions})).to_pylist()[0]
    assert (done["verdict"], done["encoded"], done["reasons"]) == ("untouched", None, [])
    assert done["texts"] == {"found": 0, "erased": 0, "kept": 0, "refused": 0}


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("animated", "skipped"),
        ("pixels_over_limit", "skipped"),
        ("mask_missing", "skipped"),
        ("operator_error", "rolled_back"),
        ("out_of_memory", "rolled_back"),
        ("truncated", "failed"),
        ("storage_error", "failed"),
    ],
)
def test_a_failure_has_its_verdict_and_its_code_as_the_reason(rows, code, verdict):
    def fail(row):
        raise Failure(code, "x")

    row = Compose().apply(map_rows(rows({"regions": None}), "fetch", (), fail)).to_pylist()[0]
    assert (row["verdict"], row["encoded"], row["reasons"]) == (verdict, None, [code])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_the_format_and_the_size_stay(rows, saved, photo, region, kind):
    image = Image.fromarray(photo)
    row = compose(rows, saved(image.quantize(64) if kind == "GIF" else image, kind), region("accepted"))
    assert row["verdict"] == "edited"
    after = Image.open(io.BytesIO(row["encoded"]))
    assert (after.format, after.size) == (kind, (512, 512))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_file_that_was_written_wrongly_is_rolled_back(rows, saved, photo, region, kind, monkeypatch):
    def write_upside_down(edited, source, previews):
        turned = replace(edited, stored=edited.stored[::-1].copy(), changed=np.ones_like(edited.changed))
        return encode_with_notes(turned, source, previews)

    monkeypatch.setattr(operators.compose, "encode_with_notes", write_upside_down)
    image = Image.fromarray(photo)
    row = compose(rows, saved(image.quantize(64) if kind == "GIF" else image, kind), region("accepted"))
    assert (row["verdict"], row["encoded"], row["reasons"]) == ("rolled_back", None, ["written_wrongly"])
    assert row["failure"]["code"] == "written_wrongly"
    assert ends(row) == [("refused", "written_wrongly")]
    assert row["texts"] == {"found": 1, "erased": 0, "kept": 0, "refused": 1}


def test_the_order_of_regions_does_not_matter(rows, saved, photo, region):
    first, second = region("accepted"), region("accepted", colour=(200, 100, 50))
    second["crop"] = {**second["crop"], "x": 110, "y": 55}
    data = saved(photo, "PNG")
    assert compose(rows, data, first, second)["encoded"] == compose(rows, data, second, first)["encoded"]


def test_a_fill_lands_upright_in_a_turned_file(rows, saved, photo, region, hole):
    exif = Image.Exif()
    exif[0x0112] = 6
    row = compose(rows, saved(photo, "PNG", exif=exif), region("accepted"))
    stored = np.asarray(Image.open(io.BytesIO(row["encoded"])))
    upright = np.rot90(photo, -1).copy()
    upright[50:90, 100:160][hole] = (1, 2, 3)
    assert np.array_equal(np.rot90(stored, -1), upright)


def test_verdicts_are_given_row_by_row(rows, saved, photo, region):
    data = saved(photo, "PNG")
    done = Compose().apply(
        rows(
            {"bytes": data, "regions": [region("accepted")]},
            {"bytes": data, "regions": []},
            {"bytes": data, "regions": [region("open", checks=[SEAM])]},
        )
    )
    assert done["verdict"].to_pylist() == ["edited", "untouched", "rolled_back"]


def test_a_file_that_is_coded_again_as_a_whole_says_how_far_it_is_from_its_source(rows, saved, photo, region):
    lossy = compose(rows, saved(photo, "WEBP", quality=90), region("accepted"))
    lossless = compose(rows, saved(photo, "WEBP", lossless=True, exact=True), region("accepted"))
    before, after = (
        np.asarray(Image.open(io.BytesIO(file))).astype(int) for file in (saved(photo, "WEBP", quality=90), lossy["encoded"])
    )
    outside = np.ones(photo.shape[:2], bool)
    outside[50:90, 100:160] = False
    (note,) = lossy["notes"]
    mean = float(note.split()[3].rstrip(","))
    assert note.startswith("recoded: mean difference ")
    assert abs(mean - np.abs(before - after)[outside].mean()) < 0.02
    assert lossless["notes"] == []
