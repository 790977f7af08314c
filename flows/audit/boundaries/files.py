"""Between the source's own pixels and the pipeline's: its colour space there and back, and its
format after an edit.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from flows.audit.boundaries.crossing import Crossing, Values, of_bands, of_pictures, of_values
from flows.audit.boundaries.sample import Sample
from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats.webp import is_lossless
from operators.pictures.picture import Edit, Picture, turned
from operators.rows.arrays import Pixels, Selection


def colour_there_and_back(sample: Sample) -> Iterator[Crossing]:
    """The whole picture to 8-bit sRGB, and pasted back over itself at full weight; errors in the
    stored pixels.
    """
    boundary = "colour space and back"
    whole = Edit(0, 0, sample.rgb, np.ones(sample.rgb.shape[:2], np.float32))
    stored = sample.picture.edited([whole]).stored
    yield of_values(boundary, sample.picture.stored, stored, sample.picture.space.peak)
    yield of_bands(boundary, sample.rgb, _rgb(sample.picture, stored), np.ones(sample.rgb.shape[:2], bool))


def file_encoding(sample: Sample) -> Iterator[Crossing]:
    """The picture with every region replaced, encoded and decoded again.

    Apart: what the edits cannot have touched; for JPEG the rest of the blocks that they touch;
    and the edited pixels, against those that were composed.
    """
    if not sample.edits:
        return
    picture = sample.picture
    edited_picture = picture.edited(sample.edits)
    composed = edited_picture.stored
    delivered = decode(encode(edited_picture, sample.data), Limits())
    edited, again = _touched(sample)
    yield of_values("file: untouched pixels", picture.stored[~again], delivered.stored[~again], picture.space.peak)
    wanted, shown = _rgb(picture, composed), delivered.rgb()
    beside, inside = (_upright(picture, selection) for selection in (again & ~edited, edited))
    if beside.any():
        yield of_pictures("file: rest of touched JPEG blocks", wanted, shown, beside)
    yield of_pictures(f"file: edited pixels, {kind(sample)}", wanted, shown, inside)


def kind(sample: Sample) -> str:
    """How the source's format keeps pixels: `JPEG`, `WebP`, `palette` or `lossless`."""
    file = _header(sample)
    if file.mode == "P":
        return "palette"
    if file.format == "JPEG" or file.info.get("compression") == "jpeg":
        return "JPEG"
    return "WebP" if file.format == "WEBP" and not is_lossless(sample.data) else "lossless"


def _header(sample: Sample) -> Image.Image:
    return Image.open(io.BytesIO(sample.data))


def _rgb(picture: Picture, stored: Values) -> Pixels:
    """What other stored pixels of the same file look like."""
    return dataclasses.replace(picture, stored=stored).rgb()


def _upright(picture: Picture, selection: Selection) -> Selection:
    return turned(selection, picture.orientation)


def _touched(sample: Sample) -> tuple[Selection, Selection]:
    """Stored pixels (height x width) that an edit weighs, and those whose value may follow from
    that.

    They differ for JPEG only: whole blocks are coded again, and a decoder that interpolates
    chroma carries that two pixels further.
    """
    picture, file = sample.picture, _header(sample)
    edited = np.zeros(picture.stored.shape[:2], bool)
    view = _upright(picture, edited)
    for edit in sample.edits:
        height, width = edit.weight.shape
        view[edit.y : edit.y + height, edit.x : edit.x + width] |= edit.weight > 0
    if file.format != "JPEG":
        return edited, edited
    layers: list[tuple[int, int, int, int]] = vars(file)["layer"]
    across, down = 8 * max(layer[1] for layer in layers), 8 * max(layer[2] for layer in layers)
    height, width = picture.stored.shape[:2]
    padded = np.pad(edited, ((0, -height % down), (0, -width % across)))
    blocks = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across).any(axis=(1, 3))
    footprint = blocks.repeat(down, axis=0).repeat(across, axis=1)[:height, :width].astype(np.uint8)
    return edited, cv2.dilate(footprint, np.ones((5, 5), np.uint8)) > 0
