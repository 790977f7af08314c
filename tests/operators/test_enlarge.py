"""`enlarge` keeps the format, the mode and the metadata of a picture at a larger size."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from operators.enlarge import Enlarge, Print
from operators.rows.schema import check_schema
from operators.upscalers.enlargement import Routing


def enlarged(rows, data, **settings):
    done = Enlarge(**settings).apply(rows({"bytes": data}))
    check_schema(done, "enlarge")
    return done.to_pylist()[0]


def shown(row):
    return Image.open(io.BytesIO(row["encoded"]))


@pytest.mark.parametrize("scale", [2, 4])
def test_a_picture_gets_its_size_and_keeps_its_format(rows, saved, photo, scale):
    row = enlarged(rows, saved(photo[:40, :60], "PNG"), scale=scale)
    assert (row["verdict"], row["reasons"], row["failure"]) == ("edited", [], None)
    assert (row["width"], row["height"], row["mode"]) == (60, 40, "RGB")
    assert (shown(row).format, shown(row).size) == ("PNG", (60 * scale, 40 * scale))
    assert dict(row["metadata"])["factor"] == scale


def test_a_print_fills_the_paper_turned_as_the_picture_is_and_says_its_resolution(rows, saved, photo):
    paper = Print(10.16, 5.08, 100)
    row = enlarged(rows, saved(photo[:100, :60], "PNG"), paper=paper)
    assert shown(row).size == (200, 333)
    assert shown(row).info["dpi"] == pytest.approx((100, 100), abs=0.1)


def test_a_picture_large_enough_for_its_paper_is_untouched(rows, saved, photo):
    row = enlarged(rows, saved(photo[:100, :100], "PNG"), paper=Print(2.54, 2.54, 72))
    assert (row["verdict"], row["encoded"]) == ("untouched", None)


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000"])
def test_a_format_that_cannot_be_written_at_another_size_is_enlarged_in_another(rows, saved, photo, format):
    data = saved(photo[:40, :60], format)
    row = enlarged(rows, data, scale=2, routing=Routing(model="lanczos"))
    assert (row["verdict"], row["failure"]["code"]) == ("skipped", "mode_unsupported")
    assert "--to-format" in row["failure"]["message"]
    row = enlarged(rows, data, scale=2, routing=Routing(model="lanczos"), to_format="tiff")
    assert (row["verdict"], row["notes"]) == ("edited", [f"converted: {format} to TIFF"])
    assert (shown(row).format, shown(row).size) == ("TIFF", (120, 80))


def test_a_key_colour_becomes_alpha_in_another_format_so_that_the_picture_can_be_enlarged(rows, saved, photo):
    data = saved(photo[:20, :30], "PNG", transparency=tuple(int(value) for value in photo[3, 4]))
    assert enlarged(rows, data, scale=2)["failure"]["code"] == "mode_unsupported"
    row = enlarged(rows, data, scale=2, routing=Routing(model="lanczos"), to_format="webp")
    assert (row["verdict"], shown(row).mode, shown(row).size) == ("edited", "RGBA", (60, 40))


def test_a_turned_photograph_stays_turned(rows, saved, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    row = enlarged(rows, saved(photo[:20, :60], "JPEG", exif=exif), scale=2, routing=Routing(model="lanczos"))
    assert (row["width"], row["height"]) == (20, 60)
    assert shown(row).size == (120, 40)
    assert shown(row).getexif()[0x0112] == 6


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("side", [1, 20])
def test_every_mode_is_kept(rows, saved, photo, mode, side):
    row = enlarged(rows, saved(Image.fromarray(photo[:side, :side]).convert(mode), "PNG"), scale=4)
    assert (row["failure"], row["verdict"]) == (None, "edited")
    assert (shown(row).mode, shown(row).size) == (mode, (4 * side, 4 * side))


def test_a_result_over_the_limit_is_skipped(rows, saved, photo):
    row = enlarged(rows, saved(photo[:40, :40], "PNG"), scale=4, most_pixels=10_000)
    assert (row["verdict"], row["failure"]["code"]) == ("skipped", "pixels_over_limit")


def test_a_colour_that_stands_for_transparency_is_not_enlarged(rows, saved, photo):
    row = enlarged(rows, saved(photo[:8, :8], "PNG", transparency=(1, 2, 3)))
    assert (row["verdict"], row["failure"]["code"]) == ("skipped", "mode_unsupported")


def tiff(samples, **layout):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **layout)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_stay_sixteen(rows, channels):
    samples = np.full((12, 20, channels), 12_345, np.uint16)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    row = enlarged(rows, tiff(samples, photometric="rgb", **extra), scale=2)
    assert (row["failure"], row["mode"]) == (None, "RGBA;16" if channels == 4 else "RGB;16")
    after = tifffile.imread(io.BytesIO(row["encoded"]))
    assert after.dtype == np.uint16
    assert np.array_equal(after, np.full((24, 40, channels), 12_345))


def test_grey_that_counts_from_white_looks_the_same(rows, photo):
    grey = np.asarray(Image.fromarray(photo[:16, :16]).convert("L"))
    usual = enlarged(rows, tiff(grey, photometric="minisblack"), scale=2)
    opposite = enlarged(rows, tiff(255 - grey, photometric="miniswhite"), scale=2)
    assert np.array_equal(np.asarray(shown(usual)), np.asarray(shown(opposite)))


@pytest.mark.parametrize(
    ("samples", "layout"),
    [
        (np.ones((8, 8), bool), {"photometric": "minisblack"}),
        (np.full((8, 8, 4), 9, np.uint8), {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
        (np.full((8, 8, 4), 9, np.uint8), {"photometric": "rgb", "extrasamples": ["unspecified"]}),
    ],
)
def test_a_picture_that_cannot_be_enlarged_in_kind_is_skipped(rows, samples, layout):
    row = enlarged(rows, tiff(samples, **layout), scale=2)
    assert (row["verdict"], row["failure"]["code"]) == ("skipped", "mode_unsupported")
    assert "multiplied" in row["failure"]["message"] or "cannot be enlarged" in row["failure"]["message"]


@pytest.mark.parametrize("data", [b"", b"text named .jpg"])
def test_bad_input_is_a_failed_row(rows, data):
    assert enlarged(rows, data)["verdict"] == "failed"


def test_the_settings_name_the_weights():
    settings = Enlarge(routing=Routing(model="x4plus")).settings()
    assert settings["upscaler"]["alias"] == "realesrgan-x4plus"
    assert settings["routing"]["threshold"] == Routing.threshold


def test_one_number_decides_what_goes_to_the_network(rows, saved, photo):
    data = saved(photo[:64, 180:244], "PNG")
    none, every = (
        dict(enlarged(rows, data, routing=Routing(threshold=threshold))["metadata"])["network_share"]
        for threshold in (float("inf"), -1.0)
    )
    assert none == 0
    assert every >= 1
    assert np.isfinite(every)
