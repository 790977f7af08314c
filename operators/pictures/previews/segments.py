"""The application and comment segments of a JPEG, with the kind of each by its row in PLACES."""

from __future__ import annotations

from dataclasses import dataclass

from operators.pictures.formats.jpeg_markers import APPLICATION_OR_COMMENT, segments
from operators.pictures.previews.table import rows_of


@dataclass(frozen=True)
class Segment:
    """One application or comment segment of a JPEG."""

    marker: int
    content: bytes
    header: bytes = b""
    """The first bytes of the content that name its kind; empty if it has no row in PLACES."""
    kind: str = ""
    """The way in which its content is read; empty if it has no row in PLACES."""

    @property
    def rest(self) -> bytes:
        """The content after the header."""
        return self.content[len(self.header) :]


def segments_of(data: bytes) -> list[Segment]:
    """The application and comment segments of a JPEG, in order."""
    rows = rows_of("JPEG")
    result = []
    for marker, offset in segments(data):
        if marker not in APPLICATION_OR_COMMENT:
            continue
        content = data[offset + 4 : offset + 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")]
        header, kind = b"", ""
        for key, row in rows.items():
            if isinstance(key, tuple) and key[0] == marker and isinstance(key[1], bytes) and content.startswith(key[1]):
                header, kind = key[1], row
        result.append(Segment(marker, content, header, kind))
    return result


def with_segments(data: bytes, new: list[Segment]) -> bytes:
    """A JPEG with these application and comment segments, before all others."""
    parts, position = [], 2
    for marker, offset in segments(data):
        if marker in APPLICATION_OR_COMMENT:
            parts.append(data[position:offset])
            position = offset + 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
    head = [
        b"\xff" + bytes([segment.marker]) + (len(segment.content) + 2).to_bytes(2, "big") + segment.content for segment in new
    ]
    return data[:2] + b"".join(head) + b"".join(parts) + data[position:]
