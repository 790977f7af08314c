"""Measure the loss of converting the colour space, and of encoding an edited file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from flows.audit.boundaries.crossing import Crossing, Values, compare_bands, compare_pictures, compare_values
from flows.audit.boundaries.sample import Sample
from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats.header import open_image
from operators.pictures.picture import Edit, Picture, turned
from operators.pictures.read_back import is_coded_again
from operators.rows.arrays import Pixels, Selection

CODED_AGAIN = "coded again"
"""The kind of formats that predict blocks from earlier ones: all of a file is coded again."""


def colour_there_and_back(sample: Sample) -> Iterator[Crossing]:
    """Convert the picture to 8-bit sRGB, paste it over itself at full weight, and compare.

    Errors are those of the stored pixels.
    """
    boundary = "colour space and back"
    colours = sample.picture.colours()
    whole = Edit(0, 0, colours, np.ones(colours.shape[:2], np.float32))
    stored = sample.picture.edited([whole]).stored
    yield compare_values(boundary, sample.picture.stored, stored, sample.picture.space.peak)
    yield compare_bands(boundary, colours, _colours(sample.picture, stored), np.ones(colours.shape[:2], bool))


def file_encoding(sample: Sample) -> Iterator[Crossing]:
    """Replace every region of the picture, encode it, and decode it again.

    Compares three parts separately: the pixels that the edits cannot touch, with the source; for
    JPEG the rest of the touched blocks, with the composed picture; and the edited pixels, with the
    composed picture. A format that is coded again as a whole, such as lossy WebP, has boundaries
    of its own.
    """
    if not sample.edits:
        return
    picture = sample.picture
    edited_picture = picture.edited(sample.edits)
    composed = edited_picture.stored
    encoded = encode(edited_picture, sample.data)
    delivered, stored_as = decode(encoded, Limits()), kind(sample, encoded)
    edited, touched = _touched_pixels(sample)
    untouched = "file: untouched pixels, coded again" if stored_as == CODED_AGAIN else "file: untouched pixels"
    yield compare_values(untouched, picture.stored[~touched], delivered.stored[~touched], picture.space.peak)
    expected, actual = _colours(picture, composed), delivered.colours()
    beside, inside = (_upright(picture, selection) for selection in (touched & ~edited, edited))
    if beside.any():
        yield compare_pictures("file: rest of touched JPEG blocks", expected, actual, beside)
    yield compare_pictures(f"file: edited pixels, {stored_as}", expected, actual, inside)


def kind(sample: Sample, encoded: bytes) -> str:
    """How an edited file stores pixels: `JPEG`, `palette`, `lossless` or CODED_AGAIN."""
    if is_coded_again(sample.picture, sample.data, encoded):
        return CODED_AGAIN
    file = _open_header(sample)
    if file.mode == "P":
        return "palette"
    return "JPEG" if file.format == "JPEG" or file.info.get("compression") == "jpeg" else "lossless"


def _open_header(sample: Sample) -> Image.Image:
    return open_image(sample.data)


def _colours(picture: Picture, stored: Values) -> Pixels:
    """The upright sRGB colours of other stored pixels of the same file, whatever their alpha."""
    return dataclasses.replace(picture, stored=stored).colours()


def _upright(picture: Picture, selection: Selection) -> Selection:
    return turned(selection, picture.orientation)


def _touched_pixels(sample: Sample) -> tuple[Selection, Selection]:
    """The stored pixels (height x width) that edits change, and those that may change with them.

    They differ for JPEG only: an edit encodes whole blocks again, and a decoder that interpolates
    chroma spreads the change two pixels further.
    """
    picture, file = sample.picture, _open_header(sample)
    edited = np.zeros(picture.stored.shape[:2], bool)
    view = _upright(picture, edited)
    for edit in sample.edits:
        height, width = edit.weight.shape
        view[edit.y : edit.y + height, edit.x : edit.x + width] |= edit.weight > 0
    if file.format != "JPEG":
        return edited, edited
    layers: list[tuple[int, int, int, int]] = vars(file)["layer"]  # Pillow: id, across, down, table
    across, down = 8 * max(layer[1] for layer in layers), 8 * max(layer[2] for layer in layers)
    height, width = picture.stored.shape[:2]
    padded = np.pad(edited, ((0, -height % down), (0, -width % across)))
    blocks = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across).any(axis=(1, 3))
    footprint = blocks.repeat(down, axis=0).repeat(across, axis=1)[:height, :width].astype(np.uint8)
    return edited, cv2.dilate(footprint, np.ones((5, 5), np.uint8)) > 0
