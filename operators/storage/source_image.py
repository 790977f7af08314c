"""A source image, which is either a separate object or a cell of a Parquet file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from operators.storage import files as storage
from operators.storage import parquet_images


def read(uri: str, etag: str | None = None) -> bytes:
    """The image's bytes.

    `etag` is the version in the index; cached cells of another version are not used. Raises
    Failure as `storage.read` does, and corrupt if a Parquet file cannot be read.
    """
    return parquet_images.read(uri, etag) if parquet_images.is_cell(uri) else storage.read(uri)


def size(uri: str, etag: str | None = None) -> int:
    """The image's size in bytes; a separate object is not read. Raises Failure as `read` does."""
    return len(parquet_images.read(uri, etag)) if parquet_images.is_cell(uri) else storage.size(uri)


def copy(uri: str, target: str) -> None:
    """Copy the image unchanged. Raises Failure as `read` and `storage.write` do."""
    if parquet_images.is_cell(uri):
        storage.write(target, parquet_images.read(uri))
    else:
        storage.copy(uri, target)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of a listing."""

    uri: str
    path: str
    """The path under the root of the source."""
    size: int
    """The size in bytes, -1 if unknown."""
    etag: str
    """The version of the object."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """The user's columns of a manifest."""

    @property
    def image_id(self) -> str:
        """32 hexadecimal digits that change whenever the object does."""
        return hashlib.sha256(f"{self.uri}\0{self.etag}".encode()).hexdigest()[:32]
