"""The note in the ledger of a picture that is too small for a zone of the user's rules."""

from __future__ import annotations

from collections.abc import Sequence

ZONE_OUTSIDE = "zone_outside"
"""The name of the note, before a colon and the zone."""


def outside_notes(zones: Sequence[str]) -> list[str]:
    """The notes of these zones."""
    return [f"{ZONE_OUTSIDE}: {zone}" for zone in zones]


def has_zone_outside(notes: Sequence[str] | None) -> bool:
    """Whether one of a picture's notes is about a zone outside of it."""
    return any(note.partition(":")[0] == ZONE_OUTSIDE for note in notes or ())
