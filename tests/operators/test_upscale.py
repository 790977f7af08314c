"""`upscale` brings fills to their crop's size, and keeps detail only if it suits the ring."""

import cv2
import numpy as np
import pytest

from operators.rows.box import Box
from operators.rows.regions import new_region
from operators.rows.schema import check_schema
from operators.rows.table import fill_record, row_views
from operators.upscale import Upscale, count_lost_octaves

SIDE = 96


@pytest.fixture(scope="module")
def crop(photo):
    """A textured crop and a hole in its middle."""
    hole = np.zeros((SIDE, SIDE), bool)
    hole[30:66, 30:66] = True
    return np.ascontiguousarray(photo[320:416, 240:336]), hole


@pytest.fixture(scope="module")
def half(crop):
    """The clean crop at half its sides, as a generator of that resolution would give it at best."""
    return cv2.resize(crop[0], (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)


def mask_of(hole, confidence=255):
    mask = np.zeros((*hole.shape, 4), np.uint8)
    mask[hole] = (255, 255, confidence, 0)
    return mask


def upscaled(rows, region, **settings):
    done = Upscale(**settings).apply(rows({"width": 512, "height": 512, "regions": [region]}))
    check_schema(done, "upscale")
    assert done["failure"].to_pylist() == [None]
    return row_views(done)[0].regions[0]


def figures(region):
    return {check["name"].removeprefix("detail_"): check["value"] for check in region["checks"]}


def test_a_fill_smaller_than_its_crop_comes_out_at_crop_size_and_its_numbers_are_kept(rows, open_region, crop, half):
    fill = fill_record(half)
    region = upscaled(rows, open_region(240, 320, *crop, fill=fill, rung="diffusion"))
    assert region.fill().shape == (SIDE, SIDE, 3)
    assert {check["rung"] for check in region["checks"]} == {"diffusion"}
    assert all(check["passed"] for check in region["checks"])
    assert region["enhanced"] == bool(figures(region)["kept"])
    assert "deficit" in figures(region)


@pytest.mark.parametrize("shape", [(1, 1), (7, 90), (48, 31)])
@pytest.mark.parametrize("threshold", [-1.0, 1e9])
def test_whatever_its_shape_a_fill_gets_its_crops_size(rows, open_region, crop, shape, threshold):
    fill = fill_record(np.full((*shape, 3), 99, np.uint8))
    region = upscaled(rows, open_region(240, 320, *crop, fill=fill, rung="x"), threshold=threshold)
    assert region.fill().shape == (SIDE, SIDE, 3)


def test_fills_of_full_size_and_accepted_regions_pass_untouched(rows, open_region, crop, half):
    full = open_region(240, 320, *crop, fill=fill_record(crop[0]), rung="x")
    accepted = open_region(240, 320, *crop, fill=fill_record(half), rung="x", state="accepted")
    for region in (full, accepted):
        table = rows({"width": 512, "height": 512, "regions": [region]})
        assert Upscale().apply(table).drop_columns(["timings"]).equals(table.drop_columns(["timings"]))


def test_a_text_that_is_kept_and_has_no_crop_does_not_hinder_the_others(rows, open_region, crop, half):
    kept = new_region([[[0, 0], [9, 0], [9, 9]]], 0.6, "text", np.ones((4, 4), np.uint8), Box(0, 0, 10, 10), "not_confirmed")
    filled = open_region(240, 320, *crop, fill=fill_record(half), rung="x")
    done = Upscale().apply(rows({"width": 512, "height": 512, "regions": [kept, filled]}))
    assert done["failure"].to_pylist() == [None]
    first, second = done["regions"].to_pylist()[0]
    assert (first["fill"], second["fill"]["width"]) == (None, SIDE)


def test_a_lost_detail_is_rebuilt_and_comes_closer_to_the_ring(crop, half):
    pixels, hole = crop
    fill, measurements = Upscale(threshold=0.0).rebuild(pixels, mask_of(hole), half)
    assert measurements["deficit"] > 0
    assert measurements["kept"] == 1
    assert measurements["bands_rebuilt"] < measurements["bands_plain"]
    assert measurements["overshoot"] <= 0
    assert measurements["colour_shift"] <= Upscale.most_colour_shift
    plain, _ = Upscale(threshold=1e9).rebuild(pixels, mask_of(hole), half)
    assert not np.array_equal(fill[hole], plain[hole])


def test_below_the_threshold_nothing_is_tried(crop, half):
    _, measurements = Upscale(threshold=1e9).rebuild(crop[0], mask_of(crop[1]), half)
    assert set(measurements) == {"deficit", "kept"}
    assert measurements["kept"] == 0


def test_in_a_flat_picture_nothing_is_missing(crop):
    flat = np.full((SIDE, SIDE, 3), 120, np.uint8)
    fill, measurements = Upscale().rebuild(flat, mask_of(crop[1]), flat[::2, ::2])
    assert measurements["kept"] == 0
    assert (fill == 120).all()


def test_letters_left_in_the_ring_do_not_make_a_smooth_picture_detailed(crop):
    smooth = np.full((SIDE, SIDE, 3), 120, np.uint8)
    smooth[22:28, 20:76:6] = 0
    fill = np.full((SIDE // 2, SIDE // 2, 3), 120, np.uint8)
    _, measurements = Upscale().rebuild(smooth, mask_of(crop[1]), fill)
    assert measurements["deficit"] == 0


def test_detail_that_leads_away_from_the_ring_is_not_kept(crop, half):
    pixels, hole = crop
    smooth = cv2.GaussianBlur(pixels, (0, 0), 6)
    smooth[hole] = pixels[hole]
    fill, measurements = Upscale(threshold=-1e9).rebuild(smooth, mask_of(hole), half)
    plain, _ = Upscale(threshold=1e9).rebuild(smooth, mask_of(hole), half)
    assert measurements["kept"] == 0
    assert measurements["bands_rebuilt"] >= measurements["bands_plain"]
    assert np.array_equal(fill, plain)


def test_a_shift_of_colour_is_not_kept(crop, half):
    _, measurements = Upscale(threshold=-1e9, most_colour_shift=-1.0).rebuild(crop[0], mask_of(crop[1]), half)
    assert measurements["kept"] == 0


def test_new_text_is_not_kept(crop, half):
    _, measurements = Upscale(threshold=-1e9, most_text=-2.0).rebuild(crop[0], mask_of(crop[1]), half)
    assert measurements["kept"] == 0
    assert "text" in measurements


def test_detail_counts_by_the_masks_confidence(crop, half):
    pixels, hole = crop
    plain, _ = Upscale(threshold=1e9).rebuild(pixels, mask_of(hole), half)
    sure, _ = Upscale(threshold=0.0).rebuild(pixels, mask_of(hole), half)
    unsure, _ = Upscale(threshold=0.0).rebuild(pixels, mask_of(hole, confidence=0), half)
    assert np.abs(sure.astype(int) - plain)[hole].mean() > 1
    assert np.array_equal(unsure, plain)


def test_without_a_ring_nothing_is_judged(half):
    everywhere = np.ones((SIDE, SIDE), bool)
    _, measurements = Upscale().rebuild(np.zeros((SIDE, SIDE, 3), np.uint8), mask_of(everywhere), half)
    assert np.isnan(measurements["deficit"])
    assert measurements["kept"] == 0


@pytest.mark.parametrize(
    ("shape", "octaves"), [((96, 96), 0), ((95, 96), 1), ((48, 48), 1), ((47, 48), 2), ((24, 24), 2), ((1, 1), 4)]
)
def test_a_resolution_loses_its_octaves(crop, shape, octaves):
    assert count_lost_octaves(np.zeros((*shape, 3), np.uint8), crop[0]) == octaves
