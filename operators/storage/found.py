"""One image of a listing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Found:
    """One image of a listing: its URI, its path under the source's root, its size in bytes (-1 unknown), its version."""

    uri: str
    path: str
    size: int
    etag: str
    own: Mapping[str, Any] = field(default_factory=dict)
    """The user's own columns of a manifest."""

    @property
    def image_id(self) -> str:
        """32 hexadecimal digits that change whenever the object does."""
        return hashlib.sha256(f"{self.uri}\0{self.etag}".encode()).hexdigest()[:32]
