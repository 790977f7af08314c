"""Work on one picture of a run again: its masks, its measurements, and what people have decided.

The flow of the run makes the same masks and fills again, so what nobody has decided about stays
as it was. The fills of what is to be redone are made after that, and the picture is composed anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from flows.ladder import BEST, Fills, Rung, ladder
from flows.reports.delivered import delivered_uri
from flows.review.rebuild import rebuild
from flows.review.thumbnails import encode_png
from operators.compose import Compose
from operators.generators.call_account import CallLimits
from operators.given_masks import regions_of_mask
from operators.inpaint import Inpaint
from operators.ledger import index
from operators.ledger.decisions import REDO, REJECT, REVIEWED, Decision, Plan, carried_out, masks_folder
from operators.masks.mask import CHANNELS
from operators.models.service import is_service
from operators.models.threads import one_thread
from operators.operator import Chain, Operator
from operators.pictures.converted import ending_of
from operators.pictures.provenance import Signing
from operators.rows.failure import Failure, RunError
from operators.rows.records import JsonObject, RegionRecord
from operators.rows.regions import ERASED, KEPT, OPEN, REFUSED
from operators.rows.schema import REGION, SCHEMA, complete_rows, ledger_rows
from operators.rows.table import Row, row_views, without_pixels
from operators.storage import files as storage
from operators.storage import source_image

REJECTED = "rejected_in_review"
"""The reason of a region or a picture that a person has rejected."""
BY_HAND = "mask_by_hand"
"""The reason of a region whose place is filled by a person's mask instead."""
HAND = "review"
"""The origin of a region that a person has drawn."""
DECIDED = "decided: "
REFILLED = "refilled_elsewhere"
"""The note of a picture of which this machine makes other bytes than the run has delivered."""
NEAR = 2.0
"""Pixels by which the corners of a region may differ between machines."""
KEPT_ROWS = 2


class Place(NamedTuple):
    """Where a file is delivered."""

    uri: str
    recorded: str
    """The same place as the ledger names it, which may be that of a DEST that was moved."""
    replaced: str | None
    """The file that was delivered under another name before."""


@dataclass(frozen=True)
class Outcome:
    """A picture to deliver: its file and its ledger row."""

    data: bytes
    uri: str
    row: pa.Table
    replaced: str | None
    """The file that was delivered under another name before."""


class Rework:
    """The flow of a run, to be applied to single pictures of it in this process."""

    def __init__(self, dest: str, signing: Signing | None = None) -> None:
        self.dest = dest
        self._signing = signing
        self._lock = threading.RLock()
        self._prepared: OrderedDict[str, pa.Table] = OrderedDict()

    @cached_property
    def _run(self) -> JsonObject:
        content: JsonObject = json.loads(storage.read(storage.join(self.dest, "run.json")))
        return content

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """The operators of the run. Raises RunError flow_unknown, and Failure.

        Of a model over HTTP they take the answers that the run has kept, and ask for none.
        """
        return tuple(
            replace(each, dest=self.dest, calls=CallLimits(most_calls=0)) if isinstance(each, Inpaint) else each
            for each in rebuild(self._run["settings"], self._signing)
        )

    @property
    def _compose(self) -> Compose:
        found = [operator for operator in self.operators if isinstance(operator, Compose)]
        if not found:
            raise RunError("flow_unknown", "the run fills no regions")
        return found[-1]

    def rungs(self, others: Sequence[str] = ()) -> list[str]:
        """The models to redo with: those of the run first, then others."""
        own = [setting["rung"] for setting in self._run["settings"] if setting["operator"].startswith("inpaint")]
        return list(dict.fromkeys([*own, *others]))

    def refusal(self, decision: Decision) -> str | None:
        """Why a decision could not be carried out; None if it can."""
        if decision.region is None and decision.action != REDO:
            return None
        try:
            self._compose  # noqa: B018
            if decision.action == REDO:
                self._ladder(decision)
        except RunError as error:
            return f"{error.message}; only a whole picture can be accepted or rejected"
        return None

    def prepared(self, row: Mapping[str, Any]) -> pa.Table:
        """The row of a picture as it was before it was composed, with masks and fills.

        Raises Failure with the code that the flow gave the picture, and RunError flow_unknown or
        source_changed.
        """
        with self._lock, one_thread():
            if row["image_id"] in self._prepared:
                return self._prepared[row["image_id"]]
            rows = index.read_shard(self.dest, row["shard"])
            start = complete_rows(rows.filter(pc.equal(rows["image_id"], row["image_id"])))
            chain = Chain(self.operators[: self.operators.index(self._compose)])
            chain.open()
            done = chain.apply(start)
            (view,) = row_views(done)
            if view["failure"] is not None:
                raise Failure(view["failure"]["code"], view["failure"]["message"])
            if row["source_sha256"] is not None and view["source_sha256"] != row["source_sha256"]:
                raise RunError("source_changed", "the source is another file than in the run")
            self._prepared[row["image_id"]] = done
            while len(self._prepared) > KEPT_ROWS:
                self._prepared.popitem(last=False)
            return done

    def channel(self, row: Mapping[str, Any], name: str, region: int | None = None) -> bytes:
        """A channel of the masks of a picture, or of one region, as a grey PNG of its upright size.

        Raises Failure and RunError as `prepared` does, and KeyError for an unknown channel.
        """
        number = CHANNELS.index(name) if name in CHANNELS else None
        if number is None:
            raise KeyError(name)
        with self._lock:
            (view,) = row_views(self.prepared(row))
            canvas = np.zeros((view["height"], view["width"]), np.uint8)
            for position, each in enumerate(view.regions):
                if each["mask"] is not None and region in (None, position):
                    place = canvas[each.crop.y : each.crop.y + each.crop.height, each.crop.x : each.crop.x + each.crop.width]
                    np.maximum(place, each.array("mask", 4)[:, :, number], out=place)
        return encode_png(Image.fromarray(canvas))

    def carry_out(self, ledger_row: pa.Table, plan: Plan) -> Outcome:
        """Make what people have decided of a picture, which is given by its row of the ledger.

        A rejected picture needs no flow: it is the source's bytes. Raises Failure, and RunError
        flow_unknown, source_changed or regions_changed.
        """
        if plan.whole is not None and plan.whole.action == REJECT and not plan.regions:
            return self._original(ledger_row, plan)
        with self._lock, one_thread():
            return self._composed(ledger_row.to_pylist()[0], plan)

    def _original(self, ledger_row: pa.Table, plan: Plan) -> Outcome:
        (row,) = ledger_row.to_pylist()
        data = source_image.read(row["uri"])
        sha256 = hashlib.sha256(data).hexdigest()
        if row["source_sha256"] is not None and sha256 != row["source_sha256"]:
            raise RunError("source_changed", "the source is another file than in the run")
        regions = [
            {**each, "state": REFUSED, "reason": REJECTED} if each["state"] == ERASED else each
            for each in row["regions"] or []
            if each["origin"] != HAND
        ]
        states = [each["state"] for each in regions]
        texts = {"found": len(states), "erased": 0, "kept": states.count(KEPT), "refused": states.count(REFUSED)}
        place = self._place(row, data, data)
        changed = {
            "verdict": "rolled_back",
            "reasons": [REJECTED],
            "notes": _notes([], plan),
            "regions": None if row["regions"] is None else regions,
            "texts": None if row["texts"] is None else texts,
            "output_uri": place.recorded,
            "output_sha256": sha256,
        }
        return Outcome(data, place.uri, _with_values(ledger_row, changed), place.replaced)

    def _place(self, row: Mapping[str, Any], data: bytes, source: bytes) -> Place:
        """Where a file is delivered instead of the one that the row names."""
        before = delivered_uri(row, self.dest)
        uri = storage.join(self.dest, "images", row["path"] + ending_of(data, source))
        return Place(uri, row["output_uri"], None) if uri == before else Place(uri, uri, before)

    def _composed(self, row: Mapping[str, Any], plan: Plan) -> Outcome:
        table = self.prepared(row)
        (view,) = row_views(table)
        records = [region.record() for region in view.regions]
        # A signature has a time in it, and a picture that was changed here before is not the run's.
        comparable = self._compose.signing is None and not carried_out(row["notes"])
        same = comparable and _sha256(self._compose.apply(table), view) == row["output_sha256"]
        if not same:
            _check_regions(records, [each for each in row["regions"] or [] if each["origin"] != HAND])
        for decision in dict.fromkeys(each for each in plan.decisions if each.action == REDO):
            places = [number for number in range(len(view.regions)) if plan.of(number) == decision]
            table = _with_regions(table, records)
            records = self._redone(table, records, places, decision)
        for number, record in enumerate(records[: len(view.regions)]):
            decided = plan.of(number)
            if decided is not None and decided.action == REJECT and record["state"] != KEPT:
                records[number] = {**record, "state": OPEN, "reason": REJECTED, "fill": None}
        composed = self._compose.apply(_with_regions(table, records))
        (after,) = row_views(composed)
        if after["failure"] is not None:
            raise Failure(after["failure"]["code"], after["failure"]["message"])
        encoded = after.data("encoded")
        source = bytes(after.data("bytes") or b"")
        data = source if encoded is None else bytes(encoded)
        notes = _notes([*(after["notes"] or []), *([REFILLED] if comparable and not same else [])], plan)
        place = self._place(row, data, source)
        changed = {"notes": notes, "output_uri": place.recorded, "output_sha256": hashlib.sha256(data).hexdigest()}
        return Outcome(data, place.uri, _with_values(ledger_rows(without_pixels(composed)), changed), place.replaced)

    def _ladder(self, decision: Decision) -> list[Operator]:
        own = next((each for each in self.operators if isinstance(each, Inpaint)), None)
        rung = decision.rung or (own.rung if own is not None else "")
        if not rung:
            raise RunError("flow_unknown", "the run has no rung to redo with: name one")
        seed = decision.seed if decision.seed is not None else int(self._run["seed"])
        if is_service(rung) and rung not in self.rungs():
            raise RunError("option_invalid", "a review asks no model over HTTP that the run has not asked")
        fills = Fills((Rung(rung),), seed, own.prompt if own is not None else "", None, BEST)
        return [replace(each, dest=self.dest) if isinstance(each, Inpaint) else each for each in ladder(fills)]

    def _redone(
        self, table: pa.Table, records: Sequence[RegionRecord], places: Sequence[int], decision: Decision
    ) -> list[RegionRecord]:
        """The regions of a picture after one decision to redo some of them."""
        work: list[RegionRecord] = [{**record, "state": KEPT} for record in records]
        drawn: list[RegionRecord] = []
        if decision.mask:
            mask = np.asarray(
                Image.open(io.BytesIO(storage.read(storage.join(masks_folder(self.dest), decision.mask)))).convert("L")
            )
            drawn = regions_of_mask(mask, HAND)
        else:
            for number in places:
                if decision.region is None and records[number]["state"] == KEPT:
                    continue
                work[number] = cast(RegionRecord, {**records[number], **_EMPTY, "state": OPEN, "reason": None})
        before = self.operators[: self.operators.index(self._compose)]
        making = {each.name: each for each in before if each.name in ("soften", "describe")}
        chain = Chain((*making.values(), *self._ladder(decision)))
        chain.open()
        (view,) = row_views(chain.apply(_with_regions(table, [*work, *drawn])))
        if view["failure"] is not None:
            raise Failure(view["failure"]["code"], view["failure"]["message"])
        filled = [region.record() for region in view.regions]
        result = list(records)
        for number in places:
            if decision.mask and records[number]["state"] != KEPT:
                result[number] = {**records[number], "state": KEPT, "reason": BY_HAND}
            elif work[number]["state"] == OPEN:
                result[number] = filled[number]
        return [*result, *filled[len(work) :]]


_EMPTY: Mapping[str, Any] = {
    "fill": None, "rung": None, "seed": None, "passes": 0, "prompt": None, "prompt_sha256": None,
    "repeatable": None, "enhanced": None, "checks": [], "best": None,
}  # fmt: skip
"""What a region has before its first fill."""


def _with_values(row: pa.Table, values: Mapping[str, Any]) -> pa.Table:
    """A table of one row with other values in some columns."""
    for name, value in values.items():
        place = row.schema.get_field_index(name)
        row = row.set_column(place, name, pa.array([value], row.schema.field(name).type))
    return row


def _with_regions(table: pa.Table, records: Sequence[RegionRecord]) -> pa.Table:
    kind = SCHEMA.field("regions").type
    plain = [{field.name: record.get(field.name) for field in REGION} for record in records]
    return table.set_column(table.schema.get_field_index("regions"), "regions", pa.array([plain], kind))


def _sha256(composed: pa.Table, source: Row) -> str:
    (after,) = row_views(composed)
    encoded = after.data("encoded")
    return hashlib.sha256(encoded if encoded is not None else source.data("bytes") or b"").hexdigest()


def _check_regions(now: Sequence[RegionRecord], then: Sequence[JsonObject]) -> None:
    """Raise RunError regions_changed unless the same regions are found as in the run."""
    here, there = ([_corners(record) for record in records] for records in (now, then))
    alike = [a.shape == b.shape and np.abs(a - b).max(initial=0) <= NEAR for a, b in zip(here, there, strict=False)]
    if len(here) != len(there) or not all(alike):
        raise RunError("regions_changed", f"{len(here)} regions are found here, not the {len(there)} of the run")


def _corners(record: Mapping[str, Any]) -> Any:
    return np.array([corner for polygon in record["polygons"] for corner in polygon], np.float64).reshape(-1, 2)


def _notes(others: Sequence[str], plan: Plan) -> list[str]:
    """The notes of a row on which a plan was carried out, with who decided what, and why."""
    own = [f"{DECIDED}{_in_words(each)}" for each in plan.decisions]
    return [*others, *own, f"{REVIEWED}{plan.key}"]


def _in_words(decision: Decision) -> str:
    what = decision.action if decision.region is None else f"{decision.action} region {decision.region}"
    how = [f"by {decision.rung}" if decision.rung else "", f"seed {decision.seed}" if decision.seed is not None else ""]
    how.append(f"mask {decision.mask}" if decision.mask else "")
    words = " ".join([what, *filter(None, how)])
    return f"{words}, {decision.who}" + (f": {decision.why}" if decision.why else "")
