"""A lossy WebP is coded again as finely as it was, and does not grow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats import vp8, webp
from operators.pictures.picture import Edit, Edited
from operators.pictures.read_back import check_written, recoding_note

COARSEST = {5: 102, 30: 68, 50: 52, 75: 36, 85: 20, 92: 10, 100: 0}
"""The coarsest index that libwebp writes at a quality by default."""


def coded(pixels: np.ndarray, quality: int, method: int = 4) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=method)
    return buffer.getvalue()


def edited(data: bytes, fill: np.ndarray) -> Edited:
    edit = Edit(64, 48, fill, np.ones(fill.shape[:2], np.float32))
    return decode(data, Limits()).edited([edit])


@pytest.mark.parametrize("quality", COARSEST)
def test_the_steps_of_a_file_tell_its_quality(photo: np.ndarray, quality: int) -> None:
    steps = vp8.steps_of(webp.frame_of(coded(photo, quality)))
    assert steps.coarsest == COARSEST[quality]
    assert abs(vp8.quality_of(steps) - quality) <= 1


def test_there_is_a_step_for_every_index() -> None:
    assert len(vp8.AC_STEPS) == 128
    assert (vp8.AC_STEPS[0], vp8.AC_STEPS[127]) == (4, 284)


@pytest.mark.parametrize("data", [b"", b"\0" * 40, b"\x01" + bytes(40)])
def test_what_is_no_key_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no key frame"):
        vp8.steps_of(data)


@pytest.mark.parametrize("method", [0, 6])
@pytest.mark.parametrize("quality", [30, 75, 92])
def test_an_edit_is_coded_with_the_steps_of_its_source(photo: np.ndarray, quality: int, method: int) -> None:
    source = coded(photo, quality, method)
    change = edited(source, np.full((60, 150, 3), (120, 130, 90), np.uint8))
    result = encode(change, source)
    steps = [vp8.steps_of(webp.frame_of(data)).coarsest for data in (source, result)]
    assert abs(steps[0] - steps[1]) <= 1
    assert len(result) <= len(source)
    assert check_written(result, change, source) is None


@pytest.mark.parametrize("quality", [50, 75, 92])
def test_an_edit_with_more_detail_than_its_source_stays_within_the_bound(photo: np.ndarray, quality: int) -> None:
    source = coded(photo, quality)
    noise = np.random.default_rng(5).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    change = edited(source, noise)
    result = encode(change, source)
    assert len(result) <= vp8.MOST_GROWTH * len(source) + 64
    assert check_written(result, change, source) is None


def test_a_plain_picture_does_not_pay_with_all_its_quality(photo: np.ndarray) -> None:
    """A picture of one colour takes 500 bytes: anything in it takes more."""
    source = coded(np.full((256, 256, 3), (30, 80, 160), np.uint8), 75)
    change = edited(source, np.ascontiguousarray(photo[100:160, 100:200]))
    result = encode(change, source)
    assert abs(vp8.quality_of(vp8.steps_of(webp.frame_of(result))) - (75 - vp8.MOST_LOSS)) <= 1


def test_the_ledger_says_by_how_much_the_file_grew(photo: np.ndarray) -> None:
    source = coded(photo, 75)
    change = edited(source, np.full((60, 150, 3), (120, 130, 90), np.uint8))
    result = encode(change, source)
    note = recoding_note(result, change, source)
    assert note is not None
    assert note.endswith(f", {len(result) / len(source):.2f} times the bytes")


def test_alpha_stays_exact(photo: np.ndarray) -> None:
    alpha = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    source = coded(np.dstack([photo[:256, :256], alpha]), 75)
    change = edited(source, np.full((60, 100, 3), (120, 130, 90), np.uint8))
    result = encode(change, source)
    assert np.array_equal(decode(result, Limits()).stored[:, :, 3], alpha)
    assert len(result) <= vp8.MOST_GROWTH * len(source)
