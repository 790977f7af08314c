"""Regions that the user gives: COCO JSON, YOLO text files, or Parquet such as `find` writes.

Every reader answers for one picture at a time, by the picture's relative path.
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from operators.rows.failure import Failure, RunError, first_line
from operators.storage import files as storage
from operators.storage.manifest_paths import endings_of
from operators.storage.unreadable import why_unreadable

COLUMN = "column:"
"""What stands before the name of a column of the manifest, in the place of a file."""
KINDS = ("text", "mark", "mask")
"""The categories that are kinds of region; a region of any other category is a text."""
ENDINGS = (".json", ".parquet", ".txt")
"""The endings of files that may hold regions."""
READS_AT_ONCE = 16
TABLE_COLUMNS = ("path", "polygons")
"""The columns that a table of regions must have; `kind`, `score` and `confirmed` may be there."""

Corners = list[list[float]]


@dataclass(frozen=True)
class GivenRegion:
    """One region of a picture, as the user gives it."""

    polygons: list[Corners]
    """Corners (x, y): pixels with their centres at whole numbers, or shares of the sides."""
    kind: str = "text"
    score: float = 1.0
    are_shares: bool = False

    def in_pixels(self, width: int, height: int) -> list[Corners]:
        """The polygons in pixels of a width x height picture.

        Raises Failure regions_unfit if one is no area, or lies outside the picture.
        """
        polygons = self.polygons
        if self.are_shares:
            polygons = [[[x * width - 0.5, y * height - 0.5] for x, y in polygon] for polygon in polygons]
        for polygon in polygons:
            xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
            if len(polygon) < 3 or not all(map(math.isfinite, (*xs, *ys))):
                raise Failure("regions_unfit", f"{len(polygon)} corners are no polygon")
            if max(xs) < 0 or max(ys) < 0 or min(xs) > width - 1 or min(ys) > height - 1:
                raise Failure("regions_unfit", f"a region lies outside the {width} x {height} pixels of the image")
        return polygons


@dataclass(frozen=True)
class PictureRegions:
    """The regions of one picture, and the size that the file says the picture has."""

    regions: list[GivenRegion]
    size: tuple[int, int] | None = None
    is_named: bool = True
    """Whether the file names the picture at all."""

    def check_size(self, width: int, height: int) -> None:
        """Raise Failure regions_unfit unless the picture has the size that the file says."""
        if self.size is not None and self.size != (width, height):
            unturned = "; regions lie over the upright image" if self.size == (height, width) else ""
            raise Failure(
                "regions_unfit", f"{self.size[0]} x {self.size[1]} pixels, the image has {width} x {height}{unturned}"
            )


UNNAMED = PictureRegions([], is_named=False)
"""What is known of a picture that a file does not name."""
Reader = Callable[[str], PictureRegions]
"""Takes the relative path of a picture; returns its regions, none for an unknown picture."""


def open_regions(uri: str) -> Reader:
    """A reader of the regions in a file or folder.

    A `.json` file is COCO, a `.parquet` file or a folder of them is a table, and any other folder
    holds the text files of YOLO. Raises RunError regions_invalid, and option_invalid for an unknown
    kind of storage.
    """
    storage.check_scheme(uri)
    try:
        if uri.lower().endswith(".json"):
            return _coco(json.loads(storage.read(uri)), uri)
        names = storage.list_paths(uri)
        if not names and not storage.exists(uri):
            raise RunError("regions_invalid", f"{uri}: there is no such file or folder; {EXPECTED}")
        tables = [name for name in names if name.lower().endswith(".parquet")]
        if tables:
            return _tables(tables, uri)
        if any(name.lower().endswith(".txt") for name in names):
            return _yolo(uri)
    except Failure as failure:
        raise RunError("regions_invalid", f"{uri}: {why_unreadable(failure)}; {EXPECTED}") from None
    except UnicodeDecodeError:
        raise RunError("regions_invalid", f"{uri}: no text in UTF-8; {EXPECTED}") from None
    except json.JSONDecodeError as error:
        raise RunError("regions_invalid", f"{uri}: no JSON: {error}") from None
    except (ValueError, pa.ArrowException, OSError) as error:
        raise RunError("regions_invalid", f"{uri}: {first_line(error)}") from None
    raise RunError("regions_invalid", f"{uri}: neither COCO JSON, nor Parquet, nor a folder of YOLO text files")


EXPECTED = "--regions takes COCO JSON, Parquet that find has written, a folder of YOLO text files, or column:NAME"
"""How to go on after a file that holds no regions."""


def regions_checksum(uri: str) -> str:
    """The SHA-256 of the files that `open_regions` reads, as 64 hexadecimal digits.

    Object storages that know a checksum of each file are asked for it; other files are read. Raises
    RunError regions_invalid.
    """
    try:
        objects = storage.list_versions(uri)
        known = [path for path in sorted(objects) if path.lower().endswith(ENDINGS)]
        root = storage.filesystem(uri)[1]
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            versions = pool.map(lambda path: objects[path] or _content_checksum(_uri_of(uri, root, path)), known)
            lines = [f"{path[len(root) :]} {version}" for path, version in zip(known, versions, strict=True)]
    except Failure as failure:
        raise RunError("regions_invalid", f"{uri}: {failure.message}") from None
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _uri_of(uri: str, root: str, path: str) -> str:
    return storage.join(uri, path[len(root) :].lstrip("/")) if path != root else uri


def _content_checksum(uri: str) -> str:
    return hashlib.sha256(storage.read(uri)).hexdigest()


def regions_of(value: Any) -> list[GivenRegion]:
    """The regions in a cell of a manifest: a list of boxes or polygons, or the same as JSON.

    A box is [x, y, width, height]; a polygon is a list of corners [x, y]. Raises Failure
    regions_unfit.
    """
    try:
        content = json.loads(value) if isinstance(value, str) and value.strip() else value
        return [_one(entry) for entry in content or []]
    except (ValueError, TypeError) as error:
        raise Failure("regions_unfit", f"not a list of boxes or polygons: {first_line(error)}") from None


def _one(entry: Sequence[Any]) -> GivenRegion:
    if len(entry) == 4 and all(isinstance(value, int | float) for value in entry):
        return GivenRegion([_box(*map(float, entry))])
    return GivenRegion([[[float(x), float(y)] for x, y in entry]])


def _box(x: float, y: float, width: float, height: float) -> Corners:
    """The corners of a box, whose right and lower pixels are the last ones inside it."""
    if not (width > 0 and height > 0):
        raise ValueError(f"a box of {width} x {height}")
    right, bottom = x + max(width - 1, 0), y + max(height - 1, 0)
    return [[x, y], [right, y], [right, bottom], [x, bottom]]


def _coco(content: Any, uri: str) -> Reader:
    """A reader of COCO: `images`, `annotations` and `categories`.

    Raises ValueError, which says where it is none.
    """
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in ("images", "annotations")):
        raise ValueError("no COCO: it needs the lists 'images' and 'annotations'")
    names = {_member(each, "id", "categories"): _member(each, "name", "categories") for each in content.get("categories") or []}
    entries: dict[Any, list[GivenRegion]] = defaultdict(list)
    for number, annotation in enumerate(content["annotations"]):
        place = f"annotations.{number}"
        image = _member(annotation, "image_id", place)
        if annotation.get("confirmed", True):
            kind = names.get(annotation.get("category_id"), "text")
            try:
                region = GivenRegion(_outlines(annotation), _kind(kind), float(annotation.get("score", 1.0)))
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{place}: {first_line(error)} is no bbox or polygon") from None
            entries[image].append(region)
    found = {}
    for number, image in enumerate(content["images"]):
        place = f"images.{number}"
        size = (image["width"], image["height"]) if "width" in image and "height" in image else None
        found[_member(image, "file_name", place)] = PictureRegions(entries[_member(image, "id", place)], size)
    return _by_path(found)


def _member(entry: Any, name: str, place: str) -> Any:
    """A value that an entry of COCO must have."""
    if not isinstance(entry, dict) or name not in entry:
        raise ValueError(f"no COCO: {place} has no {name!r}")
    return entry[name]


def _outlines(annotation: Mapping[str, Any]) -> list[Corners]:
    """The polygons of an annotation, or its box where the segmentation is none or a raster."""
    outlines = annotation.get("segmentation")
    if isinstance(outlines, list) and outlines:
        return [[[float(x), float(y)] for x, y in zip(flat[::2], flat[1::2], strict=True)] for flat in outlines]
    return [_box(*map(float, annotation["bbox"]))]


def _tables(names: Iterable[str], uri: str) -> Reader:
    """A reader of tables with one row for each region."""
    found: dict[str, PictureRegions] = {}
    for name in names:
        files, path = storage.filesystem(name)
        with files.open(path, "rb") as handle:
            file = pq.ParquetFile(handle)
            missing = [column for column in TABLE_COLUMNS if column not in file.schema_arrow.names]
            if missing:
                raise ValueError(f"{posixpath.basename(name)} has no column {', '.join(missing)}")
            wanted = [*TABLE_COLUMNS, "kind", "score", "confirmed", "width", "height"]
            table = file.read([column for column in wanted if column in file.schema_arrow.names])
        for row in table.to_pylist():
            if row.get("confirmed") is False:
                continue
            size = (row["width"], row["height"]) if row.get("width") and row.get("height") else None
            region = GivenRegion(row["polygons"], _kind(row.get("kind") or "text"), float(row.get("score") or 1.0))
            found.setdefault(row["path"], PictureRegions([], size)).regions.append(region)
    return _by_path(found)


def _by_path(found: Mapping[str, PictureRegions]) -> Reader:
    """Look a picture up by its path, or else by its name alone, as most COCO files have it."""

    def read(path: str) -> PictureRegions:
        names = [*endings_of(path), posixpath.basename(path)]
        return next((found[name] for name in names if name in found), UNNAMED)

    return read


def _yolo(folder: str) -> Reader:
    """A reader of one text file for each picture, at its relative path with the ending `.txt`."""
    try:
        names = storage.read(storage.join(folder, "classes.txt")).decode().split("\n")
    except Failure:
        names = []

    def read(path: str) -> PictureRegions:
        try:
            text = _first_of(storage.join(folder, str(PurePosixPath(name).with_suffix(".txt"))) for name in endings_of(path))
            if text is None:
                return UNNAMED
            return PictureRegions([_yolo_line(line.split(), names) for line in text.splitlines() if line.strip()])
        except ValueError as error:
            raise Failure("regions_unfit", f"{path}: {first_line(error)}") from None

    return read


def _first_of(uris: Iterable[str]) -> str | None:
    """The text of the first file that exists; None if none does. Raises Failure and ValueError."""
    for uri in uris:
        try:
            return storage.read(uri).decode()
        except Failure as failure:
            if failure.code != "key_missing":
                raise
    return None


def _yolo_line(values: Sequence[str], names: Sequence[str]) -> GivenRegion:
    """A line: the class, then the middle and the sides of a box, or the corners of a polygon.

    A number behind a box is its score.
    """
    number, *rest = values
    shares = list(map(float, rest))
    kind = _kind(names[int(number)].strip() if int(number) < len(names) else "text")
    if len(shares) in (4, 5):
        x, y, width, height = shares[:4]
        left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        return GivenRegion([corners], kind, shares[4] if len(shares) == 5 else 1.0, are_shares=True)
    if len(shares) < 6 or len(shares) % 2:
        raise ValueError(f"{len(shares)} numbers are neither a box nor a polygon")
    return GivenRegion([[[x, y] for x, y in zip(shares[::2], shares[1::2], strict=True)]], kind, are_shares=True)


def _kind(name: str) -> str:
    return name if name in KINDS else "text"
