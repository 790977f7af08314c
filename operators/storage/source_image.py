"""A source image: a separate object, a cell of a Parquet file, or a member of an archive."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from operators.storage import archive_members, parquet_images
from operators.storage import files as storage


def is_inside(uri: str) -> bool:
    """Whether a URI addresses an image inside a Parquet file or an archive."""
    return parquet_images.is_cell(uri) or archive_members.is_member(uri)


def file_of(uri: str) -> str:
    """The file that holds an image: the Parquet file, the archive, or the image's own."""
    address = parquet_images.ADDRESS.fullmatch(uri) or archive_members.ADDRESS.fullmatch(uri)
    return address["file"] if address else uri


def read(uri: str, etag: str | None = None) -> bytes:
    """The image's bytes.

    `etag` is the version in the index; cached cells of another version are not used. Raises
    Failure as `storage.read` does, and as the reader of a Parquet file or an archive does.
    """
    if archive_members.is_member(uri):
        return archive_members.read(uri)
    return parquet_images.read(uri, etag) if parquet_images.is_cell(uri) else storage.read(uri)


def size(uri: str, etag: str | None = None) -> int:
    """The image's size in bytes; only a cell is read for it. Raises Failure as `read` does."""
    if archive_members.is_member(uri):
        return archive_members.size(uri)
    return len(parquet_images.read(uri, etag)) if parquet_images.is_cell(uri) else storage.size(uri)


def copy(uri: str, target: str) -> None:
    """Copy the image unchanged. Raises Failure as `read` and `storage.write` do."""
    if is_inside(uri):
        storage.write(target, read(uri))
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
    """The user's columns of a manifest, or those of an archive."""

    @property
    def image_id(self) -> str:
        """32 hexadecimal digits that change whenever the object does."""
        return hashlib.sha256(f"{self.uri}\0{self.etag}".encode()).hexdigest()[:32]
