"""Execute a run as the options of the command line say: quietly, as JSON, or only in words."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from cluster import profile as profiles
from cluster.profile import Profile
from flows.cli.display import duration, show_progress
from flows.cli.errors import errors
from flows.cli.options import RunOptions
from flows.engine.forecast import Forecast
from flows.engine.packing import check_collection
from flows.engine.places import check_allowed, check_places
from flows.engine.run import run
from flows.engine.settings import Options, check_settings, restricted
from flows.flow import Flow
from flows.telemetry.summary import Summary
from operators.decisions.budget import USUAL_BUDGET
from operators.inpaint import Inpaint
from operators.ledger import ledger
from operators.ledger.id_lookup import IdSet, hashes
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage
from operators.storage.left_out import LeftOut
from operators.storage.listing import list_source, require_images
from operators.write import Write

WORKERS_PER_CORE = 4
"""The most workers on one core of this machine; each computes on one thread."""
JSON_SECONDS = 1.0
"""Seconds between two lines of progress."""


def execute(flow: Flow, source: str, dest: str, options: RunOptions, seed: int = 0, collection: str | None = None) -> None:
    """Run a flow, and print its summary. Raises RunError, FlowError and ProfileError."""
    profile = load_profile(options)
    settings = Options(
        seed, options.limit, options.fresh, options.intake, tuple(options.allow or ()), options.share, collection
    )
    if options.dry_run:
        print_dry_run(flow, source, dest, profile, settings, options.json)
        return
    with _progress(options, cost_note(flow)) as update:
        summary = run(flow, source, dest, profile, settings, update, _say_forecast(options))
    if options.json:
        print_json("summary", summary.figures())
    elif not options.quiet:
        print(summary.line())


def load_profile(options: RunOptions) -> Profile:
    """The profile of a run with the number of workers that the options ask for.

    Raises RunError option_invalid for more workers than this machine can use, and ProfileError.
    """
    profile = profiles.load(options.profile)
    if options.workers is None:
        return profile
    cores = profiles.cores()
    if not os.environ.get("RAY_ADDRESS") and options.workers > WORKERS_PER_CORE * cores:
        most = WORKERS_PER_CORE * cores
        raise RunError(
            "option_invalid", f"--workers {options.workers}: this machine has {cores} cores, for at most {most} workers"
        )
    return profile.with_workers(options.workers)


def cost_limit(flow: Flow) -> str:
    """What bounds the cost of one image's fills, in a sentence.

    It is empty for a flow that fills nothing.
    """
    fills = [operator for operator in flow.operators if isinstance(operator, Inpaint)]
    if not fills:
        return ""
    calls = call_limit(flow)
    if all(fill.is_outside for fill in fills):
        return calls
    fills = [fill for fill in fills if not fill.is_outside]
    return "; ".join(filter(None, (_time_limit(fills), calls)))


def call_limit(flow: Flow) -> str:
    """What a flow sends to models over HTTP, where to, and how often at most, in a sentence.

    It is empty for a flow that asks none.
    """
    asking = {each.model.alias: each for each in flow.operators if isinstance(each, Inpaint) and each.is_outside}
    return "; ".join(_call_limit(each) for each in asking.values())


def _call_limit(fill: Inpaint) -> str:
    limits, service = fill.calls, fill.model.service
    assert service is not None
    most = [] if limits.most_calls is None else [f"at most {counted(limits.most_calls, 'call')}"]
    if limits.call_cost:
        most.append(f"{limits.call_cost:g} a call")
    if limits.most_cost is not None:
        most.append(f"at most {limits.most_cost:g} together")
    bounds = ", ".join(most) or "no limit on calls"
    return f"sends the surroundings of each text or mask, and the mask, to {service.host} for {service.model}: {bounds}"


def _time_limit(fills: Sequence[Inpaint]) -> str:
    """What bounds how long the fills of one image may take, in a sentence."""
    unbounded = [fill.name for fill in fills if not _is_bounded(fill)]
    if unbounded:
        names = ", ".join(dict.fromkeys(unbounded))
        return f"no limit on how long {names} may work on one image; --budget-ms sets one"
    most = max(fill.budget.milliseconds for fill in fills if fill.budget is not None)
    return f"filling one image takes at most {most / 1000:,.10g} s of one core, by estimate; --budget-ms sets another limit"


def cost_note(flow: Flow) -> str:
    """What a run says of `cost_limit` when its work begins.

    It is empty for the usual limit, which few images reach.
    """
    fills = [operator for operator in flow.operators if isinstance(operator, Inpaint)]
    if all(fill.budget == USUAL_BUDGET and _is_bounded(fill) for fill in fills):
        return ""
    return cost_limit(flow)


def _is_bounded(fill: Inpaint) -> bool:
    return fill.budget is not None and any(rate.rung == fill.model.alias for rate in fill.budget.rates)


def forecast_line(forecast: Forecast) -> str:
    """What a long run will cost, in a line."""
    times = f"{forecast.seconds_per_image:.1f} s of one core an image"
    return (
        f"sampled {counted(forecast.sampled, 'image')}: {times}, so {counted(forecast.images, 'image')} would take about "
        f"{duration(forecast.seconds)} on {counted(forecast.workers, 'worker')}"
    )


def _say_forecast(options: RunOptions) -> Callable[[Forecast], None] | None:
    if options.quiet:
        return None
    if options.json:
        return lambda forecast: print_json("forecast", forecast.figures())
    return lambda forecast: errors.print(forecast_line(forecast), markup=False)


@contextlib.contextmanager
def _progress(options: RunOptions, note: str) -> Iterator[Callable[[Summary], None]]:
    """How the options say that progress is shown: as a panel or lines, as JSON, or not at all."""
    if options.json:
        yield _print_progress()
    elif options.quiet:
        yield lambda summary: None
    else:
        with show_progress(errors, note) as update:
            yield update


def _print_progress() -> Callable[[Summary], None]:
    last = 0.0

    def update(summary: Summary) -> None:
        nonlocal last
        if time.monotonic() - last >= JSON_SECONDS:
            last = time.monotonic()
            print_json("progress", summary.progress().figures())

    return update


def print_json(event: str, figures: dict[str, Any]) -> None:
    """Print one line of JSON on standard output, at once."""
    sys.stdout.write(json.dumps({"event": event, **figures}) + "\n")
    sys.stdout.flush()


def print_dry_run(flow: Flow, source: str, dest: str, profile: Profile, options: Options, as_json: bool) -> None:
    """Check what a run checks before it starts, and print what it would do; nothing is written.

    Raises what `run` raises before it starts.
    """
    check_places(source, dest)
    dest, flow, left_out = storage.absolute(dest), restricted(flow, source, options.allow), LeftOut()
    for operator in flow.operators:
        operator.check()
    try:
        storage.check_reachable(dest)
        require_images(source, dest)
        if options.to is not None:
            check_collection(options.to, source, flow if flow.ends else flow.then(Write(dest)))
        check_allowed(flow, source)
        earlier = storage.exists(storage.join(dest, "run.json"))
        if earlier and not options.fresh:
            check_settings(flow if flow.ends else flow.then(Write(dest)), source, dest, options)
        done = IdSet()
        if not options.fresh:
            for shard in ledger.files_by_shard(dest):
                done.new(hashes(ledger.done_ids(dest, shard)))
        images = size = unknown = new = 0
        for image in islice(options.intake.of(list_source(source, dest, left_out)), options.limit):
            if not options.part.takes(image.uri):
                continue
            images += 1
            new += sum(done.new(hashes([image.image_id])))
            size += max(image.size, 0)
            unknown += image.size < 0
    except Failure as failure:
        raise RunError(failure.code, failure.message, exit_code=3) from failure
    figures = {"images": images, "to_do": new, "bytes": size, "images_of_unknown_size": unknown, "dest": dest}
    figures |= {"left_out": left_out.record(), "fill_limit": cost_limit(flow)}
    if as_json:
        print_json("dry_run", figures)
        return
    operators = ", ".join(dict.fromkeys(operator.name for operator in flow.operators))
    before = f", {images - new:,} done before" if images > new else ""
    left = f"; left out: {'; '.join(left_out.lines())}" if left_out.total else ""
    work = f"{new:,} would go through {operators} to {dest}"
    print(f"{counted(images, 'image')}, {size / 1e6:,.1f} MB{before}; {work}; nothing was written{left}")
    if limit := cost_limit(flow):
        print(limit)
