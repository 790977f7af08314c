import math

import numpy as np
import pytest
from PIL import Image

from flows.audit.boundaries.crossing import pooled
from flows.audit.boundaries.files import CODED_AGAIN, colour_there_and_back, file_encoding, kind
from flows.audit.contracts import breaches
from operators.pictures.codec import encode

FILES = {
    "photo.png": {},
    "photo.jpg": {"quality": 90},
    "photo.webp": {"quality": 90},
    "exact.webp": {"lossless": True},
    "photo.bmp": {},
    "photo.gif": {"mode": "P"},
    "grey.png": {"mode": "L"},
}
KINDS = ("lossless", "JPEG", "coded again", "lossless", "lossless", "palette", "lossless")


def kind_of(sample):
    return kind(sample, encode(sample.picture.edited(sample.edits), sample.data))


def turned_sixth():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


TURNED = {"exif": turned_sixth(), "size": (500, 509)}


@pytest.fixture(scope="module", params=[*FILES, "turned.jpg"])
def crossed(request, make_sample):
    """A sample of each kind of file, and its crossings by their boundary."""
    sample = make_sample(request.param, **FILES.get(request.param, TURNED))
    parts = [*colour_there_and_back(sample), *file_encoding(sample)]
    names = dict.fromkeys(part.boundary for part in parts)
    return sample, {name: pooled(part for part in parts if part.boundary == name) for name in names}


def test_eight_bit_colours_come_back_exactly(crossed):
    assert crossed[1]["colour space and back"].psnr == math.inf


def test_what_no_edit_touches_is_delivered_exactly(crossed):
    sample, found = crossed
    if sample.edits and kind_of(sample) != CODED_AGAIN:
        assert found["file: untouched pixels"].psnr == math.inf


def test_a_format_that_is_coded_again_as_a_whole_has_boundaries_of_its_own_within_their_bounds(make_sample):
    sample = make_sample("photo.webp", **FILES["photo.webp"])
    found = {part.boundary: part for part in file_encoding(sample)}
    assert list(found) == ["file: untouched pixels, coded again", "file: edited pixels, coded again"]
    assert math.inf > found["file: untouched pixels, coded again"].psnr > 30
    assert [breach for part in found.values() for breach in breaches(part)] == []


def test_edited_pixels_lose_what_their_format_loses(crossed):
    sample, found = crossed
    if not sample.edits:
        pytest.skip("no text is found in this picture")
    edited = found[f"file: edited pixels, {kind_of(sample)}"]
    assert (edited.psnr == math.inf) == (kind_of(sample) == "lossless")
    assert edited.psnr > 20
    assert ("file: rest of touched JPEG blocks" in found) == (kind_of(sample) == "JPEG")


@pytest.mark.parametrize(("name", "expected"), list(zip(FILES, KINDS, strict=True)))
def test_kinds_of_files_are_told_apart(make_sample, name, expected):
    assert kind_of(make_sample(name, **FILES[name])) == expected


def test_a_picture_without_text_is_not_encoded(make_sample):
    tiny = make_sample("tiny.png", size=(7, 7))
    assert list(file_encoding(tiny)) == []
    assert np.asarray(tiny.rgb).shape == (7, 7, 3)
