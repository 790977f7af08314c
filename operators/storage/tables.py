"""Tables of Delta Lake, Apache Iceberg and Lance: the files that they consist of now.

A SOURCE names a Delta table by its log, `TABLE/_delta_log`, and an Iceberg table by the file of its
metadata, `TABLE/metadata/00002-NAME.metadata.json`. The library of the table says which files are
current. They are then read like any Parquet files of images, and are never changed. A dataset of
Lance, `NAME.lance`, is one file to us: `operators.storage.lance_images` reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from operators.rows.failure import RunError, first_line
from operators.storage import files as storage
from operators.storage.lance_images import ENDING as LANCE
from operators.storage.lance_images import open_dataset
from operators.storage.names import to_path, to_text
from operators.storage.source_image import SourceImage

DELTA, ICEBERG = "_delta_log", ".metadata.json"
ENDINGS = (DELTA, ICEBERG, LANCE)
"""How the name of a table ends, by its kind."""


def is_table(source: str) -> bool:
    """Whether a SOURCE names a table."""
    return source.rstrip("/").endswith(ENDINGS)


def root_of(source: str) -> str:
    """The folder of a table, which holds its metadata and its data."""
    if source.rstrip("/").endswith(LANCE):
        return source.rstrip("/")
    folder = source.rstrip("/").rpartition("/")[0] or "."
    return folder if source.rstrip("/").endswith(DELTA) else folder.rpartition("/")[0] or "."


def table_files(source: str) -> Iterator[SourceImage]:
    """The files of a table, in the order of their names.

    A file of a table never changes, so it has no version. Raises RunError package_missing,
    source_missing, and manifest_invalid for a table with rows that are deleted without a new file.
    """
    kind = next(ending for ending in ENDINGS if source.rstrip("/").endswith(ending))
    root = storage.absolute(root_of(source))
    if kind == LANCE:
        yield SourceImage(root, root.rpartition("/")[2], -1, str(open_dataset(root).version))
        return
    try:
        uris = _READERS[kind](source, root)
    except ImportError:
        raise RunError("package_missing", f"{source}: install cleanplate[{_EXTRAS[kind]}]") from None
    except RunError:
        raise
    except Exception as error:  # the libraries have errors of their own, without a common class
        raise RunError("source_missing", f"{source}: {first_line(error)}") from error
    for uri in sorted(map(_plain, uris)):
        yield SourceImage(uri, uri.removeprefix(f"{root}/").rpartition("://")[2], -1, "")


def _plain(uri: str) -> str:
    """A URI of a file on this machine as a path, as listings have it."""
    return to_text(os.path.abspath(to_path(uri.removeprefix("file://")))) if storage.is_local(uri) else uri


def _read_delta(source: str, root: str) -> list[str]:
    from deltalake import DeltaTable

    table = DeltaTable(root)
    if table.metadata().partition_columns:
        raise RunError("manifest_invalid", f"{source}: the table is partitioned, and its files lack those columns")
    if "deletionVectors" in (table.protocol().reader_features or ()):
        raise RunError("manifest_invalid", f"{source}: the table may have deletion vectors; turn them off and purge it")
    uris: list[str] = table.file_uris()
    return uris


def _read_iceberg(source: str, root: str) -> list[str]:
    from pyiceberg.table import StaticTable

    tasks = list(StaticTable.from_metadata(source).scan().plan_files())
    if any(task.delete_files for task in tasks):
        raise RunError("manifest_invalid", f"{source}: the table has deleted rows in its files; rewrite them first")
    return [task.file.file_path for task in tasks]


_READERS: Mapping[str, Callable[[str, str], list[str]]] = {DELTA: _read_delta, ICEBERG: _read_iceberg}
_EXTRAS = {DELTA: "delta", ICEBERG: "iceberg"}


def write_delta_log(folder: str) -> None:
    """Make a Delta table of a folder of Parquet files, and replace the log of an earlier one."""
    from deltalake import convert_to_deltalake

    storage.remove(storage.join(folder, DELTA))
    convert_to_deltalake(folder)
