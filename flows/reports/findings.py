"""What a run of `find` found, as files that other programs read: Parquet and COCO JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, TextIO

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from operators.ledger import ledger
from operators.rows.failure import Failure, RunError
from operators.rows.regions import KEPT
from operators.rows.schema import POLYGON
from operators.storage import files as storage
from operators.storage.disposable import temporary_folder

FINDINGS = pa.schema(
    [
        ("path", pa.string()),
        ("uri", pa.string()),
        ("source_sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("number", pa.int32()),
        ("kind", pa.string()),
        ("polygons", pa.list_(POLYGON)),
        ("score", pa.float32()),
        ("confirmed", pa.bool_()),
        ("reason", pa.string()),
        ("text", pa.string()),
        ("text_confidence", pa.float32()),
        ("mask_uri", pa.string()),
    ]
)
"""One row for each text of an image: its number there, its outline in upright pixels, the
detector's score (0..1), whether `erase` would take it for text, and if not, why.
"""
KINDS = ("text", "mark", "mask")
"""The categories of the COCO file, numbered from 1."""


def export_findings(dest: str) -> None:
    """Write DEST/findings/part-N.parquet for each shard of the ledger, and DEST/coco.json.

    Raises RunError with exit code 3 if the storage refuses them.
    """
    try:
        _export(dest)
    except Failure as failure:
        raise RunError(failure.code, failure.message, exit_code=3) from failure


def _export(dest: str) -> None:
    with temporary_folder("cleanplate-find-") as folder:
        path = folder / "coco.json"
        with path.open("w", encoding="utf-8") as file:
            annotations = folder / "annotations"
            with annotations.open("w", encoding="utf-8") as rest:
                file.write('{"info": {"description": "texts found by cleanplate"}, "images": [')
                _write_all(dest, file, rest)
            categories = [{"id": number, "name": name} for number, name in enumerate(KINDS, 1)]
            file.write(f'],\n"categories": {json.dumps(categories)},\n"annotations": [')
            with annotations.open(encoding="utf-8") as rest:
                for line in rest:
                    file.write(line)
            file.write("]}\n")
        storage.copy(str(path), storage.join(dest, "coco.json"))


def _write_all(dest: str, images: TextIO, annotations: TextIO) -> None:
    """The Parquet files, and the images and annotations of the COCO file."""
    count = texts = 0
    for number, rows in enumerate(ledger.shard_rows(dest)):
        found: list[dict[str, Any]] = []
        for row in sorted(rows.to_pylist(), key=lambda row: str(row["path"])):
            if row["width"] is None:
                continue
            count += 1
            image = {"id": count, "file_name": row["path"], "width": row["width"], "height": row["height"]}
            images.write((",\n" if count > 1 else "\n") + json.dumps(image))
            for one in _texts_of(row):
                found.append(one)
                texts += 1
                annotations.write((",\n" if texts > 1 else "\n") + json.dumps(_annotation(one, texts, count)))
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(found, FINDINGS), buffer)
        storage.write(storage.join(dest, "findings", f"part-{number:05}.parquet"), buffer.getvalue())


def _texts_of(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The findings of one row of the ledger."""
    shared = {name: row[name] for name in ("path", "uri", "source_sha256", "width", "height")}
    for number, region in enumerate(row["regions"] or []):
        own = {name: region[name] for name in ("kind", "polygons", "score", "reason", "text", "text_confidence")}
        yield {
            **shared,
            **own,
            "number": number,
            "confirmed": region["state"] != KEPT,
            "mask_uri": row["output_uri"] if region["state"] != KEPT else None,
        }


def _annotation(one: dict[str, Any], identity: int, image: int) -> dict[str, Any]:
    """A finding as an entry of a COCO file."""
    polygons = [np.asarray(polygon, np.float32) for polygon in one["polygons"]]
    points = np.concatenate(polygons)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    text = {} if one["text"] is None else {"text": one["text"]}
    return {
        "id": identity,
        "image_id": image,
        "category_id": KINDS.index(one["kind"]) + 1,
        "segmentation": [polygon.ravel().tolist() for polygon in polygons],
        "bbox": [left, top, right - left, bottom - top],
        "area": float(sum(cv2.contourArea(polygon) for polygon in polygons)),
        "iscrowd": 0,
        "score": round(float(one["score"]), 4),
        "confirmed": one["confirmed"],
        **text,
    }
