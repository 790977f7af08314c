"""The command line: each command is a thin wrapper over a flow."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from typer.exceptions import TyperException

from cluster import profile as profiles
from flows.cli.display import show_progress
from flows.cli.errors import errors
from flows.cli.errors import one_line_errors as _one_line_errors
from flows.cli.models import models
from flows.cli.plan import plan
from flows.cli.submit import submit
from flows.engine.fill_rates import rates_for
from flows.engine.run import run
from flows.engine.settings import Options
from flows.enlarge import SCALES, enlarge, paper_of
from flows.erase_text import erase_text, inpaint_masks
from flows.evaluation import suite as suites
from flows.flow import Flow, FlowError
from flows.ladder import PRESETS, Fills, Rung, rungs_of
from operators.decisions import gate
from operators.decisions.budget import Budget
from operators.generators.classical import CLASSICAL
from operators.pictures.codec import Limits
from operators.rows.failure import RunError
from operators.upscalers.catalogue import UPSCALERS, upscaler
from operators.upscalers.enlargement import Routing

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="Clean plates of millions of images."
)
app.add_typer(models, name="models")
app.command("plan")(plan)
app.command("submit", context_settings={"allow_interspersed_args": False})(submit)

Source = Annotated[
    str,
    typer.Argument(
        help="Folder, glob, or an fsspec URL such as s3://bucket/prefix; or a manifest: Parquet, CSV or JSON lines with a "
        "`uri` column, or Parquet with the images inside (FILE.parquet#column=NAME if it has several columns of images)."
    ),
]
Dest = Annotated[
    str, typer.Argument(metavar="DEST", help="Folder or URL that receives images/, ledger/, run.json and report.html.")
]
Preset = Annotated[str, typer.Option(help=f"The ladder of fills: {', '.join(PRESETS)}.")]
Model = Annotated[
    str | None,
    typer.Option(help="One model instead of a preset's ladder: an alias of `cleanplate models list`, a folder or a URL."),
]
Prompt = Annotated[str, typer.Option(help="Your own words about what should be behind the text, for models that are told.")]
BudgetMs = Annotated[
    float | None, typer.Option("--budget-ms", min=0, help="Milliseconds that the fills of one image may cost, by prediction.")
]
ProfileName = Annotated[str, typer.Option("--profile", help="Resource profile: laptop, a shipped name, or a YAML file.")]
Seed = Annotated[int, typer.Option(help="The run's seed; every region's own seed follows from it.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N images of the listing.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes per pool, instead of the profile's.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget an earlier run into DEST and start over.")]
MaxPixels = Annotated[int, typer.Option(min=1, help="Images with more pixels are delivered unedited.")]
MaxBytes = Annotated[int, typer.Option(min=1, help="Files with more bytes are delivered unedited.")]


def _fills(rungs: tuple[Rung, ...], dest: str, seed: int, prompt: str, budget_ms: float | None, fresh: bool) -> Fills:
    budget = None if budget_ms is None else Budget(budget_ms, rates_for(dest, rungs, fresh))
    return Fills(rungs, seed, prompt, budget)


def _execute(flow: Flow, source: str, dest: str, profile: str, workers: int | None, options: Options) -> None:
    chosen = profiles.load(profile)
    if workers is not None:
        chosen = chosen.with_workers(workers)
    with show_progress(errors) as update:
        summary = run(flow, source, dest, chosen, options, update)
    print(summary.line())


@app.command()
def erase(
    source: Source,
    dest: Dest,
    preset: Preset = "balanced",
    model: Model = None,
    prompt: Prompt = "",
    budget_ms: BudgetMs = None,
    profile: ProfileName = "laptop",
    seed: Seed = 0,
    limit: Limit = None,
    workers: Workers = None,
    fresh: Fresh = False,
    max_pixels: MaxPixels = Limits.max_pixels,
    max_bytes: MaxBytes = Limits.max_bytes,
) -> None:
    """Remove text from every image of SOURCE into DEST."""
    with _one_line_errors():
        fills = _fills(rungs_of(preset, model), dest, seed, prompt, budget_ms, fresh)
        flow = erase_text(fills, Limits(max_pixels, max_bytes))
        _execute(flow, source, dest, profile, workers, Options(seed, limit, fresh))


@app.command()
def inpaint(
    source: Source,
    dest: Dest,
    masks: Annotated[str, typer.Option(help="Folder or URL with, for each source, a mask of the same relative path.")],
    preset: Preset = "balanced",
    model: Model = None,
    prompt: Prompt = "",
    budget_ms: BudgetMs = None,
    profile: ProfileName = "laptop",
    seed: Seed = 0,
    limit: Limit = None,
    workers: Workers = None,
    fresh: Fresh = False,
    max_pixels: MaxPixels = Limits.max_pixels,
    max_bytes: MaxBytes = Limits.max_bytes,
) -> None:
    """Regenerate what given masks cover."""
    with _one_line_errors():
        fills = _fills(rungs_of(preset, model), dest, seed, prompt, budget_ms, fresh)
        flow = inpaint_masks(masks, fills, Limits(max_pixels, max_bytes))
        _execute(flow, source, dest, profile, workers, Options(seed, limit, fresh))


@app.command("enlarge")
def enlarge_pictures(
    source: Source,
    dest: Dest,
    scale: Annotated[
        int | None, typer.Option(help=f"How many times as wide and high: {' or '.join(map(str, SCALES))}.")
    ] = None,
    paper: Annotated[str | None, typer.Option("--print", help="Or the paper to fill, such as 20x30cm.")] = None,
    dpi: Annotated[float, typer.Option(min=1, help="Dots per inch of the print.")] = 300,
    model: Annotated[
        str, typer.Option(help=f"What works on texture: {', '.join(UPSCALERS)}, or a diffusion upscaler.")
    ] = Routing.model,
    threshold: Annotated[
        float, typer.Option(min=0, help="Loss by resampling, in grey levels, from which a block goes to the model.")
    ] = Routing.threshold,
    profile: ProfileName = "laptop",
    limit: Limit = None,
    workers: Workers = None,
    fresh: Fresh = False,
    max_pixels: MaxPixels = Limits.max_pixels,
    max_bytes: MaxBytes = Limits.max_bytes,
) -> None:
    """Enlarge every image of SOURCE into DEST, by a factor or to a print size."""
    with _one_line_errors():
        if (scale is None) == (paper is None):
            raise RunError("option_invalid", "give either --scale or --print")
        if scale is not None and scale not in SCALES:
            raise RunError("option_invalid", f"--scale {scale}: there are {', '.join(map(str, SCALES))}")
        upscaler(model, float(scale or 1))
        flow = enlarge(
            float(scale or 1),
            None if paper is None else paper_of(paper, dpi),
            Routing(model, threshold),
            Limits(max_pixels, max_bytes),
        )
        _execute(flow, source, dest, profile, workers, Options(limit=limit, fresh=fresh))


@app.command("run")
def run_file(
    flow: Annotated[str, typer.Argument(metavar="FILE.py:FLOW", help="A Python file and the name of a Flow in it.")],
    source: Source,
    dest: Dest,
    profile: ProfileName = "laptop",
    seed: Seed = 0,
    limit: Limit = None,
    workers: Workers = None,
    fresh: Fresh = False,
) -> None:
    """Run a flow of your own."""
    with _one_line_errors():
        _execute(load_flow(flow), source, dest, profile, workers, Options(seed, limit, fresh))


Suite = Annotated[Path | None, typer.Option(help="A suite's folder; the default suite is drawn if none is given.")]


def _suite(folder: Path | None) -> suites.Suite:
    if folder is None:
        return suites.default_suite(suites.default_folder())
    try:
        return suites.load(folder)
    except ValueError as error:
        raise RunError("suite_invalid", str(error)) from None


@app.command("evaluate")
def evaluate_suite(
    out: Annotated[Path, typer.Option(help="Folder that receives the figures, the pictures and the reports.")],
    suite: Suite = None,
    preset: Preset = "balanced",
    model: Model = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds by which random fills are tried.")] = 3,
    workers: Workers = None,
) -> None:
    """Measure quality, legibility, continuity, naturalness, variance, failures and latency on a suite."""
    with _one_line_errors():
        from flows.evaluation.evaluate import Options as EvaluationOptions
        from flows.evaluation.evaluate import evaluate, verdicts
        from flows.evaluation.report import write_reports

        chosen = _suite(suite)
        content = evaluate(chosen, out, EvaluationOptions(rungs_of(preset, model), seed, seeds, workers or profiles.cores()))
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts(content).items())
        print(
            f"{len(content['images'])} images, {len(content['fills'])} fills measured | {counts} | {write_reports(chosen, out)}"
        )


@app.command()
def calibrate(
    suite: Suite = None,
    out: Annotated[Path, typer.Option(help="Where the thresholds go; by default, where `verify` reads them.")] = gate.PATH,
    workers: Workers = None,
) -> None:
    """Fit the gate of `verify` to fills whose truth is known; run again whenever masks or fills change."""
    with _one_line_errors():
        from flows.evaluation.calibrate import calibrate, write_calibration

        try:
            content = calibrate(_suite(suite), (*CLASSICAL, "builtin"), workers or profiles.cores())
        except ValueError as error:
            raise RunError("suite_invalid", str(error)) from None
        write_calibration(content, out)
        for rung, figures in content["rungs"].items():
            report = figures["report"]
            print(
                f"{rung}: AUC {figures['tune']['auc']:.2f} on the tuning set, {report['auc']:.2f} on the reported set; "
                f"wrongly refused {report['wrongly_refused']:.0%}; mean perceptual distance "
                f"{report['mean_distance_of_all']:.3f} -> {report['mean_distance_of_kept']:.3f} | "
                + ", ".join(f"{bucket} {part['auc']:.2f}" for bucket, part in figures["report_buckets"].items())
            )
        print(out)


@app.command("compare")
def compare_evaluations(
    run_a: Annotated[Path, typer.Argument(help="Folder of the evaluation that stands.")],
    run_b: Annotated[Path, typer.Argument(help="Folder of the evaluation that would take its place.")],
) -> None:
    """Compare two evaluations pair by pair; exit code 1 if any figure of any bucket got worse."""
    from flows.evaluation.compare import compare, read
    from flows.evaluation.comparison_report import write_comparison

    with _one_line_errors():
        try:
            first, second = read(run_a), read(run_b)
            changes = compare(first, second)
        except ValueError as error:
            raise RunError("comparison_invalid", str(error)) from None
        regressions = [change for change in changes if change.regression]
        for change in regressions:
            print(
                f"worse: {change.figure} of {change.rung}, bucket {change.bucket}, set {change.set}: "
                f"{change.before:.3g} -> {change.after:.3g} "
                f"({change.difference:+.3g}, 95 % {change.low:+.3g} to {change.high:+.3g}, {change.pairs} pairs)"
            )
        page = write_comparison(run_a, run_b, first, second, changes)
        print(f"{len(changes)} figures compared, {len(regressions)} worse | {page}")
        if regressions:
            raise typer.Exit(1)


@app.command("audit")
def audit_boundaries(
    source: Source,
    out: Annotated[Path, typer.Option(help="Folder that receives audit.json and audit.html.")] = Path("build/audit"),
    model: Annotated[Path | None, typer.Option(help="A model's folder in diffusers' layout, for its autoencoder.")] = None,
    limit: Limit = None,
) -> None:
    """Measure what is lost at each boundary of the pipeline; exit code 1 if any bound is broken."""
    with _one_line_errors():
        from rich.console import Console

        from flows.audit.audit import audit, models
        from flows.audit.report import table, write_audit

        with Progress(console=errors, disable=not errors.is_terminal, transient=True) as bar:
            task = bar.add_task("images", total=None)
            result = audit(
                source, str(out), models(model), limit, lambda found: bar.update(task, completed=len(found.measured))
            )
        page, broken = write_audit(result, out), result.broken_bounds()
        Console(width=170).print(table(result))
        for line in broken:
            print(f"broken: {line}")
        failed = "".join(f" | {count} {code}" for code, count in sorted(result.failures.items()))
        print(f"{len(result.measured)} pictures, {len(broken)} bounds broken{failed} | {page}")
        if broken:
            raise typer.Exit(1)


def load_flow(reference: str) -> Flow:
    """The Flow that FILE.py:NAME names. Raises RunError flow_missing, or FlowError from the file's own flow."""
    file, _, name = reference.rpartition(":")
    path = Path(file)
    if not name or not path.is_file():
        raise RunError("flow_missing", f"{reference} is not FILE.py:FLOW with a file that exists")
    name_in_python = f"user_flow_{path.stem}"
    specification = importlib.util.spec_from_file_location(name_in_python, path)
    if specification is None or specification.loader is None:
        raise RunError("flow_missing", f"{file} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name_in_python] = module
    try:
        specification.loader.exec_module(module)
    except FlowError:
        raise
    except Exception as error:
        raise RunError("flow_invalid", f"{file}: {type(error).__name__}: {error}") from error
    flow = getattr(module, name, None)
    if not isinstance(flow, Flow):
        raise RunError("flow_missing", f"{file} has no Flow named {name!r}")
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    return flow


def main() -> None:
    """Entry point of the `cleanplate` command: wrong usage is one line and exit code 2, like every other error."""
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
        errors.print(f"error: option_invalid: {message}", markup=False)
        code = 2
    except typer.Abort:
        errors.print("error: interrupted: the same command takes up where this run ended")
        code = 3
    sys.exit(code or 0)
