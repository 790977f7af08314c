"""`given_masks`: where are the pixels that the user wants regenerated?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps

from operators.masks.mask import dilated
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.pictures.formats.header import open_image
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.failure import Failure
from operators.rows.regions import DETECTED, FOUND_COLUMNS, new_region
from operators.rows.table import Additions, Row, map_rows
from operators.rows.timing import timed
from operators.storage import files as storage
from operators.storage.listing import EXTENSIONS

NEAR = 8
"""Parts of a mask that are less than twice this many pixels apart form one region."""


@dataclass(frozen=True)
class GivenMasks(Operator):
    """Read the user's mask of each image: white is regenerated, black is kept, grey is a weight.

    This operator takes the place of `detect`. The mask of `a/b.jpg` is the file `a/b.jpg`,
    `a/b.jpg.png` or `a/b.png` under `masks`, in any supported image format and of the image's
    upright size. Parts of the mask that are near each other become one region.
    """

    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256", "path")
    adds: ClassVar[tuple[str, ...]] = DETECTED
    masks: str = ""
    """Folder of the masks: a path or an fsspec URL."""
    limits: Limits = Limits()

    @property
    def name(self) -> str:
        """`given_masks`."""
        return "given_masks"

    def apply(self, batch: pa.Table) -> pa.Table:
        """Read the masks of one batch."""
        return map_rows(batch, self.name, FOUND_COLUMNS, self._regions)

    def _regions(self, row: Row) -> Additions:
        picture = FRAME_CACHE.picture(row, self.limits)
        width, height = picture.size
        mask = self._read_mask(row["path"])
        if mask.shape != (height, width):
            raise Failure("mask_unreadable", f"{mask.shape[1]} x {mask.shape[0]} pixels, the image has {width} x {height}")
        _, labels, boxes, _ = cv2.connectedComponentsWithStats(dilated((mask > 0).astype(np.uint8), NEAR))
        regions = []
        for label, (left, top, across, down, _) in enumerate(boxes):
            part = mask[top : top + down, left : left + across] * (labels[top : top + down, left : left + across] == label)
            if label == 0 or not part.any():
                continue
            rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            tight = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            box = Box(int(left + columns[0]), int(top + rows[0]), tight.shape[1], tight.shape[0])
            right, bottom = box.x + box.width - 1, box.y + box.height - 1
            corners = [[box.x, box.y], [right, box.y], [right, bottom], [box.x, bottom]]
            polygon = [[float(x), float(y)] for x, y in corners]
            regions.append(new_region([polygon], 1.0, "mask", np.ascontiguousarray(tight), box))
        return {"width": width, "height": height, "mode": picture.mode, "regions": regions}

    def _read_mask(self, path: str) -> Pixels:
        """The mask of the image at `path`.

        Raises Failure mask_missing or mask_unreadable, or what the storage raises.
        """
        for name in _mask_names(path):
            try:
                with timed("io"):
                    data = storage.read(storage.join(self.masks, name))
            except Failure as failure:
                if failure.code == "key_missing":
                    continue
                raise
            try:
                with timed("codec"):
                    return _weights(ImageOps.exif_transpose(open_image(data)))
            except Exception as error:
                raise Failure("mask_unreadable", f"{name}: {error}") from error
        raise Failure("mask_missing", f"no mask for {path} under {self.masks}")


def _weights(mask: Image.Image) -> Pixels:
    """A mask picture as weights, uint8 height x width.

    16-bit samples are scaled to 8 bits, and colours become their luma.
    """
    if mask.mode.startswith("I"):
        return np.rint(np.asarray(mask).astype(np.float64) / 257).clip(0, 255).astype(np.uint8)
    return np.asarray(mask.convert("L"))


def _mask_names(path: str) -> Iterator[str]:
    """The names that the mask of an image may have, in the order in which they are tried."""
    yield path
    for extension in EXTENSIONS:
        yield path + extension
    for extension in EXTENSIONS:
        replaced = str(PurePosixPath(path).with_suffix(extension))
        if replaced != path:
            yield replaced
