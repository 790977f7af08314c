"""`given_regions`: where does the user say that something is?"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from operators.masks.geometry import bounding_box, covers, rasterised
from operators.models.in_process import load_once
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.box import Box
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError
from operators.rows.records import JsonObject, RegionRecord
from operators.rows.regions import DETECTED, FOUND_COLUMNS, OPEN, new_region
from operators.rows.table import Additions, Row, map_rows
from operators.storage.region_files import COLUMN, GivenRegion, Reader, open_regions, regions_checksum, regions_of

INSIDE = 0.6
"""Share of a found text that a given region covers, from which it is a finer part of it."""
SEARCHED = 200
"""Images of a run that are searched for one that a file names."""
COVERED = 0.5
"""Share of a given region that its finer parts cover, from which they take its place."""


@dataclass(frozen=True)
class GivenRegions(Operator):
    """Add the boxes and polygons that the user gives, with their origin.

    A source is COCO JSON, a folder of YOLO text files, Parquet such as `find` writes, or
    `column:NAME`, a column of the manifest; see `operators.storage.region_files`. Regions lie over
    the upright image. After a detection, the texts found inside a given region are what the user
    means: they are open however the detector doubted them, and their `origin` names both. They
    take the place of the given region if they cover most of it.
    """

    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256", "path")
    adds: ClassVar[tuple[str, ...]] = DETECTED
    sources: tuple[str, ...] = ()
    """Paths, URLs, and columns as `column:NAME`."""
    limits: Limits = Limits()

    @property
    def name(self) -> str:
        """`given_regions`."""
        return "given_regions"

    def check(self) -> None:
        """Raise RunError regions_invalid unless every file can be read."""
        for source in self.sources:
            if source.startswith(COLUMN):
                if not source.removeprefix(COLUMN):
                    raise RunError("regions_invalid", f"{source}: no name of a column")
            else:
                self._reader(source)

    def check_images(self, paths: Callable[[], Iterable[str]]) -> None:
        """Raise RunError regions_invalid for a file that names no image of a small run.

        In a larger one, it may name an image that follows. Raises Failure as the storage does.
        """
        files = [source for source in self.sources if not source.startswith(COLUMN)]
        images = list(islice(paths(), SEARCHED + 1)) if files else []
        if not images or len(images) > SEARCHED:
            return
        for source in files:
            if not any(self._names(source, image) for image in images):
                raise RunError(
                    "regions_invalid", f"{source} names none of the {counted(len(images), 'image')}, such as {images[0]}"
                )

    def _names(self, source: str, path: str) -> bool:
        try:
            return self._reader(source)(path).is_named
        except Failure as failure:
            if failure.code == "regions_unfit":
                return True
            raise

    def open(self) -> None:
        """Read the files of regions. Raises RunError regions_invalid."""
        self.check()

    def settings(self) -> JsonObject:
        """The fields, with a checksum of every file or folder of regions."""
        files = [source for source in self.sources if not source.startswith(COLUMN)]
        return {**super().settings(), "checksums": {source: regions_checksum(source) for source in files}}

    def beyond_bytes(self, path: str, own: Mapping[str, Any]) -> str | None:
        """The cells of the image; None if a file gives regions by path."""
        if not all(source.startswith(COLUMN) for source in self.sources):
            return None
        return repr([own.get(source.removeprefix(COLUMN)) for source in self.sources])

    def apply(self, batch: pa.Table) -> pa.Table:
        """Add the regions of one batch."""
        return map_rows(batch, self.name, FOUND_COLUMNS, self._add)

    def _add(self, row: Row) -> Additions:
        width, height, mode = row["width"], row["height"], row["mode"]
        if width is None:
            picture = FRAME_CACHE.picture(row, self.limits)
            (width, height), mode = picture.size, picture.mode
        records = [region.record() for region in row.regions]
        for source in self.sources:
            name = source if source.startswith(COLUMN) else posixpath.basename(source.rstrip("/"))
            for given in self._given(source, row, width, height):
                records = _joined(records, _record(given, name, width, height))
        return {"width": width, "height": height, "mode": mode, "regions": records}

    def _given(self, source: str, row: Row, width: int, height: int) -> Sequence[GivenRegion]:
        if source.startswith(COLUMN):
            column = source.removeprefix(COLUMN)
            return regions_of(row[column]) if column in row.columns else []
        picture = self._reader(source)(row["path"])
        picture.check_size(width, height)
        return picture.regions

    def _reader(self, source: str) -> Reader:
        return load_once("regions", source, "cpu", lambda: open_regions(source))


def _record(given: GivenRegion, origin: str, width: int, height: int) -> RegionRecord:
    """A new region; its map is certain of every pixel inside the polygons."""
    polygons = given.in_pixels(width, height)
    box = bounding_box(polygons, width, height)
    return new_region(polygons, given.score, given.kind, rasterised(polygons, box), box, origin=origin)


def _joined(records: list[RegionRecord], given: RegionRecord) -> list[RegionRecord]:
    """The records with a given one: its finer parts, and itself unless they cover most of it."""
    parts = [
        record
        for record in records
        if record["kind"] == given["kind"] == "text"
        and any(covers(outline, record["polygons"][0], INSIDE) for outline in given["polygons"])
    ]
    meant: list[RegionRecord] = [
        {**record, "state": OPEN, "reason": None, "origin": f"{record['origin']} + {given['origin']}"}
        if any(record is part for part in parts)
        else record
        for record in records
    ]
    box = Box(**given["probability"]["box"])
    own = rasterised(given["polygons"], box) > 0
    found = np.zeros_like(own)
    for part in parts:
        found |= rasterised(part["polygons"], box) > 0
    return meant if (own & found).sum() > COVERED * own.sum() else [*meant, given]
