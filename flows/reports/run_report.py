"""Write the report of a run: one self-contained HTML page, made from its ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from flows.reports.delivered import delivered_uri
from flows.reports.digest import NEEDS_A_LOOK, Digest, LedgerRow, margin_used, milliseconds_by_operator
from flows.reports.page import render_page, thumbnail
from flows.reports.parts import part_states
from flows.reports.promise import promises_of_run
from flows.reports.proven import proven_by_people
from operators.ledger import ledger
from operators.ledger.counts import TEXT_ENDS
from operators.rows.failure import Failure
from operators.rows.records import JsonObject
from operators.storage import files as storage
from operators.storage import source_image
from operators.storage.left_out import REASONS
from operators.storage.names import printable

THUMBNAIL = 480
"""Pixels of a thumbnail's longer side at most."""
LEDGER_COLUMNS = tuple(LedgerRow.__annotations__)


@dataclass(frozen=True)
class EditedImage:
    """An edited image on the page: before and after as data URIs, and its measurements."""

    path: str
    link: str
    """Where the delivered file is, as seen from the page."""
    before: str
    after: str
    rungs: list[tuple[str, int]]
    """The rungs whose fills were accepted, each with its number of regions."""
    margin_used: float
    unedited: int
    """Regions that were left as they were."""
    reasons: list[str]


def write_report(dest: str) -> str:
    """Write DEST/report.html from DEST's ledger and run.json, and return its URI.

    Reads the ledger one shard at a time. Raises Failure.
    """
    digest = Digest()
    for rows in ledger.shard_rows(dest):
        for image in rows.select(list(LEDGER_COLUMNS)).to_pylist():
            digest.add(image)
    run: JsonObject = json.loads(storage.read(storage.join(dest, "run.json")))
    page = render_page(
        "report.html.j2",
        run=run,
        total=digest.total,
        promises=promises_of_run(run["settings"]),
        # That a rung is not calibrated is among the promises: nothing is promised of it.
        reviewed=proven_by_people(dest),
        warnings=[*digest.fills.lines(), *digest.drift.warnings([])],
        verdicts=digest.verdicts.most_common(),
        texts=[(end, digest.texts[end]) for end in ("found", *TEXT_ENDS) if digest.texts[end]],
        failures=digest.failures.most_common(),
        parts=[state.line() for state in part_states(dest)] if run.get("parts") else [],
        left_out=_left_out(run),
        rollbacks=digest.rollbacks.most_common(),
        fill_errors=[
            (rung, digest.fills.attempts[rung], errors, digest.fills.messages.get(rung, ""))
            for rung, errors in digest.fills.errors.most_common()
        ],
        latencies=digest.latencies.percentiles(),
        worst=[_prepare_image(image, dest) for image in digest.worst.images()],
        sample=[_prepare_image(image, dest) for image in digest.sample.images()],
        listed=[_list_image(image, dest) for image in digest.listed.images()],
        kinds=[verdict for verdict in NEEDS_A_LOOK if digest.verdicts[verdict]],
    )
    uri = report_uri(dest)
    storage.write(uri, page.encode())
    return uri


REVIEW_BEGINS, REVIEW_ENDS = "<!-- review -->", "<!-- end of review -->"
"""What stands around the sentences about people's decisions, so that they can be renewed alone."""


def note_review(dest: str, lines: Sequence[str]) -> None:
    """Put sentences about people's decisions into the report of a run, if there is one.

    Raises Failure.
    """
    uri = report_uri(dest)
    if not storage.exists(uri):
        return
    page = storage.read(uri).decode()
    before, begins, rest = page.partition(REVIEW_BEGINS)
    _, ends, after = rest.partition(REVIEW_ENDS)
    if begins and ends:
        section = render_page("review_section.html.j2", lines=lines)
        storage.write(uri, f"{before}{REVIEW_BEGINS}{section}{REVIEW_ENDS}{after}".encode())


def report_uri(dest: str) -> str:
    """The URI of the report of a destination."""
    return storage.join(dest, "report.html")


def _left_out(run: JsonObject) -> list[tuple[str, int, str]]:
    """What the listing left out: the reason in words, its number, and details or examples."""
    return [
        (
            REASONS[reason],
            entry["count"],
            ", ".join(f"{detail} {count}" for detail, count in entry["by"].items())
            or ", ".join(printable(path) for path in entry["examples"]),
        )
        for reason, entry in run.get("left_out", {}).items()
    ]


def _prepare_image(image: LedgerRow, dest: str) -> EditedImage:
    regions = image["regions"] or []
    accepted = [region for region in regions if region["state"] == "erased"]
    return EditedImage(
        path=printable(image["path"]),
        link=_link(delivered_uri(image, dest), dest),
        before=_thumbnail(image["uri"]),
        after=_thumbnail(delivered_uri(image, dest)),
        rungs=Counter(str(region["rung"]) for region in accepted).most_common(),
        margin_used=margin_used(image),
        unedited=len(regions) - len(accepted),
        reasons=image["reasons"] or [],
    )


@dataclass(frozen=True)
class ListedImage:
    """A row of the table of images."""

    path: str
    verdict: str
    texts: int
    erased: int
    milliseconds: float
    source: str
    """A link to the source; empty for a picture inside a Parquet file or an archive."""
    link: str
    """A link to the delivered file, empty without one."""
    reasons: list[str]


def _list_image(image: LedgerRow, dest: str) -> ListedImage:
    texts, failure = image["texts"] or {}, image["failure"]
    return ListedImage(
        path=image["path"],
        verdict=image["verdict"],
        texts=texts.get("found", 0),
        erased=texts.get("erased", 0),
        milliseconds=sum(milliseconds_by_operator(image).values()),
        source="" if source_image.is_inside(image["uri"]) else _link(image["uri"], dest),
        link=_link(delivered_uri(image, dest), dest),
        reasons=[f"{failure['code']}: {failure['message']}"] if failure else image["reasons"] or [],
    )


def _link(uri: str | None, dest: str) -> str:
    """A file as a link from a page in `dest`: relative inside it, so that DEST may be moved."""
    if uri is None:
        return ""
    root = storage.join(storage.absolute(dest), "")
    if storage.absolute(uri).startswith(root):
        return quote(storage.absolute(uri).removeprefix(root))
    return Path(storage.absolute(uri)).as_uri() if storage.is_local(uri) else uri


def _thumbnail(uri: str | None) -> str:
    """A picture as a data URI; empty if there is none or it is no longer readable."""
    if uri is None:
        return ""
    try:
        return thumbnail(source_image.read(uri), THUMBNAIL)
    except (Failure, OSError):
        return ""
