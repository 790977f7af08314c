"""The pictures of a run as columns, to be filtered and sorted at once; rows are read on demand.

100,000 rows take about 20 MB here, because checks, polygons and reasons are reduced to figures and
sets when they are read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.ledger import ledger
from operators.ledger.decisions import carried_out
from operators.rows.failure import RunError
from operators.rows.records import JsonObject
from operators.rows.regions import ERASED, REFUSED
from operators.rows.table import as_array

EDITED = ("edited", "partly_edited")
"""The verdicts on pictures of which something was edited."""
SETS = ("reason", "rung", "kind")
"""The filters of which a picture may have several values."""
MOST_DOUBT = 2.0
"""The doubt of a fill that uses twice its limit or more."""
FILE_COLUMNS = ("image_id", "path", "uri", "source_sha256", "output_uri", "output_sha256")
"""What it takes to read the files of a picture."""
SHARDS_KEPT = 4
"""Shards of which the rows stay in memory."""
BUCKET = "bucket"
"""The user's column that says which bucket a picture belongs to."""
Numbers = npt.NDArray[np.int64]
Figures = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """For each picture a set of names: `codes[starts[n]:starts[n + 1]]` are those of picture n."""

    names: tuple[str, ...]
    codes: Numbers
    starts: Numbers

    def having(self, name: str) -> Chosen:
        """Which pictures have a name."""
        found = np.zeros(len(self.starts) - 1, bool)
        if name in self.names:
            owners = np.repeat(np.arange(len(found)), np.diff(self.starts))
            found[owners[self.codes == self.names.index(name)]] = True
        return found

    def counts(self) -> dict[str, int]:
        """How many pictures have each name, the most frequent first."""
        owners = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        pairs = np.unique(np.stack([self.codes, owners]), axis=1)[0] if len(owners) else np.zeros(0, np.int64)
        numbers = np.bincount(pairs, minlength=len(self.names)).tolist()
        return dict(sorted(zip(self.names, numbers, strict=True), key=lambda entry: (-entry[1], entry[0])))


@dataclass(frozen=True)
class Filter:
    """Which pictures to show; a field that is empty or None chooses nothing."""

    verdict: str = ""
    reason: str = ""
    rung: str = ""
    kind: str = ""
    bucket: str = ""
    path: str = ""
    """A part of the path, in upper or lower case."""
    least_score: float | None = None
    most_score: float | None = None
    """Bounds of the lowest score of a picture's regions."""


class Pictures:
    """The pictures of a run in the order of the ledger; a picture is known by its number."""

    def __init__(self, dest: str) -> None:
        """Read the ledger of a destination. Raises RunError run_missing, and Failure."""
        self._dest = dest
        self._files = ledger.files_by_shard(dest)
        self._rows: OrderedDict[int, pa.Table] = OrderedDict()
        self._lock = threading.Lock()
        parts = [_columns(ledger.read_shard(dest, shard, self._files[shard]), shard) for shard in sorted(self._files)]
        if not parts or not any(len(part["image_id"]) for part in parts):
            raise RunError("run_missing", f"{dest} holds no run with images")
        joined = {name: pa.concat_arrays([as_array(part[name]) for part in parts]) for name in parts[0]}
        self.ids: list[str] = joined["image_id"].to_pylist()
        self.paths: list[str] = joined["path"].to_pylist()
        self.number_of = {image_id: number for number, image_id in enumerate(self.ids)}
        self.carried_out: list[str] = joined["carried_out"].to_pylist()
        self.versions: list[str] = joined["version"].to_pylist()
        self._files_of = pa.table({name: joined[name] for name in FILE_COLUMNS})
        self._lower_paths = pc.utf8_lower(joined["path"])
        self.verdicts = _labels(joined["verdict"], None)
        self.buckets = _labels(joined["bucket"], None)
        self.sets: dict[str, Labels] = {name: _labels(joined[name].flatten(), _starts(joined[name])) for name in SETS}
        self.doubt: Figures = joined["doubt"].to_numpy()
        self.score: Figures = joined["score"].to_numpy()
        self._shard: Numbers = joined["shard"].to_numpy()
        self._position: Numbers = joined["position"].to_numpy()
        self.by_doubt: Numbers = np.argsort(-self.doubt, kind="stable")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def edited(self) -> Chosen:
        """Which pictures were edited."""
        return self.verdicts.having(EDITED[0]) | self.verdicts.having(EDITED[1])

    def bucket_of(self, number: int) -> str:
        """The bucket of a picture."""
        return self.buckets.names[int(self.buckets.codes[number])]

    def verdict_of(self, number: int) -> str:
        """The verdict on a picture when the ledger was read."""
        return self.verdicts.names[int(self.verdicts.codes[number])]

    def chosen(self, wanted: Filter) -> Chosen:
        """Which pictures a filter chooses."""
        chosen = np.ones(len(self), bool)
        for name, labels in {"verdict": self.verdicts, "bucket": self.buckets, **self.sets}.items():
            if value := getattr(wanted, name):
                chosen &= labels.having(value)
        if wanted.least_score is not None:
            chosen &= self.score >= wanted.least_score
        if wanted.most_score is not None:
            chosen &= self.score <= wanted.most_score
        if wanted.path:
            chosen &= pc.match_substring(self._lower_paths, wanted.path.lower()).to_numpy(zero_copy_only=False)
        return chosen

    @cached_property
    def facets(self) -> dict[str, dict[str, int]]:
        """The values of each filter, with how many pictures have them."""
        return {
            name: labels.counts() for name, labels in {"verdict": self.verdicts, **self.sets, "bucket": self.buckets}.items()
        }

    def files(self, number: int) -> JsonObject:
        """The FILE_COLUMNS of a picture, which are in memory."""
        (row,) = self._files_of.slice(number, 1).to_pylist()
        return cast(JsonObject, row)

    def row(self, number: int) -> JsonObject:
        """The ledger's row of a picture. Raises Failure."""
        shard = int(self._shard[number])
        with self._lock:
            rows = self._rows.pop(shard, None)
            if rows is None:
                rows = ledger.read_shard(self._dest, shard, self._files[shard])
            self._rows[shard] = rows
            while len(self._rows) > SHARDS_KEPT:
                self._rows.popitem(last=False)
        (row,) = rows.slice(int(self._position[number]), 1).to_pylist()
        return cast(JsonObject, row)


def bucket_of(row: Mapping[str, Any]) -> str:
    """The bucket of a ledger's row: the user's column of that name, else the first folder."""
    return _first_folder(row["path"]) if row.get(BUCKET) is None else str(row[BUCKET])


def _first_folder(path: str) -> str:
    folder, separator, _ = path.partition("/")
    return folder if separator else "."


def _columns(rows: pa.Table, shard: int) -> dict[str, pa.Array]:
    """The figures and the sets of a shard's rows."""
    regions = as_array(rows["regions"])
    starts = _starts(regions)
    flat = regions.flatten()
    doubts, scores = _doubt(flat), flat.field("score").to_numpy(zero_copy_only=False).astype(np.float64)
    paths: list[str] = rows["path"].to_pylist()
    own = rows[BUCKET].to_pylist() if BUCKET in rows.column_names else [None] * len(rows)
    reasons = as_array(rows["reasons"])
    return {
        **{name: as_array(rows[name]) for name in FILE_COLUMNS},
        "verdict": as_array(rows["verdict"]),
        "bucket": pa.array([_first_folder(path) if each is None else str(each) for path, each in zip(paths, own, strict=True)]),
        "doubt": pa.array(_most(doubts, starts, 0.0)),
        "score": pa.array(-_most(-scores, starts, -1.0)),
        "rung": _regrouped(pc.fill_null(flat.field("rung"), ""), starts),
        "kind": _regrouped(pc.fill_null(flat.field("kind"), ""), starts),
        "reason": _regrouped(
            pc.replace_substring_regex(reasons.flatten(), r"(?s)^([^:]*: \w+|[^:]*).*$", r"\1"), _starts(reasons)
        ),
        "carried_out": pa.array([carried_out(notes) for notes in rows["notes"].to_pylist()], pa.string()),
        "version": pc.utf8_slice_codeunits(
            pc.fill_null(pc.coalesce(rows["output_sha256"], rows["source_sha256"]), "none"), 0, 12
        ),
        "shard": pa.array(np.full(len(rows), shard, np.int64)),
        "position": pa.array(np.arange(len(rows))),
    }


def _starts(lists: pa.Array) -> Numbers:
    lengths = np.nan_to_num(lists.value_lengths().to_numpy(zero_copy_only=False)).astype(np.int64)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _regrouped(values: pa.Array, starts: Numbers) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), values.cast(pa.string()))


def _labels(values: pa.Array, starts: Numbers | None) -> Labels:
    encoded = values.dictionary_encode()
    names = tuple(str(name) for name in encoded.dictionary.to_pylist())
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.arange(len(codes) + 1) if starts is None else starts
    if "" in names:
        # A region without a rung has an empty name, which is no value of the filter.
        keep = codes != names.index("")
        owners = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[keep]
        starts = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(starts) - 1))])
        codes = codes[keep] - (codes[keep] > names.index(""))
        names = tuple(name for name in names if name)
    return Labels(names, codes, starts.astype(np.int64))


def _most(values: Figures, starts: Numbers, without: float) -> Figures:
    """The largest value of each picture's regions, `without` for a picture that has none."""
    result = np.full(len(starts) - 1, without)
    owners = np.repeat(np.arange(len(result)), np.diff(starts))
    first = np.full(len(result), -np.inf)
    np.maximum.at(first, owners, values)
    return np.where(np.diff(starts) > 0, first, result)


def _doubt(regions: pa.Array) -> Figures:
    """How doubtful the end of each region is, 0..MOST_DOUBT; 1 is exactly on a limit.

    It is the largest share of its limit that a check of the last fill uses, for an erased region;
    for a refused one it is the inverse, so that a fill which has just failed is as doubtful as one
    that has just passed. A kept region has none.
    """
    checks = regions.field("checks")
    starts = _starts(checks)
    flat = checks.flatten()
    owners = np.repeat(np.arange(len(regions)), np.diff(starts))
    value, limit = (flat.field(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in ("value", "limit"))
    last = _in_last_fill(_codes(flat.field("rung")), _codes(flat.field("name")), owners)
    counts = last & (limit > 0) & np.isfinite(value)
    used = np.zeros(len(regions))
    np.maximum.at(used, owners[counts], value[counts] / limit[counts])
    states = regions.field("state")
    erased, refused = (
        pc.fill_null(pc.equal(states, state), False).to_numpy(zero_copy_only=False) for state in (ERASED, REFUSED)
    )
    inverse = np.divide(1.0, used, out=np.full(len(used), MOST_DOUBT), where=used > 1.0 / MOST_DOUBT)
    return np.minimum(np.where(erased, used, np.where(refused, inverse, 0.0)), MOST_DOUBT)


def _codes(values: pa.Array) -> Numbers:
    return cast(Numbers, pc.fill_null(values.dictionary_encode().indices, -1).to_numpy(zero_copy_only=False).astype(np.int64))


def _in_last_fill(rungs: Numbers, names: Numbers, owners: Numbers) -> Chosen:
    """Which checks are of the last fill of their region.

    A fill leaves each of its checks once, so the last one begins after the last check of which
    the name comes again, or of which the rung is another than the last one.
    """
    if not len(owners):
        return np.zeros(0, bool)
    place = np.arange(len(owners))
    order = np.lexsort((place, names, owners))
    again = np.zeros(len(owners), bool)
    again[order[:-1]] = (owners[order][:-1] == owners[order][1:]) & (names[order][:-1] == names[order][1:])
    ends = np.full(owners.max() + 1, -1)
    ends[owners] = place
    again |= rungs != rungs[ends[owners]]
    begins = np.full(owners.max() + 1, -1)
    np.maximum.at(begins, owners[again], place[again])
    return place > begins[owners]


def regions_of(row: Mapping[str, Any]) -> Sequence[JsonObject]:
    """The regions of a ledger's row; none if nothing was looked for."""
    return row["regions"] or []
