"""`compose`: what does the image look like now?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from operators.masks.alpha import lift_fill
from operators.masks.geometry import Polygon
from operators.masks.mask import BLEND, pasted
from operators.masks.protection import beside
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits, decode, encode_with_notes
from operators.pictures.converted import check_target, converted_edit
from operators.pictures.picture import Edit, Edited
from operators.pictures.previews.sweep import POLICIES, REDRAW
from operators.pictures.provenance import Signing, Source, with_signature
from operators.pictures.read_back import check_written, recoding_note
from operators.rows.checks import failed_checks, last_checks, reasons_of
from operators.rows.failure import CODES, Failure, RunError
from operators.rows.fill_errors import split_errors
from operators.rows.records import JsonObject, TextCounts
from operators.rows.regions import ACCEPTED, ERASED, KEPT, REFUSED
from operators.rows.table import Additions, Region, Row, derive, map_rows
from operators.storage import files as store

LEAST_VISIBLE = 3
"""Grey levels by which a fill must differ from the picture somewhere to count as an edit."""
NO_VISIBLE_CHANGE = "no_visible_change"
"""The reason of a region whose fill looks like the picture that it would replace."""

NOT_FILLED = "not_filled"
"""The reason of a region that no rung tried to fill."""


@dataclass(frozen=True)
class Compose(Operator):
    """Paste the accepted fills into the image, encode it, give the verdict.

    It is encoded in the source's format, or in that of `to_format`.

    The `blend` channel of the mask weighs each fill; all other regions keep their original
    pixels, and so do texts that the user's rules keep. A second decoder reads the encoded bytes
    again; what differs from the edit is rolled back as `written_wrongly`. Only an `edited` or
    `partly_edited` image gets `encoded` bytes: every other image is delivered as the source's
    bytes, unless its failure forbids delivery.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = (
        "bytes",
        "source_sha256",
        "regions.polygons",
        "regions.kind",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.transparency",
        "regions.fill",
        "regions.checks",
        "regions.state",
        "regions.reason",
    )
    adds: ClassVar[tuple[str, ...]] = ("encoded", "notes", "verdict", "reasons", "texts", "regions.state", "regions.reason")
    limits: Limits = Limits()
    previews: str = REDRAW
    """What becomes of second pictures in an edited file, one of POLICIES."""
    signing: Signing | None = None
    """The key and the certificates that sign edited files; None for no signature."""
    to_format: str | None = None
    """The format of edited files, a key of TARGETS; None for that of each source."""

    def __post_init__(self) -> None:
        check_target(self.to_format)
        if self.previews not in POLICIES:
            raise RunError("option_invalid", f"--previews {self.previews}: choose from {', '.join(POLICIES)}")

    def check(self) -> None:
        """Raise RunError c2pa_unavailable or c2pa_invalid if files cannot be signed."""
        if self.signing is not None:
            self.signing.credentials(store.read)

    def settings(self) -> JsonObject:
        """The fields, without the place of the key."""
        return {**super().settings(), "signing": self.signing and self.signing.certificates}

    def apply(self, batch: pa.Table) -> pa.Table:
        """Compose the images of one batch."""
        composed = map_rows(batch, self.name, ("encoded", "notes", "regions.state"), self._compose)
        return derive(composed, self.name, self.adds[2:], _decide_verdict)

    def _compose(self, row: Row) -> Additions | None:
        edits: list[Edit] = []
        states: list[str] = []
        kept = [region for region in row.regions if region["state"] == KEPT and region["rule"]]
        for region in row.regions:
            edit = edit_of(region, [polygon for text in kept for polygon in text["polygons"]])
            states.append(ERASED if edit is not None else region["state"])
            edits += [] if edit is None else [edit]
        data = row.data("bytes")
        if not edits or data is None:
            return None
        picture = FRAME_CACHE.picture(row, self.limits)
        edited = picture.edited(edits)
        if not edited.changed.any():
            return None
        encoded, notes = self._encode(edited, bytes(data))
        return {"encoded": encoded, "notes": [*(row["notes"] or []), *notes], "regions.state": states}

    def edit_like(self, data: bytes, delivered: bytes) -> tuple[bytes, list[str]]:
        """A file with the edit of another one of the same pixels, and the notes on it.

        `data` is the file, and `delivered` the other one after its edit. Metadata and compression
        are those of `data`. Raises Failure: as `decode` does, mode_unsupported or written_wrongly.
        """
        try:
            edited = decode(data, self.limits).edited_like(decode(delivered, self.limits), delivered)
        except ValueError as error:
            raise Failure("mode_unsupported", str(error)) from error
        return self._encode(edited, data)

    def _encode(self, edited: Edited, data: bytes) -> tuple[bytes, list[str]]:
        """The file of an edited picture, whose source is `data`, and the notes on it.

        Raises Failure: mode_unsupported or written_wrongly.
        """
        base, conversion, source = data, list[str](), Source(edited.picture.format, data)
        try:
            if self.to_format is not None:
                edited, base, conversion = converted_edit(edited, base, self.to_format)
            encoded, notes = encode_with_notes(edited, base, self.previews)
            if self.signing is not None:
                credentials = self.signing.credentials(store.read)
                encoded, notes = with_signature(
                    edited.picture.format,
                    encoded,
                    source.or_converted(edited.picture.format, base),
                    notes,
                    credentials,
                    "c2pa.edited",
                )
        except (OSError, TypeError, ValueError) as error:
            raise Failure("mode_unsupported", f"cannot be encoded again: {error}") from error
        difference = check_written(encoded, edited, base)
        if difference is not None:
            raise Failure("written_wrongly", difference)
        recoded = recoding_note(encoded, edited, base, len(data))
        return encoded, [*conversion, *([] if recoded is None else [recoded]), *notes]


def edit_of(region: Region, kept: Sequence[Polygon] = ()) -> Edit | None:
    """The edit of an accepted region; None for any other, and for one without visible change.

    The polygons `kept` are those of texts that the user's rules keep. No edit of a text changes
    them, whatever the operators before have masked.
    """
    fill = region.fill() if region["state"] == ACCEPTED else None
    if fill is None:
        return None
    pixels, mask = region.array("pixels", 3), region.array("mask", 4)
    if kept and region["kind"] == "text":
        mask = mask.copy()
        mask[:, :, BLEND][beside(region["polygons"], kept, region.crop)] = 0
    blend = mask[:, :, BLEND]
    if np.abs(pasted(pixels, fill, blend).astype(np.int16) - pixels).max() < LEAST_VISIBLE:
        return None
    seen, alpha = region.transparency(), None
    if seen is not None:
        fill, alpha = lift_fill(pixels, fill, mask, seen)
        if np.array_equal(alpha, seen.alpha):
            alpha = None
    return Edit(region.crop.x, region.crop.y, fill, blend.astype(np.float32) / np.float32(255), alpha)


def _decide_verdict(row: Row) -> Additions:
    """The verdict on one row, the end of each of its regions, and the reasons for both.

    The reason for a failure is its code. The other reasons are those of the texts that were not
    erased, the doubts about those that were, and the errors of fills of both.
    """
    failure = row["failure"]
    regions = row.regions
    ends = [_end_of(region, failure["code"] if failure else None) for region in regions]
    counts = _count_texts([state for state, _ in ends])
    texts = {f"regions.{name}": [end[number] for end in ends] for number, name in enumerate(("state", "reason"))}
    if failure is not None:
        return {"verdict": CODES[failure["code"]].verdict, "reasons": [failure["code"]], "texts": counts, **texts}
    reasons = [line for region, end in zip(regions, ends, strict=True) for line in _reasons_for(region, *end)]
    return {"verdict": _verdict_of(counts), "reasons": reasons, "texts": counts, **texts}


def _verdict_of(counts: TextCounts) -> str:
    if counts["erased"]:
        return "partly_edited" if counts["refused"] else "edited"
    return "rolled_back" if counts["refused"] else "untouched"


def _end_of(region: Region, failure: str | None) -> tuple[str, str | None]:
    """The final state of a region, and the reason if it was not erased."""
    state, reason = region["state"], region["reason"]
    if state == ERASED and failure is None:
        return ERASED, None
    if state == KEPT:
        return KEPT, reason
    if failure is not None:
        return REFUSED, failure
    if state == ACCEPTED:
        return KEPT, NO_VISIBLE_CHANGE
    failed = failed_checks(region["checks"] or [])
    return REFUSED, reason or (failed[-1]["name"] if failed else NOT_FILLED)


def _reasons_for(region: Region, state: str, reason: str | None) -> list[str]:
    """The row's reasons for the end of one region; for an erased one they are its doubts.

    The errors of its fills come first, because they name what has to be mended.
    """
    checks = region["checks"] or []
    lines = [*split_errors(region["reason"]), *reasons_of(last_checks(checks) if state == ERASED else checks)]
    return lines if lines or reason is None else [reason]


def _count_texts(states: Sequence[str]) -> TextCounts:
    ends = Counter(states)
    return {"found": len(states), "erased": ends[ERASED], "kept": ends[KEPT], "refused": ends[REFUSED]}
