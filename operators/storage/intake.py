"""Which images of a listing a run takes, and the paths under which it delivers them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from operators.rows.counted import counted
from operators.rows.failure import RunError
from operators.storage.source_image import SourceImage

PARTS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
"""What the wildcards of a pattern stand for, as regular expressions."""


@dataclass(frozen=True)
class Intake:
    """Patterns that choose images by their relative path, and a column that names outputs.

    A pattern without `/` is compared with the file's name, any other with the whole relative
    path. `*` and `?` stop at a `/`, `**` does not. Upper and lower case differ.
    """

    include: tuple[str, ...] = ()
    """Only images that match one of these are taken; empty for all."""
    exclude: tuple[str, ...] = ()
    """Images that match one of these are left out."""
    output_column: str | None = None
    """The column of a manifest that holds each image's relative path under DEST/images."""

    @cached_property
    def _wanted(self) -> list[tuple[bool, re.Pattern[str]]]:
        return [_compile(pattern) for pattern in self.include]

    @cached_property
    def _unwanted(self) -> list[tuple[bool, re.Pattern[str]]]:
        return [_compile(pattern) for pattern in self.exclude]

    def takes(self, path: str) -> bool:
        """Whether a run takes the image with this relative path."""
        return (not self.include or _matches(path, self._wanted)) and not _matches(path, self._unwanted)

    def of(self, images: Iterable[SourceImage]) -> Iterator[SourceImage]:
        """The chosen images of a listing, under the paths that they are delivered at.

        Raises RunError source_missing if none of the listed images is chosen, and manifest_invalid
        for an image without an output path, for a path that leaves DEST, and for one that occurs
        twice.
        """
        if self == Intake():
            yield from images
            return
        listed, taken, paths = 0, 0, set[str]()
        for image in images:
            listed += 1
            if self.takes(image.path):
                taken += 1
                yield image if self.output_column is None else self._renamed(image, paths)
        if listed and not taken:
            raise RunError("source_missing", f"none of {counted(listed, 'listed image')} is chosen by --include and --exclude")

    def _renamed(self, image: SourceImage, paths: set[str]) -> SourceImage:
        path = image.own.get(self.output_column or "")
        if not isinstance(path, str) or not path.strip("/"):
            raise RunError("manifest_invalid", f"{image.uri} has no path in the column {self.output_column!r} of a manifest")
        path = path.lstrip("/")
        if ".." in path.split("/") or path in paths:
            problem = "occurs twice" if path in paths else "leaves the destination"
            raise RunError("manifest_invalid", f"column {self.output_column!r}: {path} {problem}")
        paths.add(path)
        return replace(image, path=path)


def _compile(pattern: str) -> tuple[bool, re.Pattern[str]]:
    """Whether the pattern is for whole paths, and the pattern as a regular expression."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return "/" in pattern, re.compile("".join(PARTS.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


def _matches(path: str, patterns: list[tuple[bool, re.Pattern[str]]]) -> bool:
    name = path.rpartition("/")[2]
    return any(pattern.fullmatch(path if whole else name) for whole, pattern in patterns)
