"""`given_masks`: where are the pixels that the user wants regenerated?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePosixPath
from string import Formatter
from typing import ClassVar

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps, UnidentifiedImageError

from operators.masks.mask import dilated
from operators.masks.mask_picture import weights_of
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.pictures.formats.header import open_image
from operators.pictures.pages import Page, stands_still
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError
from operators.rows.records import RegionRecord
from operators.rows.regions import DETECTED, FOUND_COLUMNS, new_region
from operators.rows.table import Additions, Row, map_rows
from operators.rows.timing import timed
from operators.storage import files as storage
from operators.storage.listing import EXTENSIONS
from operators.storage.names import to_path

NEAR = 8
"""Parts of a mask that are less than twice this many pixels apart form one region."""
SPELLINGS = (*EXTENSIONS, *map(str.upper, EXTENSIONS), *(f".{extension[1:].title()}" for extension in EXTENSIONS))
"""The endings of mask files, in the order in which they are tried."""
NAME_FIELDS = ("stem", "name")
"""The fields of a mask's name: the image's relative path without and with its ending."""
PROBES = 16
"""How many images are looked up at the same time when a run starts."""


@dataclass(frozen=True)
class GivenMasks(Operator):
    """Read the user's mask of each image: what is white is regenerated, what is black is kept.

    This operator takes the place of `detect`. The mask of `a/b.jpg` is the file `a/b.jpg`,
    `a/b.jpg.png` or `a/b.png` under `masks`, in any supported image format, with an ending in
    lower or upper case. `operators.masks.mask_picture.weights_of` says how depths, palettes,
    colours, alpha and greys are read. Parts of the mask that are near each other become one
    region.

    A mask lies over the upright image: its width and height are those of the image after its
    EXIF orientation has turned it, and the mask's own EXIF orientation is applied first. A mask
    of another size is not scaled or turned but refused, also one of the size of the unturned
    image: for half of the orientations nothing would show whether that mask has to be turned.
    The mask of a file whose pages or frames have one size has that size and holds for all of them.
    """

    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256", "path")
    adds: ClassVar[tuple[str, ...]] = DETECTED
    masks: str = ""
    """Folder of the masks: a path or an fsspec URL."""
    limits: Limits = Limits()
    mask_name: str | None = None
    """The path of each mask under `masks`, with the field {stem}, the image's relative path
    without its ending, or {name}, the path with it: `{stem}_mask.png` is `a/b_mask.png` for
    `a/b.jpg`. No other name is tried. None for the names above.
    """

    def __post_init__(self) -> None:
        if self.mask_name is not None:
            _check_name(self.mask_name)

    @property
    def name(self) -> str:
        """`given_masks`."""
        return "given_masks"

    def check_images(self, paths: Callable[[], Iterable[str]]) -> None:
        """Raise RunError masks_missing if none of the images has a mask.

        The search ends at the first mask. Raises Failure as the storage does.
        """
        waiting, searched, first = iter(paths()), 0, ""
        with ThreadPoolExecutor(PROBES) as pool:
            # The first image is looked up alone, because it nearly always has a mask.
            size = 1
            while some := list(islice(waiting, size)):
                if any(pool.map(self._has_mask, some)):
                    return
                searched, first, size = searched + len(some), first or some[0], PROBES
        if searched and storage.is_local(self.masks) and not os.path.isdir(to_path(storage.absolute(self.masks))):
            raise RunError("masks_missing", f"{self.masks} is no folder")
        if searched:
            names = " or ".join(islice(self._names(first), 2))
            raise RunError(
                "masks_missing",
                f"{self.masks} has no mask for any of the first {counted(searched, 'image')}; the one of {first} would be "
                f"{names} (--mask-name sets other names)",
            )

    def apply(self, batch: pa.Table) -> pa.Table:
        """Read the masks of one batch."""
        return map_rows(batch, self.name, FOUND_COLUMNS, self._regions)

    def _regions(self, row: Row) -> Additions:
        picture = FRAME_CACHE.picture(row, self.limits)
        width, height = picture.size
        pages = picture.pages or (Page(0, height, width),)
        sizes = {(page.width, page.height) for page in pages}
        mask = self._read_mask(row["path"], *(sizes.pop() if len(sizes) == 1 else (width, height)))
        if mask.shape == (height, width):
            regions = regions_of_mask(mask, self.name)
        else:
            regions = _regions_on_pages(mask, self.name, picture)
        return {"width": width, "height": height, "mode": picture.mode, "regions": regions}

    def _read_mask(self, path: str, width: int, height: int) -> Pixels:
        """The mask of the image at `path`, which has `width` x `height` upright pixels.

        Raises Failure mask_missing, mask_unreadable or mask_unclear, or what the storage raises.
        """
        with timed("io"):
            data, name = self._read_file(path)
        try:
            with timed("codec"):
                return _upright_weights(open_image(data), width, height)
        except Failure as failure:
            raise Failure(failure.code, f"{name}: {failure.message}") from failure
        except UnidentifiedImageError as error:  # whose own words name an object in memory
            raise Failure("mask_unreadable", f"{name}: this is no picture") from error
        except Exception as error:
            raise Failure("mask_unreadable", f"{name}: {error}") from error

    def _read_file(self, path: str) -> tuple[bytes, str]:
        """The bytes of an image's mask file, and its name under `masks`."""
        for uri in self._uris(path):
            try:
                return storage.read(uri), uri.removeprefix(storage.join(self.masks, ""))
            except Failure as failure:
                if failure.code != "key_missing":
                    raise
        raise Failure("mask_missing", f"no mask for {path} under {self.masks}")

    def _has_mask(self, path: str) -> bool:
        return any(storage.exists(uri) for uri in self._uris(path))

    def _uris(self, path: str) -> Iterator[str]:
        """Where the mask of an image may be, in the order in which it is looked for.

        A store that can say which names are missing is asked after the first name has failed.
        """
        first, *others = (storage.join(self.masks, name) for name in self._names(path))
        yield first
        if others:
            yield from storage.drop_missing(others, storage.join(self.masks, _stem(path) + "."))

    def _names(self, path: str) -> Iterator[str]:
        """The names that the mask of an image may have, in the order in which they are tried."""
        stem = _stem(path)
        if self.mask_name is not None:
            yield self.mask_name.format(stem=stem, name=path)
            return
        yield path
        for start in range(0, len(SPELLINGS), len(EXTENSIONS)):
            endings = SPELLINGS[start : start + len(EXTENSIONS)]
            yield from (path + ending for ending in endings)
            yield from (stem + ending for ending in endings if stem + ending != path)


def regions_of_mask(mask: Pixels, origin: str) -> list[RegionRecord]:
    """The regions of a mask of a picture, uint8 height x width: parts near each other are one."""
    return [_region(tight, box, origin) for tight, box in _parts(mask)]


def _regions_on_pages(mask: Pixels, origin: str, picture: Picture) -> list[RegionRecord]:
    """The regions of one mask on all pages or frames of a picture.

    A frame that shows there what an earlier one shows has none: it gets the earlier one's edit.
    """
    regions = []
    for tight, box in _parts(mask):
        for number, page in enumerate(picture.pages):
            around, before = box.grown(NEAR, page.width, page.height), picture.pages[:number] if picture.frames else ()
            if not any(stands_still(picture.stored, picture.space.peak, other, page, around) for other in before):
                regions.append(_region(tight, replace(box, y=box.y + page.top), origin))
    return regions


def _region(weights: Pixels, box: Box, origin: str) -> RegionRecord:
    """A region of a mask's weights, which span the box."""
    right, bottom = box.x + box.width - 1, box.y + box.height - 1
    corners = [[box.x, box.y], [right, box.y], [right, bottom], [box.x, bottom]]
    polygon = [[float(x), float(y)] for x, y in corners]
    return new_region([polygon], 1.0, "mask", weights, box, origin=origin)


def _parts(mask: Pixels) -> Iterator[tuple[Pixels, Box]]:
    """The parts of a mask that are far from each other, and where each of them is."""
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(dilated((mask > 0).astype(np.uint8), NEAR))
    for label, (left, top, across, down, _) in enumerate(boxes):
        part = mask[top : top + down, left : left + across] * (labels[top : top + down, left : left + across] == label)
        if label == 0 or not part.any():
            continue
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        tight = np.ascontiguousarray(part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
        yield tight, Box(int(left + columns[0]), int(top + rows[0]), tight.shape[1], tight.shape[0])


def _stem(path: str) -> str:
    """A relative path without the ending of its name."""
    return str(PurePosixPath(path).with_suffix(""))


def _upright_weights(mask: Image.Image, width: int, height: int) -> Pixels:
    """The weights of a mask for an image of `width` x `height` upright pixels.

    Raises Failure mask_unreadable for another size, or mask_unclear, or what Pillow raises.
    """
    if sorted(mask.size) == sorted((width, height)):  # else not decoded: it may be far larger
        mask = ImageOps.exif_transpose(mask)
    if mask.size != (width, height):
        unturned = "; masks lie over the upright image" if mask.size == (height, width) else ""
        sizes = f"{mask.width} x {mask.height} pixels, the image has {width} x {height}"
        raise Failure("mask_unreadable", sizes + unturned)
    return weights_of(mask)


def _check_name(mask_name: str) -> None:
    """Raise RunError option_invalid unless the name has a field, and only fields of NAME_FIELDS."""
    expected = "expected a name with {stem} or {name}, such as {stem}_mask.png"
    try:
        parts = list(Formatter().parse(mask_name))
    except ValueError as error:
        raise RunError("option_invalid", f"--mask-name {mask_name}: {error}; {expected}") from None
    fields = [(field, spec, conversion) for _, field, spec, conversion in parts if field is not None]
    if not fields or any(field not in NAME_FIELDS or spec or conversion for field, spec, conversion in fields):
        raise RunError("option_invalid", f"--mask-name {mask_name}: {expected}")
