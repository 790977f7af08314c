"""Where the delivered file of a row is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.pictures.converted import ENDINGS
from operators.storage import files as storage


def delivered_uri(row: Mapping[str, Any], dest: str) -> str | None:
    """The delivered file of a row, in `dest` also if DEST was copied or moved after the run.

    `row` has `path` and `output_uri`. None if nothing was delivered.
    """
    uri, inside = row["output_uri"], f"images/{row['path']}"
    for ending in ("", *ENDINGS):
        if uri is not None and uri.endswith(f"/{inside}{ending}"):
            return storage.join(dest, inside + ending)
    return uri if uri is None else str(uri)
