"""The end of a run in parts: one record and one report of all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from flows.engine.packing import pack
from flows.reports.findings import export_findings
from flows.reports.parts import PartState, part_states
from flows.reports.run_report import write_report
from operators.ledger import ledger
from operators.ledger.counts import Counts, count_finished
from operators.ledger.part import hold
from operators.record import Record
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage


@dataclass(frozen=True)
class Merged:
    """The report of a run, and what it found in the ledger."""

    report: str
    """Its address."""
    counts: Counts
    parts: list[PartState]
    """The state of every part; an undivided run is one part."""

    @property
    def complete(self) -> int:
        """How many parts have nothing left to do."""
        return sum(state.complete for state in self.parts)


def merge(dest: str) -> Merged:
    """Write the report of a run from its ledger, and say which of its parts are complete.

    If all are, run.json gets what a run records at its end, a run of `find` its findings, and one
    with `--to` its collection.
    Raises RunError run_missing, and destination_in_use if a run goes on in a complete destination.
    """
    dest = storage.absolute(dest)
    try:
        if not storage.exists(storage.join(dest, "run.json")):
            raise RunError("run_missing", f"{dest} holds no run")
        states = part_states(dest)
        if all(state.complete for state in states):
            with hold(dest):
                _complete(dest, states)
                return _report(dest, states)
        return _report(dest, states)
    except Failure as failure:
        raise RunError(failure.code, failure.message, exit_code=3) from failure


def _complete(dest: str, states: list[PartState]) -> None:
    """Record what the parts left out and spent, and write the collection or the findings."""
    uri = storage.join(dest, "run.json")
    content = json.loads(storage.read(uri))
    records = [state.finished for state in states if state.finished is not None]
    if records:
        # Every part lists the whole source and counts all calls, so the last one to end knows most.
        last = max(records, key=lambda record: str(record["finished"]))
        content |= {"left_out": last["left_out"]} | ({"calls": last["calls"]} if last["calls"] else {})
        storage.write(uri, json.dumps(content, indent=2).encode())
    if content.get("to"):
        pack(dest, content["to"], content["source"])
    if content["settings"][-1]["operator"] == Record(dest).name:
        export_findings(dest)


def _report(dest: str, states: list[PartState]) -> Merged:
    report = write_report(dest)
    return Merged(report, count_finished(dest, ledger.files_by_shard(dest)), states)
