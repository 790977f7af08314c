"""The report of a run: one self-contained HTML page made from its ledger."""

from __future__ import annotations

import base64
import io
import json
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image, ImageOps

from flows.drift import warnings
from flows.latency import percentiles
from operators import ledger, source, storage
from operators.failure import Failure

TEMPLATES = Path(__file__).parent / "templates"
SHOWN = 10
THUMBNAIL = 480
LEDGER_COLUMNS = ("uri", "path", "verdict", "reasons", "failure", "timings", "regions", "output_uri")


def write_report(dest: str) -> str:
    """Make DEST/report.html from DEST's ledger and run.json; returns its URI. Raises Failure."""
    table = ledger.read(dest)
    images = table.select(list(LEDGER_COLUMNS)).to_pylist()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    run = json.loads(storage.read(storage.joined(dest, "run.json")))
    rungs = [setting["rung"] for setting in run["settings"] if "rung" in setting]
    page = environment.get_template("report.html.j2").render(
        run=run,
        total=len(images),
        warnings=warnings(places(images), rungs),
        verdicts=Counter(image["verdict"] for image in images).most_common(),
        failures=Counter(image["failure"]["code"] for image in images if image["failure"]).most_common(),
        rollbacks=_rollbacks(images),
        latencies=latencies(images),
        worst=[_shown(image) for image in _worst(images)],
        sample=[_shown(image) for image in _random(images)],
    )
    uri = storage.joined(dest, "report.html")
    storage.write(uri, page.encode())
    return uri


def latencies(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """P50, P95, P99 and the share of all time, in milliseconds an image, for every operator and for the whole image."""
    spent = []
    for image in images:
        by_operator: dict[str, float] = defaultdict(float)
        for timing in image["timings"] or []:
            by_operator[timing["operator"]] += timing["total"]
        spent.append(by_operator)
    return percentiles(spent)


def places(images: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The figures of every region that was described, of rows as the ledger keeps them."""
    regions = (region for image in images for region in image["regions"] or [])
    return [dict(region["metadata"]) for region in regions if region.get("metadata")]


def _rollbacks(images: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """How often each check of each rung refused a fill."""
    checks = (check for image in images for region in image["regions"] or [] for check in region["checks"] or [])
    return Counter(f"{check['rung']}: {check['name']}" for check in checks if not check["passed"]).most_common()


def closeness(image: dict[str, Any]) -> float:
    """How near an image's delivered edits came to being refused: the largest share of a limit used up, 0..1 and NaN as 0."""
    shares = [
        check["value"] / check["limit"]
        for region in image["regions"] or []
        if region["state"] == "accepted"
        for check in region["checks"]
        if check["passed"] and check["rung"] == region["rung"] and check["limit"] > 0 and check["value"] == check["value"]
    ]
    return max(shares, default=0.0)


def _worst(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    edited = [image for image in images if image["verdict"] == "edited"]
    return sorted(edited, key=lambda image: (-closeness(image), image["path"]))[:SHOWN]


def _random(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    edited = sorted((image for image in images if image["verdict"] == "edited"), key=lambda image: image["path"])
    return random.Random(0).sample(edited, min(SHOWN, len(edited)))


def _shown(image: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of one image: before and after as small JPEGs, and what was measured."""
    regions = image["regions"] or []
    return {
        "path": image["path"],
        "before": _thumbnail(image["uri"]),
        "after": _thumbnail(image["output_uri"]),
        "rungs": Counter(region["rung"] for region in regions if region["state"] == "accepted").most_common(),
        "closeness": closeness(image),
        "kept": sum(region["state"] != "accepted" for region in regions),
        "reasons": image["reasons"] or [],
    }


def _thumbnail(uri: str | None) -> str:
    """A picture as a data URI, at most THUMBNAIL pixels a side; empty if it cannot be read any more."""
    if uri is None:
        return ""
    try:
        file = Image.open(io.BytesIO(source.read(uri)))
        file.draft(None, (2 * THUMBNAIL, 2 * THUMBNAIL))
        picture = ImageOps.exif_transpose(file).convert("RGB")
    except (Failure, OSError):
        return ""
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
