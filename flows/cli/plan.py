"""`cleanplate plan`: estimate the pools, bottleneck, hours and cost of a run before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cluster import profile as profiles
from cluster.nodes import GIBIBYTE
from flows.cli.display import time_per_image
from flows.cli.errors import errors, one_line_errors
from flows.cli.execute import cost_limit
from flows.cli.options import Allow, Model, Preset, Source
from flows.engine.settings import restricted
from flows.erase_text import erase_text
from flows.flow import Flow
from flows.ladder import Fills, rungs_of
from flows.planning.limits import calls_per_image, limits, traffic_of
from flows.planning.plan import Plan, Prices, grows, machine_count, make_plan, profile_yaml
from flows.planning.sample import draw_sample, gpu_memory, measure_stages
from operators.generators.call_account import USUAL_CALLS, CallLimits
from operators.inpaint import Inpaint
from operators.rows.counted import counted
from operators.rows.failure import RunError
from operators.storage.disposable import temporary_folder
from operators.storage.files import check_scheme
from operators.write import Write

output = Console(highlight=False, soft_wrap=True)


def plan(
    source: Source,
    images: Annotated[int, typer.Option(min=1, help="Number of images in the planned run.")],
    profile: Annotated[
        str, typer.Option(help="Profile to balance: laptop, the name of a shipped profile, or a YAML file.")
    ] = "laptop",
    preset: Preset = "balanced",
    model: Model = None,
    price: Annotated[
        list[str] | None, typer.Option(help="Price per hour: cpu=0.04 for a core, gpu=1.90 for a GPU. May be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write the balanced profile to.")] = Path("balanced.yaml"),
    allow: Allow = None,
) -> None:
    """Estimate the hours and the cost of a run from a sample of SOURCE.

    Measures the sample in every stage, and writes a profile whose pools are balanced for it.
    """
    with one_line_errors():
        prices, base_profile = parse_prices(price or []), profiles.load(profile)
        with temporary_folder("cleanplate-plan-") as work:
            # A plan must not spend money, so it asks no model over HTTP.
            fills = Fills(rungs_of(preset, model), calls=CallLimits(most_calls=0))
            flow = restricted(erase_text(fills), source, allow or ()).then(Write(f"{work}/out"))
            check_scheme(source)
            index_sample = draw_sample(source)
            measured = {}
            with Progress(console=errors, disable=not errors.is_terminal, transient=True) as bar:
                task = bar.add_task("measuring", total=len(flow.stages(base_profile)))
                for name, stage in measure_stages(flow, base_profile, index_sample.rows, work):
                    measured[name] = stage
                    bar.update(task, description=name, advance=1)
            traffic = traffic_of(index_sample.rows, work / "out", index_sample.listing_seconds)
            calls = calls_per_image(str(work / "out"))
        result = make_plan(flow, base_profile, measured, gpu_memory(), images)
        out.write_text(profile_yaml(result))
        output.print(stage_table(result))
        limits_of_fills = call_lines(flow, calls * images) or [cost_limit(flow)]
        for line in (*summary_lines(result, images, prices), *limits_of_fills):
            output.print(line, markup=False)
        output.print("estimated needs beside the workers, the scarcest first:")
        for limit in limits(images, result.best.rate, len(measured), machine_count(base_profile), traffic):
            output.print(f"  {limit.resource}: {limit.need} ({limit.share:.2%})", markup=False)
        output.print(f"balanced profile: {out}", markup=False)


def call_lines(flow: Flow, calls: float) -> list[str]:
    """What a run would send to a model over HTTP, and how often, in lines of text; none without."""
    asking = [each for each in flow.operators if isinstance(each, Inpaint) and each.is_outside]
    if not asking:
        return []
    service = asking[0].model.service
    assert service is not None
    return [
        f"sends the surroundings of each text, and its mask, to {service.host} for {service.model}: about {calls:,.0f} calls "
        f"in all, but at most those of --max-calls ({USUAL_CALLS:,} if you do not say)",
        "no call was made for this plan: it knows neither their time nor their cost",
    ]


def parse_prices(texts: list[str]) -> Prices:
    """Parse prices such as `cpu=0.04` and `gpu=1.90`. Raises RunError option_invalid."""
    prices = {}
    for text in texts:
        name, _, amount = text.partition("=")
        if name not in ("cpu", "gpu") or not amount.replace(".", "", 1).isdigit():
            raise RunError("option_invalid", f"--price {text}: expected cpu=AMOUNT or gpu=AMOUNT, a price per hour")
        prices[name] = float(amount)
    return Prices(**prices)


def stage_table(plan: Plan) -> Table:
    """Tabulate the measurements of each stage and the processes that it gets."""
    has_gpus = any(stage.gpu_memory for stage in plan.measured.values()) or any(load.gpus for load in plan.loads.values())
    heads = (
        "stage",
        "an image",
        "P95",
        "CPU",
        "memory",
        "processes",
        "cores",
        *(("GPU", "GPU MB") if has_gpus else ()),
        "busy",
    )
    table = Table(*heads, box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for name, stage in plan.measured.items():
        load, count = plan.loads[name], plan.best.processes[name]
        gpu_cells = (f"{load.gpus:.3g}" if load.gpus else "", f"{stage.gpu_memory / 1e6:.0f}" if stage.gpu_memory else "")
        table.add_row(
            name,
            time_per_image(1000 * load.seconds),
            time_per_image(1000 * sorted(stage.seconds)[int(0.95 * (len(stage.seconds) - 1))]),
            time_per_image(1000 * load.cpu_seconds),
            f"{stage.memory / 1e6:,.0f} MB",
            f"{count}",
            f"{plan.profile.stages[name].cpus:g}",
            *(gpu_cells if has_gpus else ()),
            f"{plan.best.rate * load.seconds / count:.0%}",
        )
    return table


def summary_lines(plan: Plan, images: int, prices: Prices) -> list[str]:
    """Summarise a plan for a run of `images` in lines of text."""
    count, fleet = len(next(iter(plan.measured.values())).seconds), plan.fleet
    low, high = plan.spread
    lines = [f"note: {remark}" for remark in plan.remarks]
    lines.append(
        f"measured on {counted(count, 'image')}; planned for {fleet.cores:g} cores, {fleet.gpus:g} GPUs, "
        f"{fleet.memory / GIBIBYTE:.0f} GiB" + (", the most that the profile grows to" if grows(plan.profile) else "")
    )
    lines.append(f"blocks of {counted(plan.profile.images_per_block or 0, 'image')}")
    lines.append(f"profile as given: {plan.original.rate:.3g} images/s, limited by {plan.original.limit}")
    lines.append(f"balanced: {plan.best.rate:.3g} images/s ({low:.3g} to {high:.3g}), limited by {plan.best.limit}")
    for gain in plan.gains:
        stages = f", used by {', '.join(gain.spent_on)}" if gain.spent_on else ""
        lines.append(f"one more {gain.resource}: {gain.rate:+.3g} images/s{stages}")
    hours = [plan.hours(images, rate) for rate in (None, high, low)]
    amounts = [plan.cost(duration, prices) for duration in hours]
    cost = f", at a cost of {amounts[0]:,.2f} ({amounts[1]:,.2f} to {amounts[2]:,.2f})" if amounts[0] else ""
    lines.append(f"{counted(images, 'image')}: {hours[0]:,.3g} hours ({hours[1]:,.3g} to {hours[2]:,.3g}){cost}")
    return lines
