"""The command that makes the report of a run, also of one in parts."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.errors import errors, one_line_errors
from operators.rows.counted import counted
from operators.storage.names import given


def report(
    dest: Annotated[str, typer.Argument(metavar="DEST", callback=given, help="Folder or URL of a run, or of one in parts.")],
) -> None:
    """Write DEST/report.html from the ledger, and say which parts of a run in parts are complete.

    When all are, this ends the run. The exit code is 3 as long as a part is not complete.
    """
    with one_line_errors():
        from flows.engine.merge import merge
        from flows.telemetry.summary import count_text, text_counts

        merged = merge(dest)
        counts, divided = merged.counts, len(merged.parts) > 1
        for state in merged.parts if divided else ():
            errors.print(state.line(), markup=False)
        verdicts = ", ".join(filter(None, (counted(counts.verdicts.total(), "image"), count_text(counts.verdicts))))
        codes = ", ".join(f"{code} {count}" for code, count in sorted(counts.failures.items()))
        parts = f"{merged.complete} of {counted(len(merged.parts), 'part')} complete" if divided else ""
        print(" | ".join(filter(None, (verdicts, text_counts(counts.texts), codes, parts, merged.report))))
        if merged.complete < len(merged.parts):
            raise typer.Exit(3)
