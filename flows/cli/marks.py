"""`cleanplate marks`: find the marks that a whole collection carries."""

from __future__ import annotations

from typing import Annotated

import typer

from cluster import profile as profiles
from flows.cli.errors import errors, one_line_errors
from flows.cli.options import Source
from flows.engine.collection import collect, read_sample
from flows.reports.marks_page import PAGE, write_marks
from operators.marks.collection import find_marks_of
from operators.marks.statistics import Sample
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage


def marks(
    source: Source,
    out: Annotated[
        str,
        typer.Option(
            "--out", metavar="MARKS", help="Folder or URL to write the marks to, as PNG with alpha, for `erase --mark`."
        ),
    ],
    limit: Annotated[int, typer.Option(min=1, help="Look at the first N images of the listing.")] = 2000,
    profile: Annotated[
        str, typer.Option("--profile", help="Resource profile: laptop, the name of a shipped profile, or a YAML file.")
    ] = "laptop",
) -> None:
    """Find the translucent marks that many images of SOURCE carry, and write them to MARKS."""
    with one_line_errors():
        try:
            storage.check_reachable(out)
            statistics = collect(source, out, limit, profiles.load(profile), _show)
            found = find_marks_of(statistics, read_sample)
            write_marks(out, source, statistics, found, lambda uri: read_sample(Sample.of(uri, None)))
        except Failure as failure:
            raise RunError(failure.code, failure.message, exit_code=3) from failure
        counts = "; ".join(f"{one.mark.name} in {one.share:.0%}" for one in found)
        failed = sum(statistics.failures.values())
        lost = f" | {failed} not counted: {', '.join(sorted(statistics.failures))}" if failed else ""
        page = storage.join(out, PAGE)
        what = f"{counted(len(found), 'mark')} in {counted(statistics.pictures, 'picture')}"
        print(f"{what}{': ' if counts else ''}{counts}{lost} | {page}")


def _show(pictures: int) -> None:
    errors.print(f"{counted(pictures, 'picture')} measured", markup=False)
