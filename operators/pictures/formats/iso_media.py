"""AVIF and HEIC: a picture in boxes (ISO/IEC 23008-12), coded again as a whole.

Both codings predict every block from earlier ones, so that single blocks cannot be kept. The
whole picture is coded again at a high quality, with the subsampling of the source, and keeps its
EXIF, XMP and colour profile. What else a file holds (thumbnails, gain maps, depth) is not written
again, because it would show the erased content; `Picture.losses` names it.

A file of 10 or 12 bits keeps them. Its colours may be meant for bright screens (PQ, HLG) or be of
a wide gamut that code points name. Edits are then made in the stored values, as if they were
sRGB: a fill and its surroundings are coded alike, so that they agree on every screen, and no
value is converted. Only looks are paler until a screen applies the code points, which are kept.

Pillow reads and writes AVIF of 8 bits, see `operators.pictures.formats.avif_items` for others. HEIC
takes the package pillow-heif, an extra, whose wheels hold an encoder under the GPL.
"""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import AvifImagePlugin, Image

from operators.pictures.colour import Model, Samples, Space, profile_to_apply
from operators.pictures.formats import avif_items
from operators.pictures.formats.header import Header, decoding_failure, load_pixels, orientation_of
from operators.pictures.formats.media_items import boxes, entries, every_box, properties
from operators.pictures.picture import Edited, Picture, upright_size
from operators.rows.timing import timed

AVIF_QUALITY, AVIF_SPEED = 92, 7
HEIC_QUALITY = 92
SUBSAMPLINGS = {1: "4:2:0", 2: "4:2:2", 3: "4:4:4", 0: "4:0:0"}
"""Names by the number that HEVC gives them."""
SRGB_PRIMARIES, SRGB_TRANSFERS = (1, 2, 5, 6), (1, 2, 6, 13)
"""Code points (ISO/IEC 23091-2) of colours that are those of sRGB, or near it, or not said."""
HIGH_DYNAMIC_RANGE = (16, 18)
"""Code points of the transfer functions PQ and HLG."""
ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
"""Names of auxiliary pictures that are the alpha of another, which is kept."""
WRITTEN_AGAIN = (b"ftyp", b"meta", b"mdat", b"free", b"skip", b"wide")
"""Boxes of a file whose content is written again, or says nothing."""
MANIFEST = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""The UUID of the box that holds content credentials (C2PA 2)."""
OF_BRIGHT_SCREENS = (
    "content_light_level",
    "mastering_display_colour_volume",
    "ambient_viewing_environment",
    "nominal_diffuse_white_luminance",
)
"""What pillow-heif lists of the screen that a picture is meant for."""


def avif_header(data: memoryview | bytes) -> Header:
    """Read the header of an AVIF file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels, the number of frames, and why its bit depth or
      colours are unsupported.
    - Kept: Pillow's image, its pixels not decoded yet.
    - Errors: whatever Pillow raises.
    """
    content = bytes(data)
    file = AvifImagePlugin.AvifImageFile(io.BytesIO(content))
    frames = int(getattr(file, "n_frames", 1))
    if not any(boxes(content, b"meta")):
        return Header(file.width, file.height, file, frames, "AVIF, a film without a still picture")
    coding = None if frames > 1 else _coding_beyond_pillow(content)
    unsupported = None if coding is None else avif_items.unsupported(coding)
    return Header(file.width, file.height, file, frames, unsupported)


def _coding_beyond_pillow(data: bytes) -> avif_items.Coding | None:
    """How an AVIF is coded that Pillow cannot write again; None for one that it can."""
    coding = avif_items.coding_of(data)
    return coding if coding.depth > 8 or foreign_colours(data) is not None else None


def heic_header(data: memoryview | bytes) -> Header:
    """Read the header of a HEIC file.

    - Arguments: `data`, the whole file.
    - Result: upright width and height, the number of pictures, and why its coding is unsupported.
    - Kept: the image of pillow-heif, its pixels not decoded yet.
    - Errors: whatever pillow-heif raises.
    """
    content = bytes(data)
    if importlib.util.find_spec("pillow_heif") is None:
        return Header(1, 1, None, unsupported="HEIC files need pillow-heif: pip install 'cleanplate[heic]'")
    file = heic_file(content)
    is_hevc = any(len(box) > 17 for box in properties(content, b"hvcC"))
    unsupported = None if is_hevc else "HEIF, no HEVC coding"
    return Header(file.width, file.height, file, int(getattr(file, "n_frames", 1)), unsupported)


def heic_file(data: bytes) -> Image.Image:
    """A HEIC file, opened without decoding. Raises whatever pillow-heif raises."""
    from pillow_heif.as_plugin import HeifImageFile

    open_file: Callable[[io.BytesIO], Image.Image] = HeifImageFile
    return open_file(io.BytesIO(data))


def has_manifest(data: bytes) -> bool:
    """Whether a file holds content credentials."""
    return any(name == b"uuid" and content.startswith(MANIFEST) for name, content in every_box(data))


def losses_of(data: bytes) -> tuple[str, ...]:
    """What a file holds beside the picture and its metadata, which an edit does not write again."""
    lost = []
    for meta in boxes(data, b"meta"):
        if any(name == b"thmb" for box in boxes(meta[4:], b"iref") for name, _ in every_box(box[4:])):
            lost.append("thumbnails")
        if any(content[8:12] == b"tmap" for box in boxes(meta[4:], b"iinf") for content in entries(box)):
            lost.append("gain map")
    if any(content[4:].partition(b"\0")[0] not in ALPHA for content in properties(data, b"auxC")):
        lost.append("auxiliary pictures")
    others = [name for name, content in every_box(data) if name not in WRITTEN_AGAIN and not content.startswith(MANIFEST)]
    return (*lost, *sorted({f"box {name.decode()}" if name.isalnum() else "trailer" for name in others}))


def foreign_colours(data: bytes) -> str | None:
    """The code points of colours that are not near sRGB and that no profile describes."""
    profiles = list(properties(data, b"colr"))
    has_profile = any(box[:4] in (b"prof", b"rICC") for box in profiles)
    for box in profiles:
        if box[:4] == b"nclx" and len(box) >= 8:
            primaries, transfer = struct.unpack_from(">HH", box, 4)
            foreign = primaries not in SRGB_PRIMARIES or transfer not in SRGB_TRANSFERS
            if transfer in HIGH_DYNAMIC_RANGE or (foreign and not has_profile):
                return f"colour primaries {primaries}, transfer function {transfer}"
    return None


def decode_avif(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of an AVIF file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in grey, RGB or RGBA, of 8, 10 or 12 bits.
    - Kept: the ICC profile and the orientation; `losses` names what else the file holds.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    content, coding = bytes(data), _coding_beyond_pillow(bytes(data))
    if coding is None:
        picture = _picture("AVIF", header.source, header, np.asarray(load_pixels(header.source)))
        return replace(picture, losses=losses_of(content))
    picture = _picture("AVIF", header.source, header, avif_items.decoded(content))
    lost = (*losses_of(content), *avif_items.lost_properties(content))
    return _with_depth(replace(picture, note=picture.note or foreign_colours(content), losses=lost), coding.depth)


def decode_heic(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of a HEIC file, which its decoder turns upright.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in grey, RGB or RGBA, of 8, 10 or 12 bits.
    - Kept: the ICC profile; `losses` names what else the file holds.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    content, depth = bytes(data), int(header.source.info.get("bit_depth", 8))
    stored = np.asarray(load_pixels(header.source)) if depth == 8 else _deep_pixels(content)
    picture = _picture("HEIC", header.source, header, stored)
    picture = replace(picture, note=picture.note or foreign_colours(content), losses=losses_of(content))
    return _with_depth(picture, depth)


def _with_depth(picture: Picture, depth: int) -> Picture:
    """The picture with the number of bits that its samples have."""
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[picture.stored.shape[2]]
    if depth == 8:
        return replace(picture, mode=mode)
    return replace(picture, mode=f"{mode};{depth}", space=replace(picture.space, peak=2**depth - 1))


def _deep_pixels(data: bytes) -> Samples:
    """The samples of a HEIC file of more than 8 bits, uint16, upright. Raises Failure."""
    import pillow_heif

    with timed("codec"):
        try:
            file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False, hdr_to_16bit=False)
            return np.asarray(file[file.primary_index])
        except Exception as error:
            raise decoding_failure(error) from error


def _picture(kind: str, file: Image.Image, header: Header, stored: Samples) -> Picture:
    """The picture of an opened file and its samples."""
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    model: Model = "grey" if stored.shape[2] < 3 else "rgb"
    profile, note = profile_to_apply(file.info.get("icc_profile"), model)
    orientation = orientation_of(file)
    size = upright_size(header.width, header.height, orientation)
    space = Space(model, profile=profile, alpha=stored.shape[2] in (2, 4))
    return Picture(kind, file.mode, stored, space, orientation, size, note=note)


def encode_avif(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as an AVIF file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file, lossy at AVIF_QUALITY, by one thread so that the bytes repeat.
    - Kept: bits a sample, subsampling, orientation, EXIF, XMP, colour profile, code points.
    - Errors: OSError, RuntimeError or ValueError if the pixels cannot be written.
    """
    content = bytes(source)
    if _coding_beyond_pillow(content) is not None:
        return avif_items.encoded(edited, content, AVIF_QUALITY, AVIF_SPEED)
    flags = next((box[2] for box in properties(content, b"av1C") if len(box) > 2), 0x0C)
    subsampling = {0x0C: "4:2:0", 0x08: "4:2:2", 0x00: "4:4:4", 0x1C: "4:0:0"}.get(flags & 0x1C, "4:2:0")
    options = metadata(AvifImagePlugin.AvifImageFile(io.BytesIO(content)))
    buffer = io.BytesIO()
    with timed("codec"):
        Image.fromarray(edited.stored).save(
            buffer, "AVIF", quality=AVIF_QUALITY, speed=AVIF_SPEED, subsampling=subsampling, max_threads=1, **options
        )
    return buffer.getvalue()


def encode_heic(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a HEIC file, upright.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file, lossy at HEIC_QUALITY.
    - Kept: bits a sample, subsampling, EXIF and its orientation set to upright, XMP, the colour
      profile, code points of colours, and what the file says of a bright screen.
    - Errors: OSError, RuntimeError or ValueError if pillow-heif cannot write the pixels.
    """
    content = bytes(source)
    file = heic_file(content)
    chroma = next((box[16] & 3 for box in properties(content, b"hvcC") if len(box) > 17), 1)
    kept = {name: file.info[name] for name in ("nclx_profile", *OF_BRIGHT_SCREENS) if name in file.info}
    buffer = io.BytesIO()
    with timed("codec"):
        heif = _heif_of(edited)
        heif[0].info.update(metadata(file) | kept)
        heif.save(buffer, quality=HEIC_QUALITY, chroma={2: 422, 3: 444}.get(chroma, 420))
    return buffer.getvalue()


def _heif_of(edited: Edited) -> Any:
    """An edited picture as pillow-heif holds it."""
    import pillow_heif

    stored, depth = edited.stored, edited.picture.space.peak.bit_length()
    if depth == 8:
        return pillow_heif.from_pillow(Image.fromarray(stored[:, :, 0] if stored.shape[2] == 1 else stored))
    heif = pillow_heif.from_bytes(edited.picture.mode, stored.shape[1::-1], np.ascontiguousarray(stored).tobytes())
    heif[0].info["bit_depth"] = depth
    return heif


def metadata(file: Image.Image) -> dict[str, Any]:
    """EXIF, XMP and colour profile of a file, as far as it has them."""
    return {name: file.info[name] for name in ("exif", "xmp", "icc_profile") if file.info.get(name)}
