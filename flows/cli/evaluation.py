"""The commands that measure: evaluate, calibrate, compare and audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from cluster import profile as profiles
from flows.cli.errors import errors, one_line_errors
from flows.cli.options import Limit, Model, Preset, Seed, Source
from flows.evaluation import suite as suites
from flows.evaluation.default_suite import default_folder, default_suite
from flows.evaluation.records import EvaluatedFill
from flows.ladder import PRESETS, rungs_of
from operators.decisions import gate
from operators.models.registry import resolve
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError
from operators.storage.files import check_scheme

Suite = Annotated[Path | None, typer.Option(help="Folder of a suite. Without it, the default suite is drawn.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Set to evaluate. Without it, tune and report. May be repeated, or hold several with commas between them."
    ),
]
Buckets = Annotated[
    list[str] | None,
    typer.Option("--bucket", help="Bucket (kind of picture) to evaluate. Without it, every bucket. May be repeated."),
]
Processes = Annotated[int | None, typer.Option(min=1, help="Number of worker processes. Without it, one per core.")]


def _load_suite(folder: Path | None) -> suites.Suite:
    if folder is None:
        return default_suite(default_folder())
    try:
        return suites.load(folder)
    except ValueError as error:
        raise RunError("suite_invalid", str(error)) from None


def _chosen(suite: suites.Suite, sets: Sequence[str], buckets: Sequence[str], limit: int | None = None) -> suites.Suite:
    try:
        return suite.only(sets, buckets, limit)
    except ValueError as error:
        raise RunError("option_invalid", str(error)) from None


def evaluate_suite(
    out: Annotated[Path, typer.Option(help="Folder to write the figures, the pictures and the reports to.")],
    suite: Suite = None,
    sets: Sets = None,
    bucket: Buckets = None,
    preset: Preset = "balanced",
    model: Model = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds to try for fills that depend on chance.")] = 3,
    workers: Processes = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Evaluate only the first N of the chosen pictures.")] = None,
) -> None:
    """Evaluate the fills of a preset or model on a suite of images.

    Measures quality, legibility, continuity, naturalness, variance, failures and latency.
    """
    with one_line_errors():
        from rich.console import Console

        from flows.evaluation.evaluate import Options as EvaluationOptions
        from flows.evaluation.evaluate import evaluate
        from flows.evaluation.report import acceptance_tables, write_reports
        from flows.evaluation.tables import verdicts

        loaded_suite = _chosen(_load_suite(suite), ",".join(sets or ("tune", "report")).split(","), bucket or (), limit)
        options = EvaluationOptions(rungs_of(preset, model), seed, seeds, workers or profiles.cores())
        content = evaluate(loaded_suite, out, options)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts(content).items())
        page = write_reports(loaded_suite, out)
        for table in acceptance_tables(content):
            Console().print(table)
        measured = f"{counted(len(content['images']), 'image')}, {counted(len(content['fills']), 'fill')} measured"
        print(f"{measured} | {counts} | {page}")


def calibrate_gate(
    suite: Suite = None,
    out: Annotated[
        Path,
        typer.Option(
            help="File to write the thresholds to. A run uses those of the installed package; the last line printed names "
            "that file."
        ),
    ] = Path("gate.json"),
    target: Annotated[
        float,
        typer.Option(min=0.001, max=0.999, help="Largest share of bad edits among the accepted ones, at 95% confidence."),
    ] = 0.05,
    rungs: Annotated[
        list[str] | None,
        typer.Option(
            "--rung",
            help="Rung to calibrate. The file then holds only these. Without it, the rungs of all presets. May be repeated.",
        ),
    ] = None,
    check_promise: Annotated[
        bool, typer.Option("--check-promise", help="Also measure the set `promise`, and say whether each promise holds there.")
    ] = False,
    reviewed: Annotated[
        list[str] | None,
        typer.Option(help="Run whose edits people have reviewed: their decisions are used as well. May be repeated."),
    ] = None,
    workers: Processes = None,
) -> None:
    """Fit the thresholds of `verify` to fills whose truth is known, and say what they promise.

    Run it again whenever masks or fills change.
    """
    with one_line_errors():
        from flows.evaluation.calibrate import CHECK_SET, calibrate, check_promises, write_calibration
        from flows.reports.promise import check_in_words, promise_in_words

        loaded_suite, processes = _load_suite(suite), workers or profiles.cores()
        if check_promise:
            _chosen(loaded_suite, [CHECK_SET], ())
        chosen = tuple(dict.fromkeys(rungs or [step.model for steps in PRESETS.values() for step in steps]))
        for name in chosen:
            resolve(name)
        people = _labels_of(reviewed or ())
        try:
            content = calibrate(loaded_suite, chosen, processes, target=target, people=people)
        except ValueError as error:
            raise RunError("suite_invalid", str(error)) from None
        write_calibration(content, out)
        for rung, figures in content["rungs"].items():
            report = figures["report"]
            print(
                f"{rung}: AUC {figures['tune']['auc']:.2f} on the tuning set, {report['auc']:.2f} on the reported set; "
                f"wrongly refused {report['wrongly_refused']:.0%}; mean visible error "
                f"{report['mean_error_of_all']:.3f} -> {report['mean_error_of_kept']:.3f} | "
                + ", ".join(f"{bucket} {part['auc']:.2f}" for bucket, part in figures["report_buckets"].items())
            )
            buckets = figures["promise_buckets"].items()
            print(
                f"{rung}: {promise_in_words(figures['promise'])} | "
                + ", ".join(f"{bucket} {part['most_bad']:.0%} ({part['bad']} of {part['kept']})" for bucket, part in buckets)
            )
        if check_promise:
            try:
                checked = check_promises(loaded_suite, content, processes)
            except ValueError as error:
                raise RunError("suite_invalid", str(error)) from None
            for name, observed in checked.items():
                print(f"{name}: {check_in_words(content['rungs'][name]['promise'], observed)}")
        print(out)
        if out.resolve() != gate.PATH.resolve():
            print(f"verify does not read this file; with --out {gate.PATH} the next calibration takes effect")


def _labels_of(runs: Sequence[str]) -> list[EvaluatedFill]:
    """The fills of some runs that people have decided about; says how many there are."""
    from flows.evaluation.reviewed import reviewed_fills

    fills: list[EvaluatedFill] = []
    for dest in runs:
        try:
            found = reviewed_fills(dest)
        except Failure as failure:
            raise RunError(failure.code, failure.message, exit_code=3) from failure
        for path, failure_of_picture in found.failures:
            errors.print(f"{path}: {failure_of_picture}", markup=False)
        unclear = f", {found.unclear:,} of which nobody said which region is bad" if found.unclear else ""
        print(f"{dest}: people decided about {len(found.fills):,} fills, {found.bad:,} bad{unclear}")
        fills += found.fills
    return fills


def compare_evaluations(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of the baseline evaluation.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of the evaluation to compare with it.")],
) -> None:
    """Compare two evaluations of one suite by paired differences.

    The exit code is 1 if any figure of any bucket got worse from RUN_A to RUN_B.
    """
    from flows.evaluation.compare import compare, read
    from flows.evaluation.comparison_report import write_comparison

    with one_line_errors():
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
        print(f"{counted(len(changes), 'figure')} compared, {len(regressions)} worse | {page}")
        if regressions:
            raise typer.Exit(1)


def audit_boundaries(
    source: Source,
    out: Annotated[Path, typer.Option(help="Folder to write audit.json and audit.html to.")] = Path("audit"),
    model: Annotated[
        Path | None, typer.Option(help="Folder of a model in the layout of diffusers, to audit its autoencoder.")
    ] = None,
    limit: Limit = None,
) -> None:
    """Measure what images lose at each boundary of the pipeline.

    The exit code is 1 if any bound is broken.
    """
    with one_line_errors():
        from rich.console import Console

        from flows.audit.audit import audit, load_models
        from flows.audit.report import notes, table, write_audit

        check_scheme(source)
        with Progress(console=errors, disable=not errors.is_terminal, transient=True) as bar:
            task = bar.add_task("images", total=None)
            result = audit(
                source, str(out), load_models(model), limit, lambda result: bar.update(task, completed=len(result.measured))
            )
        page, broken = write_audit(result, out), result.broken_bounds()
        Console().print(table(result))
        for line in notes(result):
            print(line)
        for line in broken:
            print(f"broken: {line}")
        failed = "".join(f" | {count} {code}" for code, count in sorted(result.failures.items()))
        print(f"{counted(len(result.measured), 'picture')}, {counted(len(broken), 'bound')} broken{failed} | {page}")
        if broken:
            raise typer.Exit(1)
