"""The command `preview`: what would go and what would stay, before a run."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from flows.cli.errors import one_line_errors
from flows.cli.options import Allow, Detector, SizeOptions, Source, with_options
from flows.cli.selection import SelectOptions
from flows.engine.settings import restricted
from flows.find_text import look_for_text
from flows.preview import look_at, render_preview
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage
from operators.storage.listing import list_source, require_images


@with_options
def preview(
    source: Source,
    size: SizeOptions,
    select: SelectOptions,
    detector: Detector = "",
    limit: Annotated[int, typer.Option(min=1, help="Look at the first N images of the listing.")] = 12,
    out: Annotated[str, typer.Option(help="File or URL of the page.")] = "preview.html",
    allow: Allow = None,
) -> None:
    """Show what would go and what would stay in the first images of SOURCE, on one page."""
    with one_line_errors():
        choice = select.choice(source)
        flow = restricted(look_for_text(limits=size.limits, detector=detector, choice=choice), source, allow or ())
        for operator in flow.operators:
            operator.check()
        try:
            require_images(source, out)
            images = islice(list_source(source, out), limit)
            sheets = list(look_at(flow, images, size.limits))
            storage.write(out, render_preview(source, sheets).encode())
        except Failure as failure:
            raise RunError(failure.code, failure.message, exit_code=3) from failure
        going = sum(sheet.going for sheet in sheets)
        staying = sum(len(sheet.texts) for sheet in sheets) - going
        print(f"{counted(len(sheets), 'image')}: {counted(going, 'text')} would go, {staying} would stay | {out}")
