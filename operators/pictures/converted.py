"""An edited picture as a file of another format.

The source is converted first, and the converted file is then edited as any file of its format is.
So previews are swept, and the result is read back, by the same code. The conversion itself is
read back too: by a second decoder, exactly in a lossless format, within what its coding explains
in a lossy one.

Orientation, EXIF, XMP and the colour profile go with it, and 16 bits, alpha and inks where the
format has them. The notes say what does not.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from operators.pictures.carried import Carried, carried_by, descriptive, with_orientation
from operators.pictures.codec import FORMATS, Limits, decode, format_of
from operators.pictures.colour import Model, Samples
from operators.pictures.enlarged_file import QUALITY, Enlargement, check_sides, written
from operators.pictures.formats import jpeg_xl
from operators.pictures.formats.iso_media import foreign_colours
from operators.pictures.picture import BAND, Edited, Picture
from operators.pictures.previews.files import swept
from operators.pictures.previews.sweep import KEEP, Sweep
from operators.pictures.previews.table import EXIF_HEADER
from operators.pictures.read_back import check_written, distance
from operators.rows.failure import Failure, RunError
from operators.rows.timing import timed

XMP_TAG, PREDICTOR, DIFFERENCES = 700, 317, 2
"""TIFF tags and values: XMP, and rows stored as differences."""
MOST_IN_SEGMENT = 65_000
"""Bytes of EXIF or XMP that one segment of a JPEG can hold, with its header."""


@dataclass(frozen=True)
class Target:
    """A format that files are converted to, and what it can hold."""

    format: str
    """The key in FORMATS."""
    models: tuple[Model, ...]
    """Its colours; others are converted to sRGB."""
    deep: bool = False
    """Whether it holds 16 bits a sample."""
    alpha: bool = True
    options: tuple[tuple[str, Any], ...] = ()
    """Pillow's settings of its coding."""


TARGETS = {
    "png": Target("PNG", ("grey", "rgb"), deep=True),
    "tiff": Target("TIFF", ("grey", "rgb", "cmyk"), deep=True, options=(("compression", "tiff_adobe_deflate"),)),
    "jpeg": Target("JPEG", ("grey", "rgb", "cmyk"), alpha=False, options=(("quality", QUALITY), ("subsampling", 0))),
    "webp": Target("WEBP", ("rgb",), options=(("quality", QUALITY),)),
}
"""The formats that files are converted to, by the names that users give."""
ENDINGS = tuple(FORMATS[target.format].extension for target in TARGETS.values())
"""What is added to the names of converted files."""


class Converted(NamedTuple):
    """A picture as one of a file of another format."""

    picture: Picture
    """The picture, with the exact samples that were meant."""
    data: bytes
    """The source as a file of that format."""
    notes: list[str]


class ConvertedEdit(NamedTuple):
    """An edited picture as one of a file of another format."""

    edited: Edited
    data: bytes
    """The source as a file of that format, from which `edited.picture` was decoded."""
    notes: list[str]


def check_target(name: str | None) -> None:
    """Raise RunError option_invalid unless it is None or a key of TARGETS."""
    if name is not None and name not in TARGETS:
        raise RunError("option_invalid", f"--to-format {name}: choose from {', '.join(TARGETS)}")


def ending_of(encoded: memoryview | bytes, source: memoryview | bytes) -> str:
    """What the name of a delivered file gets after that of its source: nothing unless converted."""
    format = format_of(encoded)
    return "" if format is None or format is format_of(source) else format.extension


def converted(picture: Picture, source: memoryview | bytes, name: str) -> Converted:
    """A picture as one of a file of the format `name`, a key of TARGETS.

    A picture of that format stays as it is. With a note `not_converted:`, so does one of several
    pages or frames, and an AVIF or HEIC whose colours are described by code points, which the
    formats lack. Raises Failure pixels_over_limit for a side that the format cannot store and
    written_wrongly, and OSError, TypeError or ValueError for what cannot be written.
    """
    target = TARGETS[name]
    if picture.format == target.format:
        return Converted(picture, bytes(source), [])
    if picture.pages:
        return Converted(picture, bytes(source), [f"not_converted: {len(picture.frames or picture.pages)} pictures"])
    if picture.format in ("AVIF", "HEIC") and (colours := foreign_colours(bytes(source))):
        return Converted(picture, bytes(source), [f"not_converted: {colours}"])
    samples = _samples(picture, picture.stored, target)
    data, notes = _file(picture, samples, bytes(source), target)
    return Converted(_decoded(data, samples, picture), data, notes)


def converted_edit(edited: Edited, source: memoryview | bytes, name: str) -> ConvertedEdit:
    """An edited picture as one of a file of another format; see `converted`."""
    picture, data, notes = converted(edited.picture, source, name)
    if picture is edited.picture:
        return ConvertedEdit(edited, data, notes)
    stored = _samples(edited.picture, edited.stored, TARGETS[name])
    if picture.format == "JPEG":
        # Its unchanged blocks keep their coefficients. A WebP is coded again from the samples.
        decoded = decode(data, _no_limits(data, picture.stored))
        if not np.array_equal(decoded.stored, picture.stored):
            notes = [*notes, f"recoded: {distance(decoded.stored, picture.stored, ~edited.changed, 255)}"]
        picture, stored = decoded, np.where(edited.changed[:, :, None], stored, decoded.stored)
    return ConvertedEdit(Edited(picture, stored, edited.changed), data, notes)


def _decoded(data: bytes, samples: Samples, source: Picture) -> Picture:
    """The picture of a converted file with the samples that were meant.

    Raises Failure written_wrongly if the file shows anything else.
    """
    picture = replace(decode(data, _no_limits(data, samples)), stored=samples)
    difference = check_written(data, Edited(picture, samples, np.ones(samples.shape[:2], np.bool_)), data)
    if picture.orientation != source.orientation:
        difference = f"orientation {picture.orientation} instead of {source.orientation}"
    if difference is not None:
        raise Failure("written_wrongly", f"as {picture.format}: {difference}")
    return picture


def _no_limits(data: bytes, samples: Samples) -> Limits:
    """Limits that a file of our own is within."""
    return Limits(samples.shape[0] * samples.shape[1], len(data), max_metadata_bytes=2**31)


def _samples(picture: Picture, stored: Samples, target: Target) -> Samples:
    """Stored samples as the format holds them: grey, RGB or CMYK, straight alpha, 0 as black."""
    bands = (_band(picture, stored[top : top + BAND], target) for top in range(0, len(stored), BAND))
    first = next(bands)
    result = np.empty((*stored.shape[:2], first.shape[2]), first.dtype)
    result[: len(first)] = first
    for number, band in enumerate(bands, 1):
        result[number * BAND : number * BAND + len(band)] = band
    return result


def _band(picture: Picture, stored: Samples, target: Target) -> Samples:
    space, deep = picture.space, target.deep and picture.space.peak > 255
    opacity = space.opacity(stored) if picture.is_transparent else None
    peak = np.float32(65535 if deep else 255)
    if space.model not in target.models:
        colours = space.to_srgb(stored).astype(np.float32)
        peak, deep = np.float32(255), False
    else:
        colours = stored[:, :, : space.colours].astype(np.float32)
        if space.premultiplied:
            share = np.maximum(stored[:, :, space.colours, None] / np.float32(space.peak), 1e-6)
            colours = np.minimum(colours / share, space.peak)
        colours *= peak / np.float32(space.peak)
        colours = peak - colours if space.inverted else colours
    if opacity is not None and _holds_alpha(picture, target):
        colours = np.concatenate([colours, opacity[:, :, None] * peak], axis=2)
    elif opacity is not None:
        paper = np.float32(0) if colours.shape[2] == 4 else peak
        colours = colours * opacity[:, :, None] + paper * (1 - opacity[:, :, None])
    samples: Samples = np.rint(colours).astype(np.uint16 if deep else np.uint8)
    return samples


def _holds_alpha(picture: Picture, target: Target) -> bool:
    return target.alpha and not (picture.space.model == "cmyk" and "cmyk" in target.models)


def _file(picture: Picture, samples: Samples, source: bytes, target: Target) -> tuple[bytes, list[str]]:
    """The source as a file of the target format, and the notes about what changed."""
    check_sides(target.format, samples.shape[1], samples.shape[0])
    head = f"converted: {picture.format} to {target.format}"
    sweep = Sweep(lambda width, height: np.zeros((height, width, 3), np.uint8), KEEP)
    swept(picture.format, source, sweep)
    if target.format == "JPEG" and picture.format == "JXL" and jpeg_xl.is_jpeg(source):
        return jpeg_xl.jpeg_of(source), [head, *sweep.notes]
    carried = carried_by(picture.format, source)
    lost = [*_lost_samples(picture, target), *carried.others]
    if picture.space.model not in target.models:
        carried = replace(carried, profile=b"")
    exif = with_orientation(carried.exif, picture.orientation)
    if target.format == "JPEG":
        lost += [name for name, content in (("EXIF", exif), ("XMP", carried.xmp)) if len(content) > MOST_IN_SEGMENT]
        exif = exif if len(exif) <= MOST_IN_SEGMENT else with_orientation(b"", picture.orientation)
        carried = replace(carried, xmp=carried.xmp if len(carried.xmp) <= MOST_IN_SEGMENT else b"")
    with timed("codec"):
        mode = _mode(picture, samples.shape[2], target)
        bare = _bare_file(mode, replace(carried, exif=exif), target)
        data = written(Enlargement(decode(bare, _no_limits(bare, samples)), samples, bare, None))
    notes = [head, *(f"not_kept: {loss}" for loss in lost), *sweep.notes]
    return data, notes


def _lost_samples(picture: Picture, target: Target) -> list[str]:
    """What the format cannot hold of the samples, in words."""
    space, known = picture.space, picture.space.colours + picture.space.alpha
    inks = space.model == "cmyk" and "cmyk" not in target.models
    too_deep = space.peak > 255 and not (target.deep and space.model in target.models)
    return [
        *([f"{space.peak.bit_length()} bits a sample"] if too_deep else []),
        *(["inks, converted to sRGB"] if inks else []),
        *(["transparency, laid on white"] if picture.is_transparent and not _holds_alpha(picture, target) else []),
        *(["further samples"] if picture.stored.shape[2] > known else []),
    ]


def _mode(picture: Picture, samples: int, target: Target) -> str:
    """Pillow's mode of 8-bit samples of the converted picture."""
    if picture.space.model == "cmyk" and "cmyk" in target.models:
        return "CMYK"
    return {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples]


def _bare_file(mode: str, carried: Carried, target: Target) -> bytes:
    """A file of one pixel with the metadata, into which the samples are then written."""
    options: dict[str, Any] = dict(target.options)
    if carried.profile:
        options["icc_profile"] = carried.profile
    if target.format == "TIFF":
        tags = Image.Exif()
        tags.load(EXIF_HEADER + carried.exif if carried.exif else b"")
        tags = descriptive(tags)
        tags[PREDICTOR] = DIFFERENCES
        if carried.xmp:
            tags[XMP_TAG] = carried.xmp
        options["exif"] = tags
    elif carried.exif:
        options["exif"] = EXIF_HEADER + carried.exif
    if carried.xmp and target.format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", carried.xmp.decode("utf-8", "replace"))
    elif carried.xmp and target.format != "TIFF":
        options["xmp"] = carried.xmp
    buffer = io.BytesIO()
    Image.new(mode, (1, 1)).save(buffer, target.format, **options)
    return buffer.getvalue()
