"""The collection of a run: the shards of the source, with the delivered images in their places.

A shard is written when every image of the run is done, from the source's shard, the ledger and the
delivered files. DEST/packed says what each was written from, so a later run or report writes only
those that have changed.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from cluster.profile import cores
from flows.flow import Flow
from operators.ledger import ledger
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError
from operators.storage import archive_members, parquet_images, source_image
from operators.storage import files as storage
from operators.storage.listing import list_source, manifest_files, output_path
from operators.storage.manifest import without_column
from operators.storage.repack import ARROW, DELTA, KINDS, Lineage, Result, repack, write_description
from operators.storage.source_image import SourceImage
from operators.storage.tables import write_delta_log
from operators.write import Write

COLUMNS = ["image_id", "uri", "source_sha256", "output_uri", "output_sha256", "verdict"]
TASK_CPUS = 0.5
"""Writing a shard again mostly waits for storage."""


@dataclass(frozen=True)
class _Shard:
    """A shard of the source, and where its images are in the ledger."""

    uri: str
    path: str
    etag: str
    shards: tuple[int, ...]


def check_collection(kind: str, source: str, flow: Flow) -> None:
    """Raise RunError option_invalid for a source or a flow that gives no collection of a kind."""
    ending = KINDS[kind]
    fits = without_column(source).rstrip("/").lower().endswith(ending)
    if not fits or not source_image.is_inside(next(list_source(source)).uri):
        raise RunError("option_invalid", f"--to {kind}: SOURCE must be {ending} files that hold the images")
    if not isinstance(flow.operators[-1], Write):
        raise RunError("option_invalid", f"--to {kind}: this flow delivers no images")


def pack(dest: str, kind: str, source: str) -> int:
    """Write the shards of a finished run that are new or have changed; return how many.

    Raises RunError shards_damaged with exit code 1 if a shard of the source cannot be copied, after
    all others are written, and Failure.
    """
    run = json.loads(storage.read(storage.join(dest, "run.json")))
    settings = hashlib.sha256(json.dumps(run["settings"], sort_keys=True).encode()).hexdigest()
    shards = list(_shards(dest, list(manifest_files(source))))
    write = partial(_write, dest, kind, str(run["run"]), settings)
    outcomes = list(_write_all(write, shards))
    if kind == ARROW:
        for file, target in {posixpath.dirname(shard.uri): posixpath.dirname(shard.path) for shard in shards}.items():
            write_description(file, storage.join(dest, "collection", target).rstrip("/"), str(run["run"]))
    if kind == DELTA and any(outcome == "written" for _, outcome in outcomes):
        write_delta_log(storage.join(dest, "collection"))
    damaged = [path for path, outcome in outcomes if outcome == "damaged"]
    if damaged:
        shown = ", ".join(damaged[:3])
        raise RunError("shards_damaged", f"{counted(len(damaged), 'shard')} could not be written again: {shown}", 1)
    return sum(outcome == "written" for _, outcome in outcomes)


def _shards(dest: str, files: Sequence[SourceImage]) -> Iterator[_Shard]:
    """The shards of the source, each with the ledger shards that hold its images."""
    listed = ledger.files_by_shard(dest)

    def read(shard: int) -> tuple[int, set[str]]:
        uris = ledger.read_shard(dest, shard, listed[shard])["uri"].to_pylist()
        return shard, {source_image.file_of(uri) for uri in uris}

    by_file: dict[str, list[int]] = defaultdict(list)
    with ThreadPoolExecutor(16) as pool:
        for shard, names in pool.map(read, sorted(listed)):
            for name in names:
                by_file[name].append(shard)
    for file in files:
        yield _Shard(file.uri, output_path(file.path), file.etag, tuple(by_file[file.uri]))


def _write_all(write: partial[str], shards: Sequence[_Shard]) -> Iterator[tuple[str, str]]:
    """What became of each shard, by its path: with the Ray of the run, or in threads."""
    loaded = sys.modules.get("ray")
    if loaded is None or not loaded.is_initialized():
        with ThreadPoolExecutor(cores()) as pool:
            yield from zip((shard.path for shard in shards), pool.map(write, shards), strict=True)
        return
    import ray.data

    items = ray.data.from_items([vars(shard) for shard in shards], override_num_blocks=len(shards))

    def write_rows(table: pa.Table) -> pa.Table:
        rows = [_Shard(**{**row, "shards": tuple(row["shards"])}) for row in table.to_pylist()]
        return pa.table({"path": [row.path for row in rows], "outcome": [write(row) for row in rows]})

    written = items.map_batches(write_rows, batch_format="pyarrow", batch_size=1, num_cpus=TASK_CPUS)
    for row in written.iter_rows():
        yield row["path"], row["outcome"]


def _write(dest: str, kind: str, run: str, settings: str, shard: _Shard) -> str:
    """Write one shard unless it is as it should be: `written`, `unchanged` or `damaged`."""
    rows = [row for number in shard.shards for row in _rows(dest, number) if source_image.file_of(row["uri"]) == shard.uri]
    results = {_place(row["uri"]): _result(row, run, settings) for row in rows}
    versions = sorted(f"{row['image_id']} {row['output_sha256']} {row['verdict']}" for row in rows)
    digest = hashlib.sha256("\0".join([kind, run, settings, shard.etag, *versions]).encode()).hexdigest()
    record, target = storage.join(dest, "packed", f"{shard.path}.json"), storage.join(dest, "collection", shard.path)
    if storage.exists(record) and json.loads(storage.read(record))["digest"] == digest and storage.exists(target):
        return "unchanged"
    try:
        repack(kind, shard.uri, target, results)
    except (tarfile.TarError, pa.ArrowInvalid):
        return "damaged"
    storage.write(record, json.dumps({"digest": digest}).encode())
    return "written"


def _rows(dest: str, shard: int) -> list[dict[str, Any]]:
    rows = ledger.read_shard(dest, shard, ledger.shard_files(dest, shard))
    records: list[dict[str, Any]] = rows.select(COLUMNS).to_pylist()
    return records


def _place(uri: str) -> str | int:
    """Where an image is in its shard, as `repack` has it."""
    member = archive_members.ADDRESS.fullmatch(uri)
    if member is not None:
        return int(member["offset"])
    cell = parquet_images.ADDRESS.fullmatch(uri)
    return f"{cell['column']} {cell['row']}" if cell is not None else uri


def _result(row: Mapping[str, Any], run: str, settings: str) -> Result:
    lineage = Lineage(row["source_sha256"], run, settings, row["verdict"])
    changed = row["output_sha256"] is not None and row["output_sha256"] != row["source_sha256"]
    return Result(lineage, partial(_read, row["output_uri"], row["output_sha256"]) if changed else None)


def _read(uri: str, sha256: str) -> bytes:
    """A delivered file. Raises Failure corrupt if it is not the one of the ledger."""
    data = storage.read(uri)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Failure("corrupt", f"{uri} is not the file of the ledger")
    return data
