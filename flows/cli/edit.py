"""The commands that edit images: erase, inpaint, enlarge and run."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from flows.cli.errors import one_line_errors
from flows.cli.execute import execute
from flows.cli.flow_file import load_flow
from flows.cli.options import (
    Dest,
    Detector,
    FileOptions,
    FillOptions,
    FormatOptions,
    PageOptions,
    RunOptions,
    SizeOptions,
    Source,
    with_options,
)
from flows.cli.selection import SelectOptions
from flows.engine.fill_rates import rates_for
from flows.enlarge import SCALES, enlarge_pictures, parse_paper
from flows.erase_text import cover_masks, cover_text, delivered, erase_text, inpaint_masks
from flows.find_text import find_text
from flows.ladder import BEST, GATE, Fills, rungs_of, second_look
from flows.reports.findings import export_findings
from flows.same_pixels import BYTES, share_results
from operators.decisions.budget import USUAL_BUDGET, Budget
from operators.generators.covers import COVERS
from operators.ledger.part import WHOLE
from operators.models.service import is_service
from operators.rows.failure import RunError
from operators.upscalers.catalogue import UPSCALERS, find_upscaler
from operators.upscalers.enlargement import Routing

Cover = Annotated[
    str | None,
    typer.Option(
        "--fill",
        help=f"Cover what is to go so that nobody can recover it, instead of continuing the picture: {', '.join(COVERS)}.",
    ),
]
Same = Annotated[
    str,
    typer.Option(
        help="Which images are worked once, the others getting the result of the first. bytes: files of the same bytes. "
        "pixels: files that show the same pixels, which keep their own metadata; every image is decoded once more."
    ),
]


@with_options
def erase(
    source: Source,
    dest: Dest,
    fill: FillOptions,
    options: RunOptions,
    size: PageOptions,
    select: SelectOptions,
    file: FileOptions,
    accept: Annotated[
        str,
        typer.Option(
            help="What to do with a text when every fill of it fails a check. gate: keep the text. "
            "best: deliver the best fill, and record the doubts."
        ),
    ] = GATE,
    detector: Detector = "",
    same: Same = BYTES,
    cover: Cover = None,
    mark: Annotated[
        str,
        typer.Option(
            help="Picture of a known mark to remove as well, or a folder of such pictures, as `cleanplate marks` writes it. "
            "A PNG with alpha is best. The mark is found at any place and opacity, alone or tiled."
        ),
    ] = "",
    see_through: Annotated[
        bool,
        typer.Option(
            "--see-through",
            help="Also recover the picture below translucent texts that no --mark describes. Where it works, the result is "
            "better than a fill; but parts of letters may stay, so look at the result.",
        ),
    ] = False,
) -> None:
    """Remove text from every image of SOURCE and write it to DEST."""
    with one_line_errors():
        _refuse_two_names(file, options)
        choice = select.choice(source)
        if cover is None:
            fills = replace(_build_fills(fill, dest, options.fresh, accept), see_through=see_through)
            flow = erase_text(fills, size.limits, detector, choice, mark)
        else:
            flow = cover_text(_refuse_models(cover, fill), fill.seed, size.limits, detector, choice, mark)
        flow = share_results(delivered(flow, file.previews, file.signing, file.to_format), same)
        execute(flow, source, dest, options, fill.seed, file.collection)


@with_options
def find(
    source: Source,
    dest: Annotated[
        str,
        typer.Argument(metavar="DEST", help="Folder or URL to write findings/, coco.json, masks/, ledger/ and run.json to."),
    ],
    options: RunOptions,
    size: PageOptions,
    select: SelectOptions,
    read: Annotated[bool, typer.Option("--read", help="Read each text too, and record what it says.")] = False,
    masks: Annotated[bool, typer.Option("--masks/--no-masks", help="Write a mask of each image's text to DEST/masks.")] = True,
    detector: Detector = "",
    same: Same = BYTES,
) -> None:
    """Find text in every image of SOURCE, and record in DEST where it is. Nothing is edited."""
    with one_line_errors():
        flow = find_text(dest, read, masks, size.limits, detector, select.choice(source))
        execute(share_results(flow, same), source, dest, options)
        if options.share == WHOLE and not options.dry_run:
            export_findings(dest)


@with_options
def inpaint(
    source: Source,
    dest: Dest,
    masks: Annotated[str, typer.Option(help="Folder or URL with a mask for each source image, at the same relative path.")],
    fill: FillOptions,
    options: RunOptions,
    size: PageOptions,
    file: FileOptions,
    mask_name: Annotated[
        str | None,
        typer.Option(
            help="Name of each mask, such as {stem}_mask.png. {stem} is the image's relative path without its ending, {name} "
            "with it. Without the option, masks have the names of their images."
        ),
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Where every fill fails a check, keep the original pixels instead of the best fill.")
    ] = False,
    cover: Cover = None,
) -> None:
    """Fill the masked parts of every image of SOURCE and write it to DEST."""
    with one_line_errors():
        _refuse_two_names(file, options)
        if cover is None:
            fills = _build_fills(fill, dest, options.fresh, GATE if gate else BEST)
            flow = inpaint_masks(masks, fills, size.limits, mask_name)
        else:
            flow = cover_masks(masks, _refuse_models(cover, fill), fill.seed, size.limits, mask_name)
        execute(delivered(flow, file.previews, file.signing, file.to_format), source, dest, options, fill.seed, file.collection)


@with_options
def enlarge(
    source: Source,
    dest: Dest,
    options: RunOptions,
    size: SizeOptions,
    file: FormatOptions,
    scale: Annotated[
        int | None,
        typer.Option(help=f"Factor for the width and the height: {' or '.join(map(str, SCALES))}. Give --scale or --print."),
    ] = None,
    paper: Annotated[
        str | None, typer.Option("--print", help="Paper size to fill, instead of a factor, such as 20x30cm.")
    ] = None,
    dpi: Annotated[float, typer.Option(min=1, help="Resolution of --print in dots per inch.")] = 300,
    model: Annotated[
        str, typer.Option(help=f"Model for textured blocks: {', '.join(UPSCALERS)}, or a diffusion upscaler.")
    ] = Routing.model,
    threshold: Annotated[
        float, typer.Option(min=0, help="Blocks go to the model if resampling would lose more than this many grey levels.")
    ] = Routing.threshold,
) -> None:
    """Enlarge every image of SOURCE by a factor or to a print size, and write it to DEST."""
    with one_line_errors():
        _refuse_two_names(file, options)
        if (scale is None) == (paper is None):
            raise RunError("option_invalid", "give either --scale or --print")
        if scale is not None and scale not in SCALES:
            raise RunError("option_invalid", f"--scale {scale}: choose from {', '.join(map(str, SCALES))}")
        factor = float(scale or 1)
        find_upscaler(model, factor)
        print_size = None if paper is None else parse_paper(paper, dpi)
        flow = enlarge_pictures(factor, print_size, Routing(model, threshold), size.limits, file.signing, file.to_format)
        execute(flow, source, dest, options, collection=file.collection)


@with_options
def run_file(
    flow: Annotated[str, typer.Argument(metavar="FILE.py:FLOW", help="Python file and the name of a Flow in it.")],
    source: Source,
    dest: Dest,
    options: RunOptions,
) -> None:
    """Run your own flow from a Python file over every image of SOURCE."""
    with one_line_errors():
        execute(load_flow(flow), source, dest, options)


def _refuse_two_names(file: FormatOptions, options: RunOptions) -> None:
    """Raise RunError if one option names the outputs and another adds endings to them."""
    if file.to_format is not None and options.output_column is not None:
        raise RunError("option_invalid", "--to-format adds an ending to names, and --output-column gives whole names: use one")


def _refuse_models(cover: str, fill: FillOptions) -> str:
    """The value of --fill. Raises RunError for options of models beside it, which needs none."""
    if fill != FillOptions(seed=fill.seed):
        raise RunError("option_invalid", f"--fill {cover} needs no --preset, --model, --prompt, --budget-ms or calls")
    return cover


def _build_fills(fill: FillOptions, dest: str, fresh: bool, accept: str) -> Fills:
    rungs = rungs_of(fill.preset, fill.model)
    calls = fill.calls(fill.model is not None and is_service(fill.model))
    budget = USUAL_BUDGET
    if fill.budget_ms is not None:
        budget = Budget(fill.budget_ms, rates_for(dest, (*rungs, *second_look(rungs)), fresh))
    return Fills(rungs, fill.seed, fill.prompt, budget, accept, calls=calls)
