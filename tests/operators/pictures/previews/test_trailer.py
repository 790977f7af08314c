"""Pictures after the picture: previews, gain maps, other views and films, and their index."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from operators.pictures.codec import Encoded, Limits, decode, encode_with_notes
from operators.pictures.formats.jpeg_markers import segments
from operators.pictures.picture import Edit
from operators.pictures.previews.sweep import DROP, KEEP, REDRAW
from tests.operators.pictures.previews.conftest import FILM, container, segment

Mpf = Callable[[bytes, list[tuple[int, bytes]]], bytes]
AREA = (slice(40, 80), slice(60, 200))
"""Where a text stands in the photograph."""


def jpeg(pixels: np.ndarray, quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def lettered(pixels: np.ndarray, x: int = 60, scale: float = 1.0) -> np.ndarray:
    result = pixels.copy()
    cv2.putText(result, "SALE 24", (round(x * scale), round(75 * scale)), 0, 1.1 * scale, (255,) * 3, round(3 * scale) or 1)
    return result


def erased(data: bytes, clean: np.ndarray, policy: str = REDRAW) -> Encoded:
    """The file with the clean photograph where the text stands."""
    picture = decode(data, Limits())
    before = picture.rgb()
    text = (np.abs(before.astype(int) - clean).max(axis=2) > 24).astype(np.uint8)
    weight = np.zeros(before.shape[:2], np.float32)
    weight[AREA] = cv2.dilate(text, np.ones((7, 7), np.uint8))[AREA]
    return encode_with_notes(picture.edited([Edit(0, 0, clean, weight)]), data, policy)


def frames(data: bytes) -> list[np.ndarray]:
    file = Image.open(io.BytesIO(data))
    result = []
    for number in range(getattr(file, "n_frames", 1)):
        file.seek(number)
        result.append(np.asarray(file.convert("RGB")).astype(int))
    return result


@pytest.fixture(scope="module")
def clean(photo: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(np.ascontiguousarray(photo[:192, :256]), (0, 0), 1.0)


@pytest.mark.parametrize("kind", [0x010001, 0x010002])
def test_an_indexed_preview_shows_the_edit(clean: np.ndarray, mpf: Mpf, kind: int) -> None:
    dirty = lettered(clean)
    result = erased(mpf(jpeg(dirty), [(kind, jpeg(dirty[::2, ::2]))]), clean)
    first, preview = frames(result.data)
    assert result.notes == []
    assert np.abs(first[AREA] - clean[AREA]).mean() < 4
    assert np.abs(preview - clean[::2, ::2]).mean() < 8
    assert np.abs(preview - dirty[::2, ::2])[20:40, 30:100].mean() > 25


def test_a_gain_map_is_filled_from_its_surroundings_and_stays_elsewhere(clean: np.ndarray, mpf: Mpf) -> None:
    ground = np.full((96, 128, 3), 90, np.uint8)
    gain = jpeg(lettered(ground, scale=0.5)[:, :, 0])
    gain = (
        gain[:20]
        + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/'/>")
        + gain[20:]
    )
    data = mpf(jpeg(lettered(clean)), [(0, gain)])
    before, after = frames(data)[1], frames(erased(data, clean).data)[1]
    assert before.max() > 200
    assert np.abs(after - 90).max() <= 8
    untouched = np.abs(after - before)[56:]
    assert untouched.max() == 0


@pytest.mark.parametrize("shift", [0, 12])
def test_another_view_gets_the_edit_where_it_shows_the_text(clean: np.ndarray, mpf: Mpf, shift: int) -> None:
    """A stereo pair: the text stands some pixels further left in the second picture."""
    left, right = lettered(clean), np.roll(lettered(clean), -shift, axis=1)
    data = mpf(jpeg(left), [(0x020002, jpeg(right))])
    result = erased(data, clean)
    view = frames(result.data)[1]
    assert result.notes == []
    assert np.abs(view - np.roll(clean, -shift, axis=1))[30:90, 30:200].mean() < 5
    assert np.array_equal(view[112:], frames(data)[1][112:])


def test_a_view_of_something_else_goes_and_the_others_stay(clean: np.ndarray, mpf: Mpf) -> None:
    dirty = lettered(clean)
    data = mpf(jpeg(dirty), [(0x020002, jpeg(np.ascontiguousarray(clean[::-1, ::-1]))), (0x010001, jpeg(dirty[::2, ::2]))])
    result = erased(data, clean)
    shown = frames(result.data)
    assert result.notes == ["preview_dropped: appended picture"]
    assert [frame.shape for frame in shown] == [(192, 256, 3), (96, 128, 3)]
    assert np.abs(shown[1] - clean[::2, ::2]).mean() < 8


def test_drop_leaves_a_plain_jpeg(clean: np.ndarray, mpf: Mpf) -> None:
    dirty = lettered(clean)
    result = erased(mpf(jpeg(dirty), [(0x010001, jpeg(dirty[::2, ::2]))]), clean, DROP)
    assert Image.open(io.BytesIO(result.data)).format == "JPEG"
    assert b"MPF\0" not in result.data
    assert result.data.endswith(b"\xff\xd9")


def test_keep_leaves_the_second_picture_in_its_new_place(clean: np.ndarray, mpf: Mpf) -> None:
    dirty = lettered(clean)
    second = jpeg(dirty[::2, ::2])
    result = erased(mpf(jpeg(dirty), [(0x020002, second)]), clean, KEEP)
    assert result.data.endswith(second)
    assert np.array_equal(frames(result.data)[1], frames(second)[0])


def test_a_dropped_film_is_named_no_more(clean: np.ndarray) -> None:
    still = jpeg(lettered(clean))
    data = still[:20] + container(("MotionPhoto", "video/mp4", len(FILM))) + still[20:] + FILM
    result = erased(data, clean)
    assert result.notes == ["preview_dropped: film in trailer"]
    assert b"ftyp" not in result.data
    assert b"MotionPhoto" in data
    assert b'Semantic="MotionPhoto"' not in result.data
    assert b'GCamera:MotionPhoto="0"' in result.data
    assert b'Semantic="Primary"' in result.data
    assert result.data.endswith(b"\xff\xd9")


def test_a_dropped_gain_map_leaves_no_promise_of_one(clean: np.ndarray) -> None:
    still, gain = jpeg(lettered(clean)), jpeg(lettered(clean)[::4, ::4])
    data = still[:20] + container(("GainMap", "image/jpeg", len(gain))) + still[20:] + gain
    result = erased(data, clean, DROP)
    assert result.notes == ["preview_dropped: gain map or other map"]
    assert b"GainMap" not in result.data
    assert b"hdrgm:Version" not in result.data


def test_a_makers_own_data_without_pictures_is_kept(clean: np.ndarray) -> None:
    own = b"a maker's own data " + struct.pack(">I", 7) + bytes(range(200))
    result = erased(jpeg(lettered(clean)) + own, clean)
    assert result.data.endswith(b"\xff\xd9" + own)
    assert result.notes == []
    assert next(segments(result.data))[0] == 0xE0
