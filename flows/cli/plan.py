"""`cleanplate plan`: pools, bottleneck, hours and cost of a run before it starts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cluster import profile as profiles
from cluster.nodes import GIBIBYTE
from flows.cli.errors import errors, one_line_errors
from flows.cli.options import Model, Preset
from flows.erase_text import erase_text
from flows.ladder import Fills, rungs_of
from flows.planning.limits import limits, traffic_of
from flows.planning.plan import Plan, Prices, grows, machine_count, make_plan, profile_yaml
from flows.planning.sample import gpu_memory, measure_stages, sample
from operators.rows.failure import RunError
from operators.write import Write

output = Console(highlight=False, soft_wrap=True)


def plan(
    source: Annotated[str, typer.Argument(help="Folder, glob, Parquet manifest or URL to draw a sample from.")],
    images: Annotated[int, typer.Option(min=1, help="Number of images in the planned run.")],
    profile: Annotated[
        str, typer.Option(help="Profile to balance: laptop, the name of a shipped one, or a YAML file.")
    ] = "laptop",
    preset: Preset = "balanced",
    model: Model = None,
    price: Annotated[list[str] | None, typer.Option(help="Price of an hour: cpu=0.04 for a core, gpu=1.90 for a GPU.")] = None,
    out: Annotated[Path, typer.Option(help="File that receives the balanced profile.")] = Path("balanced.yaml"),
) -> None:
    """Measure a sample of SOURCE, balance a profile for it, and estimate the hours and the cost
    of a run.
    """
    with one_line_errors():
        prices, chosen = prices_of(price or []), profiles.load(profile)
        with tempfile.TemporaryDirectory(prefix="cleanplate-plan-") as work:
            flow = erase_text(Fills(rungs_of(preset, model))).then(Write(f"{work}/out"))
            drawn = sample(source)
            found = {}
            with Progress(console=errors, disable=not errors.is_terminal, transient=True) as bar:
                task = bar.add_task("measuring", total=len(flow.stages(chosen)))
                for name, one in measure_stages(flow, chosen, drawn.rows, Path(work)):
                    found[name] = one
                    bar.update(task, description=name, advance=1)
            traffic = traffic_of(drawn.rows, Path(work) / "out", drawn.listing_seconds)
        result = make_plan(flow, chosen, found, gpu_memory(), images)
        out.write_text(profile_yaml(result))
        output.print(table(result))
        for line in lines(result, images, prices):
            output.print(line, markup=False)
        output.print("beside the workers, on paper, the scarcest first:")
        for limit in limits(images, result.best.rate, len(found), machine_count(chosen), traffic):
            output.print(f"  {limit.what}: {limit.need} ({limit.share:.2%})", markup=False)
        output.print(f"balanced profile: {out}", markup=False)


def prices_of(texts: list[str]) -> Prices:
    """Prices from `cpu=0.04` and `gpu=1.90`. Raises RunError option_invalid."""
    found = {}
    for text in texts:
        name, _, amount = text.partition("=")
        if name not in ("cpu", "gpu") or not amount.replace(".", "", 1).isdigit():
            raise RunError("option_invalid", f"--price {text}: write cpu=AMOUNT or gpu=AMOUNT, an hour's price of one")
        found[name] = float(amount)
    return Prices(**found)


def table(plan: Plan) -> Table:
    """What was measured of each stage, and the processes that it gets."""
    drawn = Table("stage", "ms/image", "P95", "of it core", "MB", "GPU MB", "processes", "cores each", "GPU each", "busy")
    for column in drawn.columns[1:]:
        column.justify = "right"
    for name, one in plan.measured.items():
        load, count = plan.loads[name], plan.best.processes[name]
        drawn.add_row(
            name,
            f"{1000 * load.seconds:.1f}",
            f"{1000 * sorted(one.seconds)[int(0.95 * (len(one.seconds) - 1))]:.1f}",
            f"{1000 * load.cpu_seconds:.1f}",
            f"{one.memory / 1e6:.0f}",
            f"{one.gpu_memory / 1e6:.0f}" if one.gpu_memory else "",
            f"{count}",
            f"{plan.profile.stages[name].cpus:g}",
            f"{load.gpus:.3g}" if load.gpus else "",
            f"{plan.best.rate * load.seconds / count:.0%}",
        )
    return drawn


def lines(plan: Plan, images: int, prices: Prices) -> list[str]:
    """What the plan comes to, as sentences."""
    count, fleet = len(next(iter(plan.measured.values())).seconds), plan.fleet
    low, high = plan.spread
    found = [f"note: {remark}" for remark in plan.remarks]
    found.append(
        f"measured on {count} images; planned for {fleet.cores:g} cores, {fleet.gpus:g} GPUs, {fleet.memory / GIBIBYTE:.0f} GiB"
        + (", as many as the profile grows to" if grows(plan.profile) else "")
    )
    found.append(f"blocks of {plan.profile.images_per_block} images")
    found.append(f"as the profile is: {plan.given.rate:.3g} images/s, held by {plan.given.limit}")
    found.append(f"balanced: {plan.best.rate:.3g} images/s ({low:.3g} to {high:.3g}), held by {plan.best.limit}")
    for gain in plan.gains:
        spent = f", for {', '.join(gain.spent_on)}" if gain.spent_on else ""
        found.append(f"one more {gain.resource}: {gain.rate:+.3g} images/s{spent}")
    hours = [plan.hours(images, rate) for rate in (None, high, low)]
    amounts = [plan.cost(each, prices) for each in hours]
    cost = f", at a cost of {amounts[0]:,.2f} ({amounts[1]:,.2f} to {amounts[2]:,.2f})" if amounts[0] else ""
    found.append(f"{images:,} images: {hours[0]:,.3g} hours ({hours[1]:,.3g} to {hours[2]:,.3g}){cost}")
    return found
