"""The source and the destination of a run: wrong ones are refused before anything is created."""

from __future__ import annotations

import os

from operators.pictures.codec import FORMATS
from operators.rows.failure import RunError
from operators.storage import files as storage
from operators.storage.listing import EXTENSIONS
from operators.storage.manifest import is_manifest


def check_places(source: str, dest: str) -> None:
    """Raise RunError for places that cannot be a source and a destination.

    The codes are option_invalid, source_invalid, and package_missing for a storage without its
    package.
    """
    for place in (source, dest):
        storage.check_scheme(place)
    if not dest:
        raise RunError("option_invalid", "DEST is empty")
    if storage.is_local(dest) and os.path.isfile(storage.absolute(dest)):
        raise RunError("option_invalid", f"DEST {dest} is a file; give a folder")
    _check_file(source)


def _check_file(source: str) -> None:
    """Raise RunError source_invalid for a single file that is neither a picture nor a manifest."""
    if not source:
        raise RunError("source_missing", "SOURCE is empty")
    path = storage.absolute(source)
    if not storage.is_local(source) or is_manifest(source) or not os.path.isfile(path) or path.lower().endswith(EXTENSIONS):
        return
    with open(path, "rb") as file:
        start = file.read(8)
    if not any(start.startswith(format.signatures) for format in FORMATS.values()):
        raise RunError(
            "source_invalid",
            f"{source} is neither a picture nor a list of pictures; SOURCE is a folder, a pattern, a picture, a URL, or a "
            "manifest that ends in .parquet, .csv, .jsonl or .ndjson",
        )
