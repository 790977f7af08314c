"""`soften` covers every stroke, pastes back a region's own, and gives each text its own crop."""

import cv2
import numpy as np
import pytest
from font_roboto import RobotoBold
from PIL import Image, ImageDraw, ImageFont

from flows.evaluation.draw_text import Caption, draw
from operators.masks.geometry import rasterised
from operators.masks.mask import BLEND, CONFIDENCE, CORE, STRUCTURE
from operators.rows.box import Box
from operators.rows.schema import check_schema
from operators.rows.table import row_views
from operators.soften import Soften

FIRST, SECOND = (36, 66, 320, 54), (56, 402, 280, 44)


def work(rows, saved, picture, *regions, **settings):
    height, width = picture.shape[:2]
    table = rows({"bytes": saved(picture, "PNG"), "width": width, "height": height, "mode": "RGB", "regions": list(regions)})
    done = Soften(**settings).apply(table)
    check_schema(done, "soften")
    assert done["failure"].to_pylist() == [None]
    return done


def drawn_region(weights, x, y):
    """A given mask as `given_masks` leaves it."""
    height, width = weights.shape
    corners = [[x, y], [x + width - 1, y], [x + width - 1, y + height - 1], [x, y + height - 1]]
    box = {"x": x, "y": y, "width": width, "height": height}
    return {
        "polygons": [corners],
        "score": 1.0,
        "kind": "mask",
        "probability": {"data": weights.tobytes(), "width": width, "height": height, "box": box},
        "state": "open",
    }


def area(region):
    crop = region["crop"]
    return np.s_[crop["y"] : crop["y"] + crop["height"], crop["x"] : crop["x"] + crop["width"]]


def channel(done, index, shape=(512, 512)):
    """One channel of every region laid back into the picture, the strongest counting."""
    whole = np.zeros(shape, np.uint8)
    for region in row_views(done)[0].regions:
        whole[area(region)] = np.maximum(whole[area(region)], region.array("mask", 4)[:, :, index])
    return whole


@pytest.fixture(scope="module")
def softened(rows, saved, captioned, text_region):
    return work(rows, saved, captioned[0], text_region(*FIRST), text_region(*SECOND))


def test_the_row_says_that_the_strokes_were_found(softened):
    assert {region["strokes"] for region in row_views(softened)[0].regions} == {"found"}


def test_without_separable_strokes_the_whole_polygon_is_masked(rows, saved, captioned, text_region):
    [region] = row_views(work(rows, saved, captioned[0], text_region(*FIRST), least_share=0.99))[0].regions
    x, y, width, height = FIRST
    left, top = x - region["crop"]["x"], y - region["crop"]["y"]
    mask = region.array("mask", 4)
    assert region["strokes"] == "polygon"
    for channel_index in (CORE, BLEND, CONFIDENCE):
        assert (mask[top : top + height, left : left + width, channel_index] == 255).all()


def test_a_given_mask_beside_a_text_keeps_its_source(rows, saved, captioned, text_region):
    weights = np.full((20, 60), 255, np.uint8)
    regions = row_views(work(rows, saved, captioned[0], text_region(*FIRST), drawn_region(weights, 40, 90)))[0].regions
    assert [region["strokes"] for region in regions] == ["found", "given"]


def test_every_text_pixel_must_be_regenerated_and_is_replaced_whole(softened, captioned):
    _, text = captioned
    assert (channel(softened, CORE)[text] == 255).all()
    assert (channel(softened, BLEND)[text] == 255).all()


def near_text():
    near = np.zeros((512, 512), bool)
    for x, y, width, height in (FIRST, SECOND):
        near[y - 24 : y + height + 24, x - 24 : x + width + 24] = True
    return near


def test_the_blend_fades_to_nothing_away_from_the_text(softened):
    blend = channel(softened, BLEND)
    assert not blend[~near_text()].any()
    assert ((blend > 0) & (blend < 255)).any()


def test_nothing_outside_the_core_of_found_strokes_is_replaced(softened):
    assert (channel(softened, BLEND)[channel(softened, CORE) == 0] == 0).all()


def test_a_crop_shows_the_source_and_some_of_the_picture_around_the_text(softened, captioned):
    for region in row_views(softened)[0].regions:
        crop, mask = region["crop"], region.array("mask", 4)
        assert 0 <= crop["x"] < crop["x"] + crop["width"] <= 512
        assert 0 <= crop["y"] < crop["y"] + crop["height"] <= 512
        assert np.array_equal(region.array("pixels", 3), captioned[0][area(region)])
        assert (mask[:, :, BLEND] == 0).any()


def test_a_softened_region_is_open_and_unmeasured(softened):
    for region in row_views(softened)[0].regions:
        assert (region["state"], region["passes"], region["checks"], region["rung"]) == ("open", 0, [], None)
        assert region.fill() is None


def test_structure_is_kept_outside_the_text_only(softened):
    for region in row_views(softened)[0].regions:
        mask = region.array("mask", 4)
        hidden = (mask[:, :, CORE] > 0) | (mask[:, :, BLEND] > 0)
        assert not mask[:, :, STRUCTURE][hidden].any()
        assert mask[:, :, STRUCTURE][~hidden].any()


def test_confidence_is_high_on_text_and_low_far_from_it(softened, captioned):
    confidence = channel(softened, CONFIDENCE)
    assert (confidence[captioned[1]] > 127).mean() > 0.9
    assert (confidence[~near_text()] < 128).all()


def test_neighbouring_lines_stay_regions_of_their_own(rows, saved, captioned, text_region):
    lines = [text_region(40, y, 200, 20) for y in (100, 126, 152)]
    regions = row_views(work(rows, saved, captioned[0], *lines))[0].regions
    assert len(regions) == 3
    for line, region in zip(lines, regions, strict=True):
        assert len(region["polygons"]) == 1
        assert region.probability()[1] == line["probability"]["box"]


def test_a_fill_does_not_see_the_strokes_of_a_neighbour_and_does_not_paste_them(rows, saved, photo, text_region):
    image = Image.fromarray(photo.copy())
    for line, y in (("FIRST", 200), ("SECOND", 275)):
        ImageDraw.Draw(image).text((150, y), line, fill=(255, 255, 0), font=ImageFont.load_default(40))
    picture = np.asarray(image)
    text = np.abs(picture.astype(int) - photo).max(axis=2) > 32
    lines = [text_region(146, 204, 180, 42), text_region(146, 279, 180, 42)]
    regions = row_views(work(rows, saved, picture, *lines))[0].regions
    assert len(regions) == 2
    for region, foreign in zip(regions, (np.s_[265:], np.s_[:255]), strict=True):
        others = np.zeros_like(text)
        others[foreign] = text[foreign]
        others, mask = others[area(region)], region.array("mask", 4)
        assert others.any()
        assert (mask[:, :, CORE][others] == 255).all()
        assert not mask[:, :, BLEND][others].any()


def test_crops_are_narrow_where_wide_ones_would_cover_more_than_the_picture(rows, saved, photo):
    weights = np.full((24, 90), 255, np.uint8)
    few = [drawn_region(weights, x, 200) for x in (60, 300)]
    many = [drawn_region(weights, x, y) for y in range(60, 430, 60) for x in range(60, 400, 100)]
    for masks, margin in ((few, 32), (many, 16)):
        for region in row_views(work(rows, saved, photo, *masks))[0].regions:
            assert (region["crop"]["width"], region["crop"]["height"]) == (90 + 2 * margin, 24 + 2 * margin)


def test_a_given_mask_is_pasted_by_its_own_weights(rows, saved, photo):
    weights = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (20, 1))
    done = work(rows, saved, photo, drawn_region(weights, 100, 200))
    blend, core = channel(done, BLEND), channel(done, CORE)
    expected = np.zeros((512, 512), np.uint8)
    expected[200:220, 100:125] = weights
    assert np.array_equal(blend, expected)
    assert np.array_equal(core > 0, expected > 0)


def test_a_kept_text_passes_unchanged_and_nobody_hides_it(rows, saved, captioned, text_region):
    kept = {**text_region(*SECOND), "score": 0.5, "state": "kept", "reason": "not_confirmed"}
    both = work(rows, saved, captioned[0], text_region(*FIRST), kept)
    alone = work(rows, saved, captioned[0], text_region(*FIRST))
    [first, second] = both["regions"].to_pylist()[0]
    assert {name: value for name, value in second.items() if value is not None} == kept
    assert first == alone["regions"].to_pylist()[0][0]


def test_a_text_that_is_softened_already_passes_unchanged_and_is_hidden_from_new_ones(rows, saved, captioned, text_region):
    picture, text = captioned
    earlier = {**work(rows, saved, picture, text_region(*FIRST))["regions"].to_pylist()[0][0], "state": "refused"}
    done = work(rows, saved, picture, earlier, text_region(40, 125, 200, 30))
    assert done["regions"].to_pylist()[0][0] == earlier
    region = row_views(done)[0].regions[1]
    strokes = text[area(region)].copy()
    strokes[max(0, 125 - region["crop"]["y"]) :] = False
    assert strokes.any()
    assert (region.array("mask", 4)[:, :, CORE][strokes] == 255).all()
    assert not region.array("mask", 4)[:, :, BLEND][strokes].any()


def test_a_fill_gives_up_the_letters_of_a_text_that_is_found_and_kept_after_it(rows, saved, captioned, text_region):
    picture, text = captioned
    earlier = {**work(rows, saved, picture, text_region(*FIRST))["regions"].to_pylist()[0][0], "state": "accepted"}
    kept = {**text_region(*FIRST[:2], 150, FIRST[3]), "state": "kept", "reason": "kept_by_rule", "rule": "--keep A"}
    region = row_views(work(rows, saved, picture, earlier, kept))[0].regions[0]
    blend, letters = region.array("mask", 4)[:, :, BLEND], text[area(region)].copy()
    edge = FIRST[0] + 150 - region["crop"]["x"]
    assert letters[:, : edge - 30].any()
    assert not blend[:, : edge - 30][letters[:, : edge - 30]].any()
    assert (blend[:, edge + 30 :][letters[:, edge + 30 :]] > 0).any()


def test_text_at_the_corner_of_the_picture_is_softened_too(rows, saved, photo, text_region):
    [region] = row_views(work(rows, saved, photo, text_region(0, 0, 60, 20)))[0].regions
    assert (region["crop"]["x"], region["crop"]["y"]) == (0, 0)


def test_rows_without_regions_pass(rows, saved, photo):
    table = rows({"bytes": saved(photo, "PNG"), "regions": []}, {"bytes": saved(photo, "PNG"), "regions": None})
    done = Soften().apply(table)
    assert done["regions"].to_pylist() == [[], None]


def test_the_same_image_is_softened_the_same_in_any_batch(rows, saved, captioned, text_region):
    first = {"bytes": saved(captioned[0], "PNG"), "width": 512, "height": 512, "regions": [text_region(*FIRST)]}
    second = {"bytes": saved(captioned[0][::-1].copy(), "PNG"), "width": 512, "height": 512, "regions": [text_region(*SECOND)]}
    together = Soften().apply(rows(first, second))["regions"].to_pylist()
    alone = [Soften().apply(rows(row))["regions"].to_pylist()[0] for row in (first, second)]
    assert together == alone
    assert together[::-1] == Soften().apply(rows(second, first))["regions"].to_pylist()


def test_a_line_reaches_to_its_end_though_a_crooked_detection_in_doubt_lies_across_it(rows, saved, text_region):
    page = Image.new("RGB", (512, 512), (250, 250, 250))
    ImageDraw.Draw(page).text((100, 200), "NOBODY TOLD", fill=(20, 20, 20), font=ImageFont.load_default(30))
    picture = np.asarray(page)
    ink = picture.max(axis=2) < 128
    left, right = np.flatnonzero(ink.any(axis=0))[[0, -1]]
    top, bottom = np.flatnonzero(ink.any(axis=1))[[0, -1]]
    line = text_region(int(left) - 4, int(top) - 4, int(right - left) - 26, int(bottom - top) + 8)
    x, y = float(right) - 46, float(top) - 10
    corners = [[x, y + 40], [x + 50, y], [x + 75, y + 36], [x + 22, y + 70]]
    doubt = {**text_region(int(x), int(y), 76, 71), "polygons": [corners], "state": "kept", "reason": "not_confirmed"}
    region = row_views(work(rows, saved, picture, line, doubt))[0].regions[0]
    blend = np.zeros(ink.shape, np.uint8)
    blend[area(region)] = region.array("mask", 4)[:, :, BLEND]
    assert (blend[ink] > 0).mean() > 0.98


def test_the_ring_around_curved_words_stays(rows, saved, text_region):
    clean = np.full((360, 360, 3), (30, 66, 92), np.uint8)
    cv2.circle(clean, (180, 180), 148, (230, 215, 160), 4)
    caption = Caption("ORIGINAL", RobotoBold, 26, 0.24, 0.34, colour=(230, 215, 160), angle=52)
    picture, coverage = draw(clean, caption)
    polygon = [[30, 138], [75, 58], [136, 92], [91, 172]]
    region = {**text_region(30, 58, 106, 114), "polygons": [polygon]}
    done = work(rows, saved, picture, region)
    replaced = channel(done, BLEND, clean.shape[:2]) > 0
    ring = (clean != clean[0, 0]).any(axis=2) & (coverage == 0)
    assert not replaced[ring].any()
    assert replaced[(coverage > 0.5) & (rasterised([polygon], Box(0, 0, 360, 360)) > 0)].mean() > 0.9
