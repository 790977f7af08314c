"""The report of a run: one self-contained HTML page made from its ledger."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from flows.reports.digest import Digest, margin_used
from flows.reports.page import render_page, thumbnail
from operators.ledger import ledger
from operators.rows.failure import Failure
from operators.storage import files as storage
from operators.storage import source_image

THUMBNAIL = 480
LEDGER_COLUMNS = ("uri", "path", "verdict", "reasons", "failure", "timings", "regions", "output_uri")


def write_report(dest: str) -> str:
    """Make DEST/report.html from DEST's ledger and run.json, a shard at a time; returns its URI.
    Raises Failure.
    """
    digest = Digest()
    for rows in ledger.shard_rows(dest):
        for image in rows.select(list(LEDGER_COLUMNS)).to_pylist():
            digest.add(image)
    run = json.loads(storage.read(storage.joined(dest, "run.json")))
    rungs = [setting["rung"] for setting in run["settings"] if "rung" in setting]
    page = render_page(
        "report.html.j2",
        run=run,
        total=digest.total,
        warnings=digest.drift.warnings(rungs),
        verdicts=digest.verdicts.most_common(),
        failures=digest.failures.most_common(),
        rollbacks=digest.rollbacks.most_common(),
        latencies=digest.latencies.percentiles(),
        worst=[_shown(image) for image in digest.worst.images()],
        sample=[_shown(image) for image in digest.sample.images()],
    )
    uri = report_uri(dest)
    storage.write(uri, page.encode())
    return uri


def report_uri(dest: str) -> str:
    """Where a destination's report stands."""
    return storage.joined(dest, "report.html")


def _shown(image: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of one image: before and after as small JPEGs, and what was measured."""
    regions = image["regions"] or []
    return {
        "path": image["path"],
        "before": _thumbnail(image["uri"]),
        "after": _thumbnail(image["output_uri"]),
        "rungs": Counter(region["rung"] for region in regions if region["state"] == "accepted").most_common(),
        "closeness": margin_used(image),
        "kept": sum(region["state"] != "accepted" for region in regions),
        "reasons": image["reasons"] or [],
    }


def _thumbnail(uri: str | None) -> str:
    """A picture as a data URI, at most THUMBNAIL pixels a side; empty if it cannot be read any
    more.
    """
    if uri is None:
        return ""
    try:
        return thumbnail(source_image.read(uri), THUMBNAIL)
    except (Failure, OSError):
        return ""
