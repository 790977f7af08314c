"""AVIF that Pillow cannot write again: 10 and 12 bits, and colours that only code points describe.

The package imagecodecs, an extra, decodes and codes the samples with the bits, the subsampling and
the code points of the source. The new file is put together here: the newly coded picture and its
alpha, with the source's EXIF, XMP, profile, turns and what it says of a bright screen.
"""

from __future__ import annotations

import importlib.util
import struct
from typing import Any, NamedTuple

import numpy as np

from operators.pictures.colour import Samples
from operators.pictures.formats.header import decoding_failure
from operators.pictures.formats.media_items import EXIF, Item, Items, Property, assembled, boxes, items_of
from operators.pictures.picture import Edited
from operators.rows.timing import timed

ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"
"""The name of an auxiliary picture that is the alpha of another."""
CODING, POINTS, AUXILIARY = b"av1C", b"nclx", b"auxC"
"""Properties: how an item is coded, and what it is for another; and the kind of a colour box."""
OF_PIXELS = (b"ispe", b"pixi", CODING, b"a1op", b"a1lx", b"lsel")
"""Properties that describe coded samples, and that new samples have anew."""
OF_PICTURE = (b"colr", b"irot", b"imir", b"clap", b"pasp", b"clli", b"mdcv", b"cclv", b"amve", b"ndwt")
"""Properties of what is shown, which stay: profile, turns, proportions, and the bright screen."""
TURNS = (b"irot", b"imir", b"clap")
SUBSAMPLINGS = {0x0C: "420", 0x08: "422", 0x00: "444"}
"""Names by the bits of how an item is coded; grey has none."""
DEEP, TWELVE, GREY = 0x40, 0x20, 0x10
"""Bits of how an item is coded: more than 8 bits a sample, 12 of them, and grey."""
MOST_METADATA = 64 * 1024 * 1024
"""Bytes of all EXIF and XMP of a picture; a file that names more lets them share their bytes."""
UNSPECIFIED = (2, 2, 6)
"""Code points of colours that only a profile describes, with the usual matrix."""
NEEDED = "pip install 'cleanplate[avif]'"


class Coding(NamedTuple):
    """How the shown picture of a file is coded."""

    depth: int
    """Bits of a sample: 8, 10 or 12."""
    subsampling: str
    """420, 422 or 444, or 400 for grey."""
    points: tuple[int, int, int] | None
    """Code points of primaries, transfer function and matrix; None if only the stream has them."""


def coding_of(data: bytes) -> Coding:
    """How the shown picture is coded; of a grid, its parts. Raises ValueError for damaged lists."""
    items = items_of(data)
    parts = next((each.others for each in items.references if (each.name, each.item) == (b"dimg", items.primary)), ())
    of_all = [each for number in (items.primary, *parts) for each in items.properties.get(number, ())]
    flags = next((each.content[2] for each in of_all if each.name == CODING and len(each.content) > 2), 0x0C)
    colours = [each.content for each in of_all if each.name == b"colr"]
    points = next((struct.unpack_from(">3H", box, 4) for box in colours if box[:4] == POINTS and len(box) > 10), None)
    if points is None and any(box[:4] != POINTS for box in colours):
        points = UNSPECIFIED
    depth = (12 if flags & TWELVE else 10) if flags & DEEP else 8
    return Coding(depth, "400" if flags & GREY else SUBSAMPLINGS.get(flags & 0x0C, "420"), points)


def unsupported(coding: Coding) -> str | None:
    """Why a file that Pillow cannot write again cannot be edited; None if it can."""
    if importlib.util.find_spec("imagecodecs") is None:
        return f"AVIF files of {coding.depth} bits or of colours beyond sRGB need imagecodecs: {NEEDED}"
    return "AVIF, colours that only its stream describes" if coding.points is None else None


def decoded(data: bytes) -> Samples:
    """The samples of a file, not turned, height x width x channels, uint8 or uint16.

    Raises Failure truncated, corrupt or out_of_memory.
    """
    import imagecodecs

    try:
        with timed("codec"):
            stored = np.asarray(imagecodecs.avif_decode(data, index=0, numthreads=1))
    except Exception as error:
        raise decoding_failure(error) from error
    return stored[:, :, None] if stored.ndim == 2 else stored


def encoded(edited: Edited, source: bytes, quality: int, speed: int) -> bytes:
    """An edited picture as a file like its source, by one thread so that the bytes repeat.

    Alpha is coded without loss. Raises RuntimeError or ValueError for what cannot be coded.
    """
    coding, before, space = coding_of(source), items_of(source), edited.picture.space
    colours, points = edited.stored[:, :, : space.colours], coding.points or UNSPECIFIED
    options: dict[str, Any] = {"bitspersample": coding.depth, "speed": speed}
    options |= dict(zip(("primaries", "transfer", "matrix"), points, strict=True))
    with timed("codec"):
        # Three equal channels, because a picture of one is coded without loss at any quality.
        whole = _coded(np.repeat(colours, 3 // colours.shape[2], axis=2), quality, pixelformat=coding.subsampling, **options)
        brands = next(boxes(whole, b"ftyp"))
        parts = [_with_properties(items_of(whole), before)]
        if space.alpha:
            alpha = items_of(_coded(edited.stored[:, :, space.colours], quality, pixelformat="400", **options))
            parts.append(_as_alpha(alpha, before))
    return assembled(brands, [*parts, *_metadata(before)])


def _coded(samples: Samples, quality: int, **options: Any) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.avif_encode(np.ascontiguousarray(samples), level=quality, numthreads=1, **options))


def _with_properties(new: Items, before: Items) -> Item:
    """The newly coded picture with what the source says of it beside its samples."""
    item = new.item(new.primary)
    listed = before.properties.get(before.primary, ())
    kept = [each for each in listed if each.name in OF_PICTURE and each.content[:4] != POINTS]
    return item._replace(properties=(*(each for each in item.properties if each.name in (*OF_PIXELS, b"colr")), *kept))


def _as_alpha(new: Items, before: Items) -> Item:
    """Newly coded alpha, turned as the source's is."""
    old = next(iter(_alphas_of(before)), before.primary)
    turns = [each for each in before.properties.get(old, ()) if each.name in TURNS]
    item = new.item(new.primary)
    own = [each for each in item.properties if each.name in OF_PIXELS]
    named = Property(AUXILIARY, bytes(4) + ALPHA + b"\0", False)
    return item._replace(properties=(*own, named, *turns), reference=b"auxl")


def _alphas_of(items: Items) -> list[int]:
    """The items that are the alpha of the shown picture."""
    return [
        number
        for number in items.named(b"auxl", items.primary)
        if any(each.name == AUXILIARY and ALPHA in each.content for each in items.properties.get(number, ()))
    ]


def _metadata(before: Items) -> list[Item]:
    """EXIF and XMP of the shown picture. Raises ValueError for more than a file can hold."""
    described = before.named(b"cdsc", before.primary)
    texts = [number for number in described if before.kinds[number][0] == EXIF or b"xml" in before.kinds[number][1]]
    if sum(map(before.size, texts)) > MOST_METADATA:
        raise ValueError("the file's metadata overlap")
    return [before.item(number)._replace(properties=(), reference=b"cdsc") for number in texts]


def lost_properties(data: bytes) -> list[str]:
    """What the source says of its picture that is not written again."""
    items = items_of(data)
    listed = items.properties.get(items.primary, ())
    return sorted({f"property {each.name.decode('latin-1')}" for each in listed if each.name not in (*OF_PIXELS, *OF_PICTURE)})
