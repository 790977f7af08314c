"""`write`: where is it now?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from operators.ledger import ledger
from operators.operator import Operator
from operators.pictures.converted import ending_of
from operators.rows.failure import CODES, Failure
from operators.rows.regions import ERASED, REFUSED
from operators.rows.schema import ledger_rows
from operators.rows.table import Additions, Row, derive, map_rows, row_views, without_pixels
from operators.rows.timing import timed
from operators.storage import files as store
from operators.storage import source_image
from operators.storage.s3_copy import copy_on_server

OUTCOME = ("verdict", "reasons", "notes", "texts", "regions.state", "regions.reason")
"""The columns that say what became of an image."""


@dataclass(frozen=True)
class Write(Operator):
    """Store every delivered image under DEST/images, then commit the batch's ledger rows.

    This order makes a crash harmless: an image without a ledger row is made again, with the same
    bytes, under the same key. If an image was not edited and its source is in the same store, the
    store copies it by itself. An image with a failure is delivered as its source, even if an edit
    was encoded before it failed, unless the code forbids delivery. A converted file has the ending
    of its format after its source's name; if that is the name of another source, the source is
    delivered. Rows leave this operator without pixels.
    """

    reads: ClassVar[tuple[str, ...]] = ("image_id", "uri", "etag", "path", "shard", "bytes", "encoded", "verdict")
    adds: ClassVar[tuple[str, ...]] = ("output_uri", "output_sha256", *OUTCOME)
    storage: ClassVar[bool] = True
    ends: ClassVar[bool] = True
    dest: str = ""
    """The run's destination: a path or an fsspec URL."""
    threads: int = 8
    """Images of one batch that are stored at the same time."""

    def address(self, path: str) -> str:
        """Where the image of a path is delivered, but for the ending that a conversion adds."""
        return store.join(self.dest, "images", path)

    def apply(self, batch: pa.Table) -> pa.Table:
        """Deliver one batch.

        Raises Failure if the ledger rows cannot be committed, because the batch would then be
        delivered without a record.
        """
        if any(_added_ending(row) for row in row_views(batch)):
            batch = map_rows(batch, self.name, (), _check_name, threads=self.threads)
        stored = map_rows(batch, self.name, self.adds, self._store, threads=self.threads, failed_too=True)
        delivered = without_pixels(derive(stored, self.name, OUTCOME, _correct_outcome))
        ledger.commit(self.dest, ledger_rows(delivered))
        return delivered

    def _store(self, row: Row) -> Additions | None:
        failure = row["failure"]
        if failure is not None and not CODES[failure["code"]].delivered:
            return None
        edited, original = row.data("encoded") if failure is None else None, row.data("bytes")
        uri = self.address(row["path"]) + (_added_ending(row) if failure is None else "")
        with timed("io"):
            if edited is not None:
                store.write(uri, edited)
                return {"output_uri": uri, "output_sha256": hashlib.sha256(edited).hexdigest()}
            if original is None:
                source_image.copy(row["uri"], uri)
                return {"output_uri": uri}
            if source_image.is_inside(row["uri"]) or not copy_on_server(row["uri"], row["etag"], original, uri):
                store.write(uri, original)
        return {"output_uri": uri, "output_sha256": hashlib.sha256(original).hexdigest()}


def _added_ending(row: Row) -> str:
    """What is added to the name of a file that was converted; empty for any other."""
    edited = row.data("encoded")
    return "" if edited is None else ending_of(edited, row.data("bytes") or b"")


def _check_name(row: Row) -> None:
    """Raise Failure as `check_ending` does."""
    with timed("io"):
        check_ending(row["uri"], _added_ending(row))


def check_ending(uri: str, ending: str) -> None:
    """Raise Failure name_taken if the name of a converted file is that of another source.

    `ending` is added to the name of the source; empty for a file that was not converted. A file may
    be there that cannot be looked at; then the run does not list it either.
    """
    if not ending or source_image.is_inside(uri):
        return
    try:
        taken = store.exists(uri + ending)
    except Failure as failure:
        if failure.code != "access_denied":
            raise
        taken = False
    if taken:
        raise Failure("name_taken", f"SOURCE has a file of the name of the converted one, which ends in {ending} too")


def _correct_outcome(row: Row) -> Additions | None:
    """The outcome that follows from the row's failure; None without a failure.

    An image that could not be stored is `failed`, whatever verdict it had before. Of an image
    that failed after it was composed, no text is erased.
    """
    failure = row["failure"]
    if failure is None:
        return None
    code, states, texts = failure["code"], [region["state"] for region in row.regions], row["texts"]
    outcome: Additions = {"verdict": CODES[code].verdict, "reasons": [code], "notes": None}
    if ERASED not in states:
        return outcome
    ends = [(REFUSED, code) if region["state"] == ERASED else (region["state"], region["reason"]) for region in row.regions]
    if texts is not None:
        texts = {**texts, "erased": 0, "refused": texts["refused"] + states.count(ERASED)}
    return {
        **outcome,
        "texts": texts,
        "regions.state": [state for state, _ in ends],
        "regions.reason": [reason for _, reason in ends],
    }
