"""Whatever place of a file shows the picture, none shows the erased content after an edit."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from operators.pictures.codec import Encoded, Limits, decode, encode_with_notes
from operators.pictures.picture import Edit
from operators.pictures.previews.metadata import READERS
from operators.pictures.previews.sweep import DROP, KEEP, REDRAW
from operators.pictures.previews.table import PLACES
from operators.pictures.read_back import check_written

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
