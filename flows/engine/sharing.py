"""Sharing: images of the same bytes are worked once, and the result is delivered for each of them.

The first of them that a worker has read is the one that is worked; it has claimed their content.
The others wait: their rows leave the workers as they are, and when all other images are done, the
result is copied for them (`flows.engine.twins`). So no worker ever waits for another one.

A claim is an object DEST/twins/PASS/KEY, put only if there is none yet, that holds the id of the
image and its shard. It belongs to that image, not to a process: when a worker is lost, the engine
gives its images to another worker, which finds their claims. When the driver is lost, the next run
is another pass with claims of its own. What earlier runs have finished is found in their ledger.

Only suspects claim their bytes: images whose size, or checksum where an object store lists one,
is that of another image of the index. So a run without any such images makes no claim. With the
operator `identify`, every image that goes on claims its pixels too.
"""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.flow import Flow
from operators.fetch import Fetch
from operators.identify import Identify
from operators.ledger import index, ledger
from operators.ledger.decisions import carried_out
from operators.ledger.id_lookup import Hashes, binary, hashes
from operators.ledger.part import WHOLE, Part
from operators.operator import Operator
from operators.record import Record
from operators.rows.failure import Failure
from operators.rows.records import FailureRecord, TimingRecord
from operators.rows.schema import INDEX_COLUMNS, SCHEMA
from operators.storage import files as storage
from operators.storage import source_image
from operators.write import Write

WAITING = "cleanplate.waiting"
"""The column of the rows that wait for the result of another image; null for all other rows.

A value is one pickled Twin. The other columns of such a row are null.
"""
KEY_DIGITS = 32
"""Hexadecimal digits of a key, as many as an image's id has."""
THREADS = 8
READS_AT_ONCE = 16
READINGS = 20
"""How often a claim is read until it is complete."""
READING_SECONDS = 0.1
"""The time between two readings."""
BYTES, PIXELS = Fetch.tells_twins, Identify.tells_twins
MD5 = re.compile("[0-9a-f]{32}")
SHARED_CODES = frozenset(
    {
        "file_empty",
        "not_an_image",
        "truncated",
        "corrupt",
        "decompression_bomb",
        "animated",
        "multi_page",
        "pixels_over_limit",
        "scans_over_limit",
        "frames_over_limit",
        "directories_over_limit",
        "decode_time_limit",
        "mode_unsupported",
        "written_wrongly",
        "worker_crashed",
        "time_limit",
        "memory_limit",
        "out_of_memory",
        "worker_lost",
    }
)
"""The failures that lie in the bytes, so that every image of these bytes would have them.

All others lie in a place, such as a source or an output that cannot be reached, or are unexpected:
the other images are worked by themselves.
"""


class Twin(TypedDict):
    """An image that waits for the result of another one of the same bytes or pixels."""

    row: dict[str, Any]
    """The columns of the index, those of the user, and `size` and the hashes as fetched."""
    timings: list[TimingRecord]
    first: str
    """The id of the image whose result it gets."""
    first_shard: int


@dataclass(frozen=True)
class _Suspects:
    """The suspects of a pass, and the finished images that may be their twins."""

    ids: Hashes
    """The ids of the pending images that may have the bytes of another one, sorted."""
    keys: Hashes
    """The keys of finished images, sorted."""
    first_ids: Hashes
    """The ids of these images."""
    first_shards: npt.NDArray[np.int32]

    def encode(self) -> bytes:
        """The arrays as a file of numpy."""
        buffer = io.BytesIO()
        np.savez(buffer, **vars(self))
        return buffer.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> _Suspects:
        """The arrays from a file that `encode` has made."""
        with np.load(io.BytesIO(data)) as arrays:
            return cls(**arrays)

    def has(self, image_id: str) -> bool:
        """Whether an image is a suspect."""
        return _position(self.ids, image_id) is not None

    def finished(self, key: str) -> tuple[str, int] | None:
        """The id and the shard of a finished image with this key; None if there is none."""
        position = _position(self.keys, key)
        if position is None:
            return None
        return bytes(self.first_ids[position]).ljust(16, b"\0").hex(), int(self.first_shards[position])


def _position(values: Hashes, digits: str) -> int | None:
    """Where a value of 32 hexadecimal digits is in a sorted array; None if it is not there."""
    value = binary([digits])
    position = int(np.searchsorted(values, value)[0])
    return position if position < len(values) and values[position] == value[0] else None


@dataclass(frozen=True)
class Sharing:
    """How the images of one pass share results; it travels to the workers."""

    folder: str
    """DEST/twins/PASS."""
    operators: tuple[Operator, ...]
    """The operators that make the result: those between `fetch` and the last one."""

    def key(self, content_sha256: str, path: str, own: Mapping[str, Any]) -> str | None:
        """A hash of all that the result of an image depends on; None if it is not to be shared.

        `content_sha256` is the hash of its pixels, or else that of its bytes.
        """
        parts = [operator.beyond_bytes(path, own) for operator in self.operators]
        if any(part is None for part in parts):
            return None
        content = "\0".join([content_sha256, *(part or "" for part in parts)])
        return hashlib.sha256(content.encode()).hexdigest()[:KEY_DIGITS]

    def claim(self, rows: pa.Table, column: str) -> tuple[pa.Table, pa.Table | None]:
        """Part rows into those to work, and those that wait, as a table of WAITING.

        `column` holds the hash by which they are told, of their bytes or their pixels. A row whose
        content cannot be claimed, because the storage fails, is worked.
        """
        suspects = _suspects(self.folder)
        failed, sums = rows["failure"].is_valid().to_pylist(), rows[column].to_pylist()
        candidates = [
            position
            for position, image_id in enumerate(rows["image_id"].to_pylist())
            if sums[position] is not None and not failed[position] and (column == PIXELS or suspects.has(image_id))
        ]
        if not candidates:
            return rows, None
        own = [name for name in rows.column_names if name not in SCHEMA.names]
        columns = [*INDEX_COLUMNS, "source_sha256", "pixels_sha256", *own]
        records = rows.select([*columns, "timings"]).take(pa.array(candidates)).to_pylist()

        def twin_of(record: dict[str, Any]) -> Twin | None:
            timings = record.pop("timings") or []
            first = self._first(record[column], record, {name: record[name] for name in own}, suspects)
            return None if first is None else Twin(row=record, timings=timings, first=first[0], first_shard=first[1])

        if len(records) == 1:
            twins = [twin_of(records[0])]
        else:
            with ThreadPoolExecutor(THREADS) as pool:
                twins = list(pool.map(twin_of, records))
        waiting = [position for position, twin in zip(candidates, twins, strict=True) if twin is not None]
        if not waiting:
            return rows, None
        to_work = [position for position in range(len(rows)) if position not in waiting]
        return rows.take(pa.array(to_work, pa.int64())), waiting_rows([pickle.dumps(twin) for twin in twins if twin])

    def _first(
        self, content: str, record: Mapping[str, Any], own: Mapping[str, Any], suspects: _Suspects
    ) -> tuple[str, int] | None:
        """The image whose result this one gets, with its shard; None if this one is worked."""
        key = self.key(content, record["path"], own)
        if key is None:
            return None
        return suspects.finished(key) or _claim(storage.join(self.folder, key), record["image_id"], record["shard"])


def _claim(uri: str, image_id: str, shard: int) -> tuple[str, int] | None:
    """Claim a content for an image; return the image that has claimed it before, or None.

    On a local disk, a claim may be seen before it is complete, and stays so if its writer was
    ended. Such a claim counts as none.
    """
    try:
        if storage.create(uri, f"{image_id} {shard}".encode()):
            return None
        for _ in range(READINGS):
            holder, _, place = storage.read(uri).decode().partition(" ")
            if len(holder) == KEY_DIGITS and place.isdigit():
                return None if holder == image_id else (holder, int(place))
            time.sleep(READING_SECONDS)
    except Failure:
        pass
    return None


@functools.lru_cache(maxsize=1)
def _suspects(folder: str) -> _Suspects:
    """The suspects of a pass, read once per process. Raises Failure."""
    return _Suspects.decode(storage.read(_suspects_uri(folder)))


def _suspects_uri(folder: str) -> str:
    return storage.join(folder, "suspects.npz")


def waiting_rows(twins: Sequence[bytes]) -> pa.Table:
    """Pickled twins as a table of WAITING."""
    return pa.table({WAITING: pa.array(twins, pa.large_binary())})


def part_waiting(table: pa.Table) -> tuple[pa.Table, pa.Table | None]:
    """The rows to work, without WAITING, and those that wait, with nothing else."""
    if WAITING not in table.column_names:
        return table, None
    waits = table[WAITING].is_valid()
    rows = table.drop_columns([WAITING])
    if not any(waits.to_pylist()):
        return rows, None
    return rows.filter(pc.invert(waits)), table.select([WAITING]).filter(waits)


def both_waiting(some: pa.Table | None, more: pa.Table | None) -> pa.Table | None:
    """Two tables of WAITING as one; each may be None."""
    tables = [table for table in (some, more) if table is not None]
    return pa.concat_tables(tables) if tables else None


def join_waiting(rows: pa.Table, waiting: pa.Table | None) -> pa.Table:
    """The rows with the column WAITING, followed by the rows that wait."""
    rows = rows.append_column(WAITING, pa.nulls(len(rows), pa.large_binary()))
    return rows if waiting is None else pa.concat_tables([rows, waiting], promote_options="default")


def discard(dest: str, part: Part = WHOLE) -> None:
    """Remove all claims of a part, also those of passes that have died. Raises Failure."""
    storage.remove(storage.join(part.folder(dest), "twins"))


def prepare(flow: Flow, dest: str, pending: Mapping[int, int], part: Part = WHOLE) -> Sharing | None:
    """Find the suspects among the pending images, and store them for the workers.

    None if the images of the flow cannot share results, or if there are no suspects. `pending`
    counts the pending images by shard. Only images of one `part` share results. Raises Failure.
    """
    operators = flow.operators
    if not isinstance(operators[0], Fetch) or not isinstance(operators[-1], Write | Record):
        return None
    sharing = Sharing(storage.join(part.folder(dest), "twins", uuid.uuid4().hex), operators[1:-1])
    if sharing.key("", "", {}) is None:
        return None
    listed = _read_prints(dest, part)
    by_pixels = any(operator.tells_twins == PIXELS for operator in operators)
    if not by_pixels and not listed.repeated.any():
        return None
    pending_ids = _pending(dest, listed, pending)
    groups = np.isin(listed.prints, np.unique(listed.prints[listed.repeated & pending_ids]))
    ids = np.sort(listed.ids[groups & pending_ids])
    if not len(ids) and not by_pixels:
        return None
    keys, first_ids, first_shards = _finished(sharing, dest, listed, (groups | by_pixels) & ~pending_ids)
    storage.write(_suspects_uri(sharing.folder), _Suspects(ids, keys, first_ids, first_shards).encode())
    return sharing


@dataclass(frozen=True)
class _Listed:
    """All images of a part of the index."""

    ids: Hashes
    prints: Hashes
    """What a listing knows of the content: the size, or size and checksum."""
    shards: npt.NDArray[np.int32]

    @functools.cached_property
    def repeated(self) -> npt.NDArray[np.bool_]:
        """Which of them have the print of another one."""
        _, groups, counts = np.unique(self.prints, return_inverse=True, return_counts=True)
        return np.asarray(counts[groups] > 1)


def _read_prints(dest: str, part: Part) -> _Listed:
    def read(shard: int) -> tuple[Hashes, Hashes, int]:
        rows = index.read_shard(dest, shard, ["image_id", "uri", "size", "etag"])
        columns = (rows[name].to_pylist() for name in ("uri", "size", "etag"))
        prints = hashes(_print(uri, size, etag) for uri, size, etag in zip(*columns, strict=True))
        return binary(rows["image_id"].to_pylist()), prints, shard

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        parts = list(pool.map(read, index.shards(dest, part)))
    shards = [np.full(len(ids), shard, np.int32) for ids, _, shard in parts]
    ids, prints = (np.concatenate([part[number] for part in parts]) for number in (0, 1))
    return _Listed(ids, prints, np.concatenate(shards))


def _print(uri: str, size: int | None, etag: str | None) -> str:
    """What a listing knows of an image's content.

    The ETag of an S3 object that was put in one part is the MD5 of its bytes.
    """
    whole = etag and storage.scheme(uri) in storage.OPTIONS and not source_image.is_inside(uri)
    checksum = etag if whole and MD5.fullmatch(etag or "") else ""
    return f"{size} {checksum}"


def _pending(dest: str, listed: _Listed, pending: Mapping[int, int]) -> npt.NDArray[np.bool_]:
    """Which images have no final row in the ledger."""
    is_open = np.isin(listed.shards, [shard for shard, count in pending.items() if count])
    started = sorted(ledger.files_by_shard(dest).keys() & pending.keys())
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        done = list(pool.map(lambda shard: binary(ledger.done_ids(dest, shard)), started))
    return is_open & ~np.isin(listed.ids, np.concatenate(done)) if done else is_open


def _finished(
    sharing: Sharing, dest: str, listed: _Listed, suspected: npt.NDArray[np.bool_]
) -> tuple[Hashes, Hashes, npt.NDArray[np.int32]]:
    """The keys, ids and shards of suspected images whose results can be delivered again."""
    ids_by_shard: dict[int, set[str]] = defaultdict(set)
    for value, shard in zip(listed.ids[suspected].tolist(), listed.shards[suspected].tolist(), strict=True):
        ids_by_shard[shard].add(value.ljust(16, b"\0").hex())
    files = ledger.files_by_shard(dest) if ids_by_shard else {}

    def read(shard: int) -> list[tuple[str, str, int]]:
        rows = ledger.read_shard(dest, shard, files.get(shard, []))
        own = [name for name in rows.column_names if name not in SCHEMA.names]
        found = []
        for row in rows.drop_columns(["regions", "embedding", "metadata"]).to_pylist():
            if row["image_id"] in ids_by_shard[shard] and may_be_shared(row):
                # A ledger of an earlier version has no hashes of pixels.
                for content in filter(None, (row[BYTES], row.get(PIXELS))):
                    key = sharing.key(content, row["path"], {name: row[name] for name in own})
                    found.append((key or "", row["image_id"], shard))
        return found

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        found = [each for part in pool.map(read, sorted(ids_by_shard)) for each in part if each[0]]
    keys, shards = binary(key for key, _, _ in found), np.array([shard for _, _, shard in found], np.int32)
    order = np.argsort(keys, kind="stable")
    return keys[order], binary(image_id for _, image_id, _ in found)[order], shards[order]


def may_be_shared(row: Mapping[str, Any]) -> bool:
    """Whether the result in a row of the ledger is that of every image of the same bytes.

    If it has no failure, it is that of every image of the same pixels, too. What people have
    decided about one image does not hold for the others.
    """
    failure: FailureRecord | None = row["failure"]
    lies_in_bytes = failure is None or failure["code"] in SHARED_CODES
    return lies_in_bytes and not carried_out(row["notes"]) and (row["output_uri"] is None or row["output_sha256"] is not None)


def group_by_first(twins: Iterable[bytes], largest: int) -> list[tuple[int, list[bytes]]]:
    """Pickled twins in groups of at most `largest`, each with the shard of their first images."""
    by_shard: dict[int, list[bytes]] = defaultdict(list)
    for twin in twins:
        by_shard[pickle.loads(twin)["first_shard"]].append(twin)
    return [
        (shard, waiting[start : start + largest])
        for shard, waiting in sorted(by_shard.items())
        for start in range(0, len(waiting), largest)
    ]


def ids_by_shard(twins: Iterable[bytes]) -> dict[int, list[str]]:
    """The ids of pickled twins by their own shards."""
    result: dict[int, list[str]] = defaultdict(list)
    for twin in twins:
        row = pickle.loads(twin)["row"]
        result[row["shard"]].append(row["image_id"])
    return result
