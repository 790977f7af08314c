"""The source and the destination of a run: wrong ones are refused before anything is created."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from flows.flow import Flow
from operators.fetch import Fetch
from operators.rows.failure import RunError
from operators.rows.signatures import HEAD_BYTES, picture_kind
from operators.storage import files as storage
from operators.storage.allowed import is_allowed, suggestion
from operators.storage.archives import is_archive
from operators.storage.listing import PICTURE_EXTENSIONS, folder_of, list_source
from operators.storage.manifest import is_manifest
from operators.storage.names import printable, to_path

FIRST_ROWS = 1000
"""This many rows of a manifest are looked at before the run starts."""


def check_places(source: str, dest: str) -> None:
    """Raise RunError for places that cannot be a source and a destination.

    The codes are option_invalid, source_invalid, source_in_destination, and package_missing for a
    storage without its package.
    """
    for place in (source, dest):
        storage.check_scheme(place)
    if not dest:
        raise RunError("option_invalid", "DEST is empty")
    _check_folder(dest)
    _check_file(source)
    _check_apart(source, dest)


def _check_folder(dest: str) -> None:
    """Raise RunError option_invalid if DEST, or a folder that would hold it, is a file."""
    if not storage.is_local(dest):
        return
    path = Path(to_path(storage.absolute(dest)))
    for place in (path, *path.parents):
        if place.is_file():
            where = "" if place == path else f" lies below {os.path.relpath(place)}, which"
            raise RunError("option_invalid", f"DEST {printable(dest)}{printable(where)} is a file; give a folder")


def _check_file(source: str) -> None:
    """Raise RunError source_invalid for a single file that is neither a picture nor a manifest."""
    if not source:
        raise RunError("source_missing", "SOURCE is empty")
    path = to_path(storage.absolute(source))
    if (
        not storage.is_local(source)
        or is_manifest(source)
        or is_archive(source)
        or not os.path.isfile(path)
        or path.lower().endswith(PICTURE_EXTENSIONS)
    ):
        return
    with open(path, "rb") as file:
        start = file.read(HEAD_BYTES)
    if picture_kind(start) is None:
        raise RunError(
            "source_invalid",
            f"{source} is neither a picture nor a list of pictures; SOURCE is a folder, a pattern, a picture, a URL, or a "
            "manifest that ends in .parquet, .csv, .jsonl or .ndjson, or an archive that ends in .tar or .zip",
        )


def check_allowed(flow: Flow, source: str) -> None:
    """Raise RunError source_not_allowed if none of a manifest's first rows may be read."""
    places = next((each.allow for each in flow.operators if isinstance(each, Fetch)), ())
    uris = [image.uri for image in islice(list_source(source), FIRST_ROWS)] if places else []
    if uris and not any(is_allowed(uri, places) for uri in uris):
        raise RunError(
            "source_not_allowed",
            f"{source} names images outside of {', '.join(places)}; to read them, add --allow {suggestion(uris[0])}",
        )


def _check_apart(source: str, dest: str) -> None:
    """Raise RunError source_in_destination if SOURCE is DEST or lies in it.

    Such a run would list its own results, or write over what it reads.
    """
    if is_manifest(source):
        return
    folder, place = _place(folder_of(source)), _place(dest)
    if folder == place or folder.startswith(f"{place.rstrip('/')}/"):
        inside = "are the same folder" if folder == place else f"are one in the other: {printable(dest)} holds SOURCE"
        raise RunError("source_in_destination", f"SOURCE and DEST {inside}; choose a DEST beside {printable(source)}")


def _place(uri: str) -> str:
    if storage.is_local(uri):
        return os.path.realpath(storage.filesystem(uri)[1])
    scheme, _, rest = uri.partition("://")
    return f"{'s3' if scheme == 's3a' else scheme}://{rest.rstrip('/')}"
