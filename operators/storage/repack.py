"""Shards of a collection written again, with edited images in the places of the sources.

A Parquet file keeps its columns, its row groups and its metadata, and gets columns that say where
each image comes from. An Arrow file does too, with its batches. A tar keeps its members as they
are, in their order, and each sample gets a member `SAMPLE.cleanplate.json` that says the same.
"""

from __future__ import annotations

import copy
import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from operators.storage import files as storage
from operators.storage import lance_images, tables
from operators.storage.archives import sample_of, tar_headers
from operators.storage.arrow_images import ENDING, map_file
from operators.storage.disposable import temporary_folder
from operators.storage.names import to_text

PARQUET, WEBDATASET, ARROW, DELTA, LANCE = "parquet", "webdataset", "arrow", "delta", "lance"
KINDS: Mapping[str, str] = {
    PARQUET: ".parquet",
    WEBDATASET: ".tar",
    ARROW: ENDING,
    DELTA: tables.DELTA,
    LANCE: lance_images.ENDING,
}
"""The kinds of collections that can be written again, with the ending of their source."""
LINEAGE_ENDING = ".cleanplate.json"
ROWS = 256
"""Rows of a Parquet file that are held at a time; a row group is written as one all the same."""


@dataclass(frozen=True)
class Lineage:
    """Where an image of a shard comes from."""

    source_sha256: str | None
    run: str
    """The id of the run."""
    settings_sha256: str
    """The hash of the run's settings."""
    verdict: str


@dataclass(frozen=True)
class Result:
    """What becomes of one image."""

    lineage: Lineage
    read: Callable[[], bytes] | None
    """Reads the delivered file; None if it is the source as it was, or if nothing was delivered."""


LINEAGE_COLUMNS = {name: f"cleanplate_{name}" for name in Lineage.__dataclass_fields__}


def repack(kind: str, source: str, target: str, results: Mapping[str | int, Result]) -> None:
    """Write a shard of a kind again, from one URI to another.

    The results are those of the shard's images, by the offset of a member or the row of a cell,
    which is preceded by its column: `image 17`. Raises Failure.
    """
    if kind == LANCE:
        _repack_lance(source, target, results)
        return
    with temporary_folder("cleanplate-shard-") as folder:
        local = folder / "source"
        storage.copy(source, str(local))
        repacked = folder / "target"
        {WEBDATASET: _repack_tar, ARROW: _repack_arrow}.get(kind, _repack_parquet)(local, repacked, results)
        storage.copy(str(repacked), target)


def _repack_tar(source: Path, target: Path, results: Mapping[str | int, Result]) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        sample, lineages = "", dict[str, Lineage]()
        for header, start, end in _spans(reader):
            name = header.name.removeprefix("./")
            if sample_of(name) != sample:
                _write_lineage(writer, sample, lineages)
                sample, lineages = sample_of(name), {}
            if name == sample + LINEAGE_ENDING:
                continue  # of an earlier run
            result = results.get(header.offset_data) if header.isreg() else None
            if result is not None:
                lineages[to_text(name)] = result.lineage
            if result is None or result.read is None:
                _copy(reader, writer, start, end)
            else:
                _write_member(writer, header, result.read())
        _write_lineage(writer, sample, lineages)
        writer.write(bytes(2 * tarfile.BLOCKSIZE))


def _spans(reader: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, int, int]]:
    """Each member with where its headers begin and where its data end, padding included."""
    for header in tar_headers(reader):
        size = header.size if header.isreg() else 0
        blocks = -(-size // tarfile.BLOCKSIZE)
        yield header, header.offset, header.offset_data + blocks * tarfile.BLOCKSIZE


def _copy(reader: IO[bytes], writer: IO[bytes], start: int, end: int) -> None:
    reader.seek(start)
    while start < end and (data := reader.read(min(storage.COPY_BYTES, end - start))):
        writer.write(data)
        start += len(data)


def _write_member(writer: IO[bytes], header: tarfile.TarInfo, data: bytes) -> None:
    changed = copy.copy(header)
    changed.size = len(data)
    changed.pax_headers = {name: value for name, value in header.pax_headers.items() if name != "size"}
    writer.write(changed.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape"))
    writer.write(data)
    writer.write(bytes(-len(data) % tarfile.BLOCKSIZE))


def _write_lineage(writer: IO[bytes], sample: str, lineages: Mapping[str, Lineage]) -> None:
    if lineages:
        content = {name: asdict(lineage) for name, lineage in lineages.items()}
        data = json.dumps(content, indent=1).encode()
        _write_member(writer, tarfile.TarInfo(sample + LINEAGE_ENDING), data)


def _repack_parquet(source: Path, target: Path, results: Mapping[str | int, Result]) -> None:
    column = _column_of(results)
    with pq.ParquetFile(source) as file:
        schema = _with_lineage(file.schema_arrow)
        own = [name for name in schema.names if name not in LINEAGE_COLUMNS.values()]
        first = file.metadata.row_group(0).column(0).compression if file.metadata.num_row_groups else "SNAPPY"
        with pq.ParquetWriter(target, schema, compression=None if first == "UNCOMPRESSED" else first.lower()) as writer:
            row = 0
            for group in range(file.metadata.num_row_groups):
                parts = []
                for batch in file.iter_batches(ROWS, row_groups=[group], columns=own):
                    found = [results.get(f"{column} {number}") for number in range(row, row + len(batch))]
                    parts.append(_with_results(batch, schema, column, found))
                    row += len(batch)
                if parts:
                    table = pa.Table.from_batches(parts, schema)
                    writer.write_table(table, row_group_size=len(table))


def _column_of(results: Mapping[str | int, Result]) -> str:
    """The column of the images; empty if no image of the shard is in the ledger."""
    return str(next(iter(results), "")).rpartition(" ")[0]


def _with_lineage(schema: pa.Schema) -> pa.Schema:
    """A schema with the columns of lineage last, in the place of those of an earlier run."""
    own = [field for field in schema if field.name not in LINEAGE_COLUMNS.values()]
    return pa.schema([*own, *(pa.field(name, pa.string()) for name in LINEAGE_COLUMNS.values())], schema.metadata)


def _repack_arrow(source: Path, target: Path, results: Mapping[str | int, Result]) -> None:
    column = _column_of(results)
    file = map_file(str(source))
    schema, row = _with_lineage(file.schema), 0
    with (pa.ipc.new_stream if file.is_stream else pa.ipc.new_file)(target, schema) as writer:
        for batch in file.batches:
            found = [results.get(f"{column} {number}") for number in range(row, row + len(batch))]
            writer.write_batch(_with_results(batch, schema, column, found))
            row += len(batch)


def _repack_lance(source: str, target: str, results: Mapping[str | int, Result]) -> None:
    """Write a dataset anew, as one further version of `target` if there is one already."""
    import lance

    column, dataset = _column_of(results), lance_images.open_dataset(source)
    schema = _with_lineage(dataset.schema)
    own = [name for name in schema.names if name not in LINEAGE_COLUMNS.values()]

    def batches() -> Iterator[pa.RecordBatch]:
        row = 0
        for batch in dataset.to_batches(columns=own, batch_size=ROWS):
            found = [results.get(f"{column} {number}") for number in range(row, row + len(batch))]
            yield _with_results(batch, schema, column, found)
            row += len(batch)

    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches()), target, mode="overwrite")


def write_description(source: str, target: str, run: str) -> None:
    """Write what `datasets.load_from_disk` needs beside the Arrow files of a folder.

    Nothing is written if the source folder has no such description. `run` tells the fingerprint of
    the new dataset from that of the source, by which the library caches results. Raises Failure.
    """
    state, info = (storage.join(source, name) for name in ("state.json", "dataset_info.json"))
    if not (storage.exists(state) and storage.exists(info)):
        return
    described, content = json.loads(storage.read(info)), json.loads(storage.read(state))
    if described.get("features") is not None:
        text = {"dtype": "string", "_type": "Value"}
        described["features"] |= dict.fromkeys(LINEAGE_COLUMNS.values(), text)
    content["_fingerprint"] = hashlib.sha256(f"{content['_fingerprint']} {run}".encode()).hexdigest()[:16]
    storage.write(storage.join(target, "dataset_info.json"), json.dumps(described, indent=2).encode())
    storage.write(storage.join(target, "state.json"), json.dumps(content, indent=2).encode())


def _with_results(batch: pa.RecordBatch, schema: pa.Schema, column: str, results: list[Result | None]) -> pa.RecordBatch:
    """A batch with the delivered images and the columns of lineage."""
    arrays = {name: batch.column(name) for name in batch.schema.names}
    if any(result is not None and result.read is not None for result in results):
        kind, cells = schema.field(column).type, arrays[column].to_pylist()
        arrays[column] = pa.array([_cell(cell, result) for cell, result in zip(cells, results, strict=True)], kind)
    for name, of_row in LINEAGE_COLUMNS.items():
        values = [None if result is None else getattr(result.lineage, name) for result in results]
        arrays[of_row] = pa.array(values, pa.string())
    return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _cell(cell: Any, result: Result | None) -> Any:
    if result is None or result.read is None:
        return cell
    data = result.read()
    return {**cell, "bytes": data} if isinstance(cell, dict) else data
