"""A run in an object store is looked at, decided about and carried out like one in a folder."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import requests

from cluster import profile as profiles
from flows.engine.settings import Options, record
from flows.erase_text import delivered, erase_text
from flows.ladder import BEST, Fills, Rung
from flows.reports.run_report import write_report
from operators.ledger import index, ledger
from operators.write import Write
from tests.fixtures.cli import Command
from tests.fixtures.reviewed_run import PICTURES, FinishedRun
from tests.flows.review.conftest import Serve

if TYPE_CHECKING:
    from tests.fixtures.s3 import S3

A, B, C, D = PICTURES
SOURCE, DEST = "s3://reviewed/source", "s3://reviewed/dest"
ANA = {"x-seat": "1", "x-reviewer": "ana"}


def run_in_bucket(s3: S3, run: FinishedRun) -> Any:
    """The pictures of the small run, erased from bucket to bucket; the files of the store."""
    files: Any = s3.files()
    files.mkdir("reviewed")
    for path in PICTURES:
        files.pipe_file(f"reviewed/source/{path}", run.original(path))
    index.build(SOURCE, DEST, None)
    flow = delivered(erase_text(Fills((Rung("ground"),), accept=BEST)))
    record(flow, SOURCE, DEST, profiles.load("laptop"), Options())
    flow.then(Write(DEST)).run(index.read_shard(DEST, 0))
    assert ledger.compact(DEST, 0, len(PICTURES))
    write_report(DEST)
    return files


def test_a_run_in_a_bucket_is_reviewed_and_a_rejected_picture_is_the_original_again(
    s3: S3, made_run: FinishedRun, serve: Serve
) -> None:
    files = run_in_bucket(s3, made_run)

    def delivered_bytes(path: str) -> bytes:
        return bytes(files.cat_file(f"reviewed/dest/images/{path}"))

    before = {path: delivered_bytes(path) for path in PICTURES}
    assert before == {path: made_run.delivered(path) for path in PICTURES}
    server = serve(DEST)
    url = server.url.rstrip("/")
    listed = {each["path"]: each["id"] for each in requests.get(f"{url}/api/pictures", timeout=60).json()["pictures"]}
    assert set(listed) == {A, B, C, D}
    assert requests.get(f"{url}/api/pictures/{listed[A]}/before", timeout=60).content == made_run.original(A)
    assert requests.get(f"{url}/api/pictures/{listed[A]}/after", timeout=60).content == before[A]
    for _ in range(2):
        thumbnail = requests.get(f"{url}/api/pictures/{listed[A]}/thumbnail?version=1", timeout=60)
        assert thumbnail.headers["content-type"] == "image/jpeg"
    decided = [
        {"picture": listed[A], "action": "reject", "why": "a ghost is left"},
        {"picture": listed[B], "action": "accept"},
        {"picture": listed[C], "action": "redo", "rung": "telea"},
    ]
    for decision in decided:
        assert requests.post(f"{url}/api/decisions", json=decision, headers=ANA, timeout=60).status_code == 200
    server.kill()  # what was said is stored, although the server had no time to end

    done = Command()("apply", DEST)
    assert done.code == 0, done.err
    assert delivered_bytes(A) == made_run.original(A) != before[A]
    assert {path: delivered_bytes(path) for path in (B, D)} == {path: before[path] for path in (B, D)}
    assert delivered_bytes(C) != before[C]
    rows = {row["path"]: row for row in ledger.read(DEST).to_pylist()}
    assert (rows[A]["verdict"], rows[A]["reasons"]) == ("rolled_back", ["rejected_in_review"])
    assert [region["rung"] for region in rows[C]["regions"]] == ["telea"]
    assert len(rows) == len(PICTURES)
    assert b"People accept 1 of the 3 edits" in files.cat_file("reviewed/dest/report.html")
    # Nothing is left to do, and the server that comes next says so.
    again = serve(DEST)
    standing = requests.get(f"{again.url.rstrip('/')}/api/pictures?status=rejected", timeout=60).json()
    assert [each["path"] for each in standing["pictures"]] == [A]
    again.process.send_signal(signal.SIGTERM)
