"""Whatever place of a file shows the picture, none shows the erased content after an edit."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.pictures.codec import Encoded, Limits, decode, encode_with_notes
from operators.pictures.picture import Edit
from operators.pictures.previews.metadata import READERS, photoshop_swept
from operators.pictures.previews.sweep import DROP, KEEP, REDRAW, Sweep, find_pictures
from operators.pictures.previews.table import PLACES
from operators.pictures.read_back import check_written
from operators.rows.failure import Failure
from tests.operators.pictures.previews.conftest import PLACES as CARRIERS
from tests.operators.pictures.previews.conftest import SIGNATURE, extended, resource, with_segments

GREEN = (20, 180, 40)
Place = Callable[[], tuple[str, bytes]]
Traces = Callable[[bytes], int]


def edited(data: bytes, policy: str) -> Encoded:
    """The file with its picture replaced by one colour; it is as it was meant."""
    picture = decode(data, Limits())
    width, height = picture.size
    edit = picture.edited([Edit(0, 0, np.full((height, width, 3), GREEN, np.uint8), np.ones((height, width), np.float32))])
    result = encode_with_notes(edit, data, policy)
    assert check_written(result.data, edit, data) is None
    return result


def test_no_byte_of_the_signature_is_left(place: Place, signature_traces: Traces) -> None:
    format, data = place()
    assert signature_traces(data) > 40
    result = edited(data, REDRAW)
    assert signature_traces(result.data) == 0
    assert Image.open(io.BytesIO(result.data)).format in (format, "MPO")


def test_drop_removes_every_second_picture_and_says_so(place: Place, signature_traces: Traces) -> None:
    _, data = place()
    result = edited(data, DROP)
    assert signature_traces(result.data) == 0
    assert all(note.startswith("preview_dropped: ") for note in result.notes)
    assert len(result.notes) >= 1


def test_keep_leaves_them_with_what_they_show(place: Place, signature_traces: Traces) -> None:
    _, data = place()
    result = edited(data, KEEP)
    assert signature_traces(result.data) == signature_traces(data)
    assert result.notes == []


def test_every_row_of_the_table_has_a_reader() -> None:
    joined = {"extended_xmp", "jumbf", "png_text"}
    assert {place.content for place in PLACES} - joined == set(READERS)
    assert len({(place.structure, place.key) for place in PLACES}) == len(PLACES)


@pytest.mark.parametrize("start", [b"II*\0", b"\xff\xd8\xff\xe0\0\x10", b"GIF89a\1\0\1\0", SIGNATURE[:400]])
def test_many_starts_of_pictures_take_no_time(start: bytes) -> None:
    began = time.process_time()  # others may share the machine
    found = find_pictures(start * (8_000_000 // len(start)))
    assert time.process_time() - began < 8
    assert found[-1][1][1] > 7_000_000


def test_digests_of_iptc_and_extended_xmp_hold_again() -> None:
    content = b"\x1c\x02\xca" + struct.pack(">H", len(SIGNATURE)) + SIGNATURE
    resources = resource(1028, content) + resource(1061, hashlib.md5(content).digest())
    sweep = Sweep(lambda width, height: np.full((height, width, 3), GREEN, np.uint8))
    result = photoshop_swept(resources, sweep)
    assert result[-16:] == hashlib.md5(result[12 : 12 + len(content)]).digest() != resources[-16:]
    data = edited(with_segments(extended(SIGNATURE)), REDRAW).data
    parts = re.findall(rb"http://ns.adobe.com/xmp/extension/\0(.{32})....(....)(.*?)(?=\xff[\xe1\xdb])", data, re.DOTALL)
    whole = b"".join(text for _, _, text in sorted(parts, key=lambda part: part[1]))
    digest = hashlib.md5(whole).hexdigest().upper().encode()
    assert {part[0] for part in parts} == {digest}
    assert b'HasExtendedXMP="' + digest in data


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(CARRIERS)), st.lists(st.tuples(st.integers(2, 700), st.integers(0, 255)), min_size=1, max_size=5))
def test_damaged_metadata_ends_in_a_file_or_in_a_failure(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(CARRIERS[name]()[1])
    for place, value in changes:
        data[place % len(data)] = value
    with contextlib.suppress(Failure, OSError, ValueError):
        picture = decode(bytes(data), Limits())
        fill = np.full((*picture.size[::-1], 3), GREEN, np.uint8)
        edit = picture.edited([Edit(0, 0, fill, np.ones(fill.shape[:2], np.float32))])
        for policy in (REDRAW, DROP, KEEP):
            assert encode_with_notes(edit, bytes(data), policy).data
