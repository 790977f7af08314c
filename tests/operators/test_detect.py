"""`detect` covers every text, in upright source pixels, with the detector's map of each."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps

from operators.detect import Detect
from operators.masks.geometry import rasterised
from operators.pictures.codec import Limits, decode
from operators.rows.box import Box
from operators.rows.schema import check_schema
from operators.rows.table import row_views
from operators.vision.find_texts import LEAST_SIDE


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def codes(table):
    return [None if failure is None else failure["code"] for failure in table["failure"].to_pylist()]


@pytest.fixture(scope="module")
def detected(captioned, saved, rows):
    """The captioned picture, the same one turned, and one without text, detected as one batch."""
    picture, _ = captioned
    upright = Image.fromarray(picture)
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    calm = np.asarray(Image.linear_gradient("L").resize((600, 300)).convert("RGB"))
    table = rows(
        {"bytes": saved(upright, "PNG")},
        {"bytes": saved(turned, "PNG", exif=oriented(6))},
        {"bytes": saved(calm, "PNG")},
    )
    done = Detect().apply(table)
    check_schema(done, "detect")
    assert codes(done) == [None, None, None]
    return done


def regions_of(detected, position):
    return row_views(detected)[position].regions


def test_every_line_of_text_is_covered(detected, captioned):
    _, text = captioned
    polygons = [polygon for region in regions_of(detected, 0) for polygon in region["polygons"]]
    covered = rasterised(polygons, Box(0, 0, 512, 512)) > 0
    assert covered[text].mean() > 0.97
    assert covered.mean() < 0.25


def test_a_picture_without_text_has_no_regions(detected):
    assert detected["regions"].to_pylist()[2] == []
    assert (detected["width"].to_pylist()[2], detected["height"].to_pylist()[2]) == (600, 300)


def test_regions_lie_upright_whatever_the_file_says(detected):
    upright, turned = regions_of(detected, 0), regions_of(detected, 1)
    assert len(upright) == len(turned)
    for region, turned_region in zip(upright, turned, strict=True):
        assert np.allclose(region["polygons"], turned_region["polygons"], atol=1)


def test_a_probability_is_the_detectors_map_over_its_box(detected):
    for region in regions_of(detected, 0):
        data, box = region.probability()
        assert len(np.unique(data)) > 2
        assert data.max() > 127
        assert 0 <= box["x"] < box["x"] + box["width"] <= 512
        assert 0 <= box["y"] < box["y"] + box["height"] <= 512
        corners = np.concatenate(region["polygons"])
        inside = np.clip(corners, 0, 511)
        assert (inside.min(axis=0) >= [box["x"], box["y"]]).all()
        assert (inside.max(axis=0) <= [box["x"] + box["width"] - 1, box["y"] + box["height"] - 1]).all()
        assert (region["kind"], region["state"], region["reason"]) == ("text", "open", None)
        assert 0.5 <= region["score"] <= 1


def test_the_score_limit_is_applied(detected, captioned, saved, rows):
    done = Detect(least_score=1.01).apply(rows({"bytes": saved(captioned[0], "PNG")}))
    assert done["regions"].to_pylist() == [[]]


def test_a_large_jpeg_is_detected_in_its_own_pixels(captioned, saved, rows):
    image = Image.new("RGB", (3200, 1600), (70, 110, 60))
    ImageDraw.Draw(image).text((2000, 900), "LARGE WORDS", fill=(255, 255, 255), font=ImageFont.load_default(140))
    text = np.asarray(image).max(axis=2) > 200
    done = Detect().apply(rows({"bytes": saved(image, "JPEG", quality=92)}))
    assert (done["width"].to_pylist(), done["height"].to_pylist()) == ([3200], [1600])
    polygons = [polygon for region in row_views(done)[0].regions for polygon in region["polygons"]]
    assert (rasterised(polygons, Box(0, 0, 3200, 1600)) > 0)[text].mean() > 0.97


def test_a_tiny_picture_is_not_shown_to_the_detector_but_still_decoded(saved, rows):
    noise = np.random.default_rng(0).integers(0, 256, (LEAST_SIDE - 1, 40, 3), dtype=np.uint8)
    tiny = saved(noise, "PNG")
    done = Detect().apply(rows({"bytes": tiny}, {"bytes": tiny[: len(tiny) // 2]}))
    assert codes(done) == [None, "truncated"]
    assert done["regions"].to_pylist() == [[], None]


def test_bad_bytes_fail_their_row_alone(saved, rows):
    good = saved(np.zeros((6, 6, 3), np.uint8), "PNG")
    done = Detect().apply(rows({"bytes": b""}, {"bytes": b"text"}, {"bytes": good}))
    assert codes(done) == ["file_empty", "not_an_image", None]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_size_is_that_of_the_upright_picture(saved, kind, orientation):
    data = saved(np.zeros((20, 30, 3), np.uint8), kind, exif=oriented(orientation))
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert decode(data, Limits()).size == shown.size
