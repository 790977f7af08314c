"""The desk at which people review a run: what they see, who holds what, and what they decide."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from flows.ladder import PRESETS
from flows.reports.proven import Sample, agreement, statement_in_words
from flows.reports.run_report import note_review
from flows.review.leases import Leases
from flows.review.pictures import Filter, Numbers, Pictures, regions_of
from flows.review.rework import HAND, Rework
from flows.review.thumbnails import Thumbnails
from operators.ledger.decisions import (
    REDONE,
    STATUSES,
    UNDECIDED,
    Decision,
    DecisionLog,
    Standing,
    applied_uri,
    masks_folder,
    read_decisions,
    standings,
)
from operators.rows.records import JsonObject
from operators.storage import files as storage

LOOK_SECONDS = 2.0
"""How often at most the desk looks whether decisions were carried out."""
MOST_MASK_PIXELS = 100_000_000
OPEN_STATUSES = (UNDECIDED, REDONE)
"""The pictures that still need somebody."""


class Refused(Exception):
    """A request that cannot be met: an HTTP status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Query:
    """What a page wants to see: a filter, the status, and whether only the sample."""

    wanted: Filter = Filter()
    status: str = ""
    """One of STATUSES, or `open` for what still needs somebody; empty for all."""
    sampled: bool = False


class Desk:
    """One run under review; safe to use from threads."""

    def __init__(self, dest: str, sample: Sample | None, pictures: Pictures, leases: Leases | None = None) -> None:
        self.dest = dest
        self.pictures = pictures
        self.sample = sample
        self.leases = leases or Leases()
        self.thumbnails = Thumbnails(dest)
        self.rework = Rework(dest)
        self._log = DecisionLog(dest)
        self._lock = threading.Lock()
        self._standings = standings(read_decisions(dest))
        self._applied, self._looked = _applied(dest), time.monotonic()
        self._show(pictures)

    def _show(self, pictures: Pictures) -> None:
        self._status = np.zeros(len(pictures), np.int8)
        for image_id, held in self._standings.items():
            if (number := pictures.number_of.get(image_id)) is not None:
                self._status[number] = STATUSES.index(held.status(pictures.carried_out[number]))
        self.pictures = pictures
        self._drawn = self._numbers_of_sample()

    def _follow(self) -> None:
        """Read the ledger again if `apply` has changed it meanwhile."""
        with self._lock:
            if time.monotonic() - self._looked < LOOK_SECONDS:
                return
            self._looked = time.monotonic()
        applied = _applied(self.dest)
        if applied != self._applied:
            pictures = Pictures(self.dest)
            with self._lock:
                self._applied = applied
                self._show(pictures)

    def _numbers_of_sample(self) -> Numbers:
        pictures = self.sample.pictures if self.sample else ()
        numbers = (self.pictures.number_of.get(picture.image_id) for picture in pictures)
        return np.array(list(dict.fromkeys(number for number in numbers if number is not None)), np.int64)

    def run(self) -> JsonObject:
        """What the page needs once: the filters, the rungs to redo with, and the standing."""
        return {
            "dest": self.dest,
            "pictures": len(self.pictures),
            "facets": self.pictures.facets,
            "rungs": self.rework.rungs(list(dict.fromkeys(rung.model for rungs in PRESETS.values() for rung in rungs))),
            "statuses": STATUSES,
            **self.standing(),
        }

    def standing(self) -> JsonObject:
        """How many pictures have each status, and what is proven."""
        with self._lock:
            counts = Counter({STATUSES[code]: int(count) for code, count in enumerate(np.bincount(self._status, minlength=5))})
            held = dict(self._standings)
        statement = self.sample.statement(held) if self.sample else None
        return {
            "status": counts,
            "sample": statement
            and {
                "draws": statement.draws,
                "decided": statement.decided,
                "bad": statement.bad,
                "at_most": statement.at_most,
                "whatever_comes": statement.whatever_comes,
                "may_stop": statement.may_stop,
                "words": statement_in_words(statement),
            },
            "agreement": agreement(held.values()).lines(),
        }

    def find(self, query: Query) -> Numbers:
        """The pictures of a query, the most doubtful first; those of the sample as drawn."""
        chosen = self.pictures.chosen(query.wanted)
        with self._lock:
            if query.status == "open":
                chosen &= np.isin(self._status, [STATUSES.index(status) for status in OPEN_STATUSES])
            elif query.status:
                if query.status not in STATUSES:
                    raise Refused(400, f"status {query.status!r}: choose from {', '.join(STATUSES)}")
                chosen &= self._status == STATUSES.index(query.status)
        order = self._drawn if query.sampled else self.pictures.by_doubt
        return order[chosen[order]]

    def page(self, query: Query, start: int, count: int, seat: str) -> JsonObject:
        """Some pictures of a query, with how many there are."""
        self._follow()
        found = self.find(query)
        held = self.leases.held_by_others(seat)
        return {"total": len(found), "pictures": [self._card(int(number), held) for number in found[start : start + count]]}

    def _card(self, number: int, held: Mapping[str, str]) -> JsonObject:
        pictures = self.pictures
        return {
            "id": pictures.ids[number],
            "path": pictures.paths[number],
            "verdict": pictures.verdict_of(number),
            "doubt": round(float(pictures.doubt[number]), 3),
            "status": STATUSES[self._status[number]],
            "version": pictures.versions[number],
            "held_by": held.get(pictures.ids[number], ""),
        }

    def number(self, image_id: str) -> int:
        """The number of a picture. Raises Refused."""
        if image_id not in self.pictures.number_of:
            raise Refused(404, "there is no such picture in this run")
        return self.pictures.number_of[image_id]

    def files(self, image_id: str) -> JsonObject:
        """Where the files of a picture are. Raises Refused."""
        return self.pictures.files(self.number(image_id))

    def row(self, image_id: str) -> JsonObject:
        """The ledger's row of a picture. Raises Refused, and Failure."""
        return self.pictures.row(self.number(image_id))

    def picture(self, image_id: str, seat: str) -> JsonObject:
        """All that the page shows of one picture. Raises Refused, and Failure."""
        number, row = self.number(image_id), self.row(image_id)
        with self._lock:
            held = self._standings.get(image_id, Standing())
        decisions = {decision.region: decision for decision in held.plan.decisions}
        if held.last is not None:
            decisions.setdefault(held.last.region, held.last)
        return {
            **self._card(number, self.leases.held_by_others(seat)),
            "width": row["width"],
            "height": row["height"],
            "reasons": row["reasons"] or [],
            "notes": row["notes"] or [],
            "failure": row["failure"],
            "bucket": self.pictures.bucket_of(number),
            "decisions": [_shown(decision) for decision in decisions.values()],
            "regions": [_region(each, position) for position, each in enumerate(regions_of(row))],
        }

    def hold(self, image_id: str, seat: str, who: str) -> None:
        """Hold a picture for a seat, or hold it longer. Raises Refused."""
        self.number(image_id)
        other = self.leases.take(image_id, seat, who)
        if other is not None:
            raise Refused(409, f"{other.who} is looking at this picture")

    def next(self, query: Query, after: str, seat: str, who: str) -> str | None:
        """Hand out the first picture of a query that needs somebody and that nobody else holds.

        `after` is the picture that the seat has just looked at; the search begins behind it.
        """
        with self._lock:
            open_ones = np.isin(self._status, [STATUSES.index(status) for status in OPEN_STATUSES])
        found = self.find(Query(query.wanted, "", query.sampled))
        start = np.flatnonzero(found == self.pictures.number_of.get(after, -1))
        ordered = np.roll(found, -int(start[0]) - 1) if len(start) else found
        for number in ordered[open_ones[ordered]]:
            image_id = self.pictures.ids[int(number)]
            if image_id != after and self.leases.take(image_id, seat, who) is None:
                return image_id
        return None

    def decide(self, content: Mapping[str, Any], seat: str, who: str) -> JsonObject:
        """Store a decision durably, and return how the run stands then.

        `content` has `picture` and `action`, and may have `region`, `why`, `rung`, `seed`, `mask`
        (a PNG in base64: what is white, or opaque if it has alpha, is filled) and `decision_id`,
        with which a request can be repeated.
        Raises Refused, and Failure if the decision could not be stored.
        """
        image_id, region = content.get("picture"), content.get("region")
        if not isinstance(image_id, str):
            raise Refused(400, "picture is missing")
        number, row = self.number(image_id), self.row(image_id)
        self.hold(image_id, seat, who)
        own = [each for each in regions_of(row) if each["origin"] != HAND]
        if region is not None and not (type(region) is int and 0 <= region < len(own)):
            raise Refused(400, f"region {region!r}: the run has found {len(own)} in this picture")
        mask = self._store_mask(content["mask"], row) if content.get("mask") else ""
        with self._lock:
            last = self._standings.get(image_id, Standing()).last
            optional = {name: content[name] for name in ("why", "rung", "seed", "decision_id") if content.get(name) is not None}
            try:
                decision = Decision(
                    image_id,
                    self.pictures.paths[number],
                    str(content.get("action")),
                    who,
                    region=region,
                    mask=mask,
                    delivered=self.pictures.carried_out[number],
                    verdict=last.verdict if last else row["verdict"],
                    doubt=last.doubt if last else float(self.pictures.doubt[number]),
                    **optional,
                )
            except ValueError as error:
                raise Refused(400, str(error)) from None
            if reason := self.rework.refusal(decision):
                raise Refused(400, reason)
            decision = self._log.append(decision)
            held = self._standings.get(image_id, Standing()).after(decision)
            self._standings[image_id] = held
            self._status[number] = STATUSES.index(held.status(self.pictures.carried_out[number]))
        return {"decision": _shown(decision), "picture": self._card(number, {}), **self.standing()}

    def _store_mask(self, encoded: Any, row: JsonObject) -> str:
        """Store a mask of the upright picture's size as PNG, and return its name."""
        try:
            data = base64.b64decode(encoded, validate=True)
            drawn = Image.open(io.BytesIO(data), formats=["PNG"])
            if drawn.width * drawn.height > MOST_MASK_PIXELS:
                raise Refused(413, "the mask has too many pixels")
            # A brush paints opaque pixels; a mask without alpha is white where it is filled.
            mask = drawn.getchannel("A") if "A" in drawn.getbands() else drawn.convert("L")
        except (binascii.Error, OSError, TypeError, ValueError) as error:
            raise Refused(400, f"the mask is no PNG: {error}") from None
        size = (row["width"], row["height"])
        painted = np.asarray(mask) >= 128
        if not painted.any():
            raise Refused(400, "the mask is empty")
        picture = Image.fromarray((painted * 255).astype(np.uint8))
        picture = picture if picture.size == size else picture.resize(size, Image.Resampling.NEAREST)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        name = f"{row['image_id']}-{hashlib.sha256(buffer.getvalue()).hexdigest()[:16]}.png"
        storage.write(storage.join(masks_folder(self.dest), name), buffer.getvalue())
        return name

    def note_in_report(self) -> None:
        """Put what is proven into the report of the run. Raises Failure."""
        standing = self.standing()
        note_review(self.dest, [*((standing["sample"] or {}).get("words", [])), *standing["agreement"]])


def _applied(dest: str) -> bytes:
    """What `apply` leaves when it has changed the run."""
    uri = applied_uri(dest)
    return storage.read(uri) if storage.exists(uri) else b""


def _shown(decision: Decision) -> JsonObject:
    names = ("region", "action", "who", "when", "why", "rung", "seed", "mask")
    return {name: getattr(decision, name) for name in names}


def _region(region: JsonObject, position: int) -> JsonObject:
    checks = [{**each, "value": _plain(each["value"]), "limit": _plain(each["limit"])} for each in region["checks"] or []]
    names = ("polygons", "origin", "score", "kind", "text", "state", "reason", "rung", "rule", "crop")
    return {"number": position, **{name: region[name] for name in names}, "seed": str(region["seed"]), "checks": checks[-12:]}


def _plain(value: float | None) -> float | None:
    """A figure as JSON can hold it."""
    return None if value is None or not np.isfinite(value) else round(value, 4)
