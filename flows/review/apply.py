"""Carry out what people have decided, as a run that can be resumed."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from flows.reports.run_report import write_report
from flows.review.rework import Rework
from operators.ledger import ledger
from operators.ledger.decisions import Plan, applied_uri, carried_out, read_decisions, standings
from operators.ledger.lease import Lease
from operators.ledger.part import hold
from operators.pictures.provenance import Signing
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError, failure_of
from operators.storage import files as storage

COMMIT_EVERY = 16
"""Pictures that are delivered before their rows are committed; a crash repeats at most so many."""


@dataclass
class Applied:
    """What became of the pictures that decisions are about."""

    total: int = 0
    before: int = 0
    """Pictures whose decisions had been carried out before, or change nothing."""
    verdicts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, Failure | RunError]] = field(default_factory=list)
    report: str = ""

    @property
    def done(self) -> int:
        """Pictures that were delivered anew."""
        return self.verdicts.total()

    def line(self) -> str:
        """The summary in a line."""
        verdicts = "".join(f" | {count:,} {verdict}" for verdict, count in self.verdicts.most_common())
        before = f", {self.before:,} needed nothing" if self.before else ""
        failed = f" | {len(self.failures):,} not carried out" if self.failures else ""
        return f"{self.done:,} of {counted(self.total, 'picture')} delivered anew{before}{verdicts}{failed} | {self.report}"


@dataclass(frozen=True)
class Pending:
    """A picture whose delivered file is not what people have decided."""

    shard: int
    path: str
    row: pa.Table
    """Its row of the ledger."""
    plan: Plan


def pending(dest: str, applied: Applied) -> Iterator[Pending]:
    """The pictures whose delivered file is not what people have decided, shard by shard.

    Raises Failure.
    """
    held = standings(read_decisions(dest))
    files = ledger.files_by_shard(dest)
    for shard in sorted(files):
        rows = ledger.read_shard(dest, shard, files[shard])
        mask = pa.array([image_id in held for image_id in rows["image_id"].to_pylist()], pa.bool_())
        decided = rows.filter(mask)
        for number in range(len(decided)):
            row = decided.slice(number, 1)
            image_id, path, notes = (row[name][0].as_py() for name in ("image_id", "path", "notes"))
            applied.total += 1
            if held[image_id].plan.key == carried_out(notes):
                applied.before += 1
            else:
                yield Pending(shard, path, row, held[image_id].plan)


def apply_decisions(
    dest: str, signing: Signing | None = None, progress: Callable[[Applied], None] = lambda applied: None
) -> Applied:
    """Deliver every decided picture as decided, and put it into the ledger and the report.

    Each picture is stored before its row, and its row says which decisions it has, so whatever is
    interrupted is done by the same command again. Raises RunError: run_missing, nothing_decided,
    destination_in_use, or incomplete with exit code 3 if some pictures can be tried again.
    """
    dest = storage.absolute(dest)
    try:
        if not storage.exists(storage.join(dest, "run.json")):
            raise RunError("run_missing", f"{dest} holds no run")
        with hold(dest) as lease:
            applied = _apply(dest, Rework(dest, signing), lease, progress)
    except Failure as failure:
        raise RunError(failure.code, failure.message, exit_code=3) from failure
    if not applied.total:
        raise RunError("nothing_decided", f"{dest} has no decisions; cleanplate review {dest} makes some")
    return applied


def _apply(dest: str, rework: Rework, lease: Lease, progress: Callable[[Applied], None]) -> Applied:
    applied = Applied()
    for batch in _by_shard(pending(dest, applied)):
        rows: list[pa.Table] = []
        for picture in batch:
            if lease.lost.is_set():
                raise RunError("destination_in_use", "another run took this destination", 3)
            try:
                outcome = rework.carry_out(picture.row, picture.plan)
                storage.write(outcome.uri, outcome.data)
                if outcome.replaced is not None:
                    storage.remove(outcome.replaced)
            except Exception as error:
                applied.failures.append((picture.path, error if isinstance(error, RunError) else failure_of(error)))
            else:
                rows.append(outcome.row)
                applied.verdicts[outcome.row["verdict"][0].as_py()] += 1
            progress(applied)
        if rows:
            ledger.replace_rows(dest, batch[0].shard, pa.concat_tables(rows, promote_options="permissive"))
    if applied.done:
        storage.write(applied_uri(dest), uuid.uuid4().hex.encode())
    applied.report = write_report(dest)
    return applied


def _by_shard(work: Iterator[Pending]) -> Iterator[list[Pending]]:
    """The work in batches of at most COMMIT_EVERY pictures of one shard."""
    batch: list[Pending] = []
    for entry in work:
        if batch and (entry.shard != batch[0].shard or len(batch) >= COMMIT_EVERY):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch
