"""AVIF and HEIC: a picture in boxes (ISO/IEC 23008-12), coded again as a whole.

Both codings predict every block from earlier ones, so that single blocks cannot be kept. The
whole picture is coded again at a high quality, with the subsampling of the source, and keeps its
EXIF, XMP and colour profile. What else a file holds (thumbnails, gain maps, depth) is not written
again, because it would show the erased content; `Picture.losses` names it.

Pillow reads and writes AVIF. HEIC takes the package pillow-heif, an extra, whose wheels hold an
encoder under the GPL.
"""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import AvifImagePlugin, Image

from operators.pictures.colour import Model, Space, profile_to_apply
from operators.pictures.formats.header import Header, load_pixels, orientation_of
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
AUXILIARY = ("thumbnails", "aux", "depth_images")
"""What pillow-heif lists beside the picture."""


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
    flags = next((box[2] for box in properties(content, b"av1C") if len(box) > 2), 0)
    unsupported = "AVIF, more than 8 bits a sample" if flags & 0x40 else _unsupported_colours("AVIF", content)
    return Header(file.width, file.height, file, int(getattr(file, "n_frames", 1)), unsupported)


def heic_header(data: memoryview | bytes) -> Header:
    """Read the header of a HEIC file.

    - Arguments: `data`, the whole file.
    - Result: upright width and height, the number of pictures, and why its bit depth or colours
      are unsupported.
    - Kept: the image of pillow-heif, its pixels not decoded yet.
    - Errors: whatever pillow-heif raises.
    """
    content = bytes(data)
    if importlib.util.find_spec("pillow_heif") is None:
        return Header(1, 1, None, unsupported="HEIC files need pillow-heif: pip install 'cleanplate[heic]'")
    file = heic_file(content)
    depths = [8 + (box[17] & 7) for box in properties(content, b"hvcC") if len(box) > 17]
    unsupported = _unsupported_colours("HEIC", content)
    if not depths:
        unsupported = "HEIF, no HEVC coding"
    elif max(depths) > 8:
        unsupported = f"HEIC, {max(depths)} bits a sample"
    return Header(file.width, file.height, file, int(getattr(file, "n_frames", 1)), unsupported)


def heic_file(data: bytes) -> Image.Image:
    """A HEIC file, opened without decoding. Raises whatever pillow-heif raises."""
    from pillow_heif.as_plugin import HeifImageFile

    open_file: Callable[[io.BytesIO], Image.Image] = HeifImageFile
    return open_file(io.BytesIO(data))


def properties(data: bytes, name: bytes) -> Iterator[bytes]:
    """The contents of all boxes of a name among the properties of a file's pictures."""
    parents = [data]
    for step in (b"meta", b"iprp", b"ipco"):
        parents = [content[4:] if step == b"meta" else content for parent in parents for content in _boxes(parent, step)]
    for parent in parents:
        yield from _boxes(parent, name)


def _boxes(data: bytes, name: bytes) -> Iterator[bytes]:
    """The contents of the boxes of a name, not of those inside other boxes."""
    position = 0
    while position + 8 <= len(data):
        size, start = int.from_bytes(data[position : position + 4], "big"), position + 8
        if size == 1:
            size, start = int.from_bytes(data[position + 8 : position + 16], "big"), position + 16
        size = size or len(data) - position
        if size < start - position:
            return
        if data[position + 4 : position + 8] == name:
            yield data[start : position + size]
        position += size


def _unsupported_colours(kind: str, data: bytes) -> str | None:
    """Why colours cannot be edited: a wide gamut by code points alone, or high dynamic range."""
    profiles = list(properties(data, b"colr"))
    has_profile = any(box[:4] in (b"prof", b"rICC") for box in profiles)
    for box in profiles:
        if box[:4] == b"nclx" and len(box) >= 8:
            primaries, transfer = struct.unpack_from(">HH", box, 4)
            foreign = primaries not in SRGB_PRIMARIES or transfer not in SRGB_TRANSFERS
            if transfer in HIGH_DYNAMIC_RANGE or (foreign and not has_profile):
                return f"{kind}, colour primaries {primaries}, transfer function {transfer}"
    return None


def decode_avif(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of an AVIF file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in RGB or RGBA.
    - Kept: the ICC profile and the orientation.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    return _picture("AVIF", load_pixels(header.source), header)


def decode_heic(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of a HEIC file, which its decoder turns upright.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in grey, RGB or RGBA.
    - Kept: the ICC profile; `losses` names what else the file holds.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    return _picture("HEIC", load_pixels(header.source), header)


def _picture(kind: str, file: Image.Image, header: Header) -> Picture:
    stored = np.asarray(file)
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    model: Model = "grey" if stored.shape[2] < 3 else "rgb"
    profile, note = profile_to_apply(file.info.get("icc_profile"), model)
    orientation = orientation_of(file)
    size = upright_size(header.width, header.height, orientation)
    space = Space(model, profile=profile, alpha=stored.shape[2] in (2, 4))
    losses = tuple(name for name in AUXILIARY if file.info.get(name))
    return Picture(kind, file.mode, stored, space, orientation, size, note=note, losses=losses)


def encode_avif(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as an AVIF file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file, lossy at AVIF_QUALITY, by one thread so that the bytes repeat.
    - Kept: subsampling, orientation, EXIF, XMP, colour profile.
    - Errors: OSError or ValueError if Pillow cannot write the pixels.
    """
    content = bytes(source)
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
    - Kept: subsampling, EXIF and its orientation set to upright, XMP,
      colour profile.
    - Errors: OSError, RuntimeError or ValueError if pillow-heif cannot write the pixels.
    """
    import pillow_heif

    content = bytes(source)
    file = heic_file(content)
    chroma = next((box[16] & 3 for box in properties(content, b"hvcC") if len(box) > 17), 1)
    stored = edited.stored
    image = Image.fromarray(stored[:, :, 0] if stored.shape[2] == 1 else stored)
    heif: Any = pillow_heif.from_pillow(image)
    buffer = io.BytesIO()
    with timed("codec"):
        heif[0].info.update(metadata(file))
        if "nclx_profile" in file.info:
            heif[0].info["nclx_profile"] = file.info["nclx_profile"]
        heif.save(buffer, quality=HEIC_QUALITY, chroma={2: 422, 3: 444}.get(chroma, 420))
    return buffer.getvalue()


def metadata(file: Image.Image) -> dict[str, Any]:
    """EXIF, XMP and colour profile of a file, as far as it has them."""
    return {name: file.info[name] for name in ("exif", "xmp", "icc_profile") if file.info.get(name)}
