"""Every option of the commands with a SOURCE and a DEST reaches the flow or the run as it says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import typer

from flows.cli.app import app
from flows.cli.execute import execute as execute_run
from flows.cli.options import RunOptions
from flows.engine.settings import Options
from flows.flow import Flow
from operators.compose import Compose
from operators.cover import Cover
from operators.decisions.budget import Budget
from operators.detect import Detect
from operators.enlarge import Enlarge, Print
from operators.fetch import Fetch
from operators.find_marks import FindMarks
from operators.generators.call_account import CallLimits
from operators.given_masks import GivenMasks
from operators.given_regions import GivenRegions
from operators.identify import Identify
from operators.inpaint import Inpaint
from operators.ledger.part import Part
from operators.operator import Operator
from operators.pictures.codec import Limits
from operators.pictures.provenance import Signing
from operators.read import Read
from operators.see_through import SeeThrough
from operators.select import Select
from operators.selection.rule_file import Options as Rules
from operators.soften import Soften
from operators.storage.intake import Intake
from operators.upscalers.enlargement import Routing
from operators.verify import Verify
from tests.fixtures.cli import Invoke

if TYPE_CHECKING:
    from cluster.profile import Profile

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
EDITING = ("erase", "find", "inpaint", "enlarge", "run")
MASKS = ("--masks", "masks/")
OUTSIDE = ("--model", "https://host.example/v1/images/edits#painter")
Kind = TypeVar("Kind", bound=Operator)


@dataclass(frozen=True)
class Call:
    """What a command hands to the engine."""

    flow: Flow
    options: RunOptions
    seed: int
    collection: str | None

    def every(self, kind: type[Kind]) -> list[Kind]:
        return [operator for operator in self.flow.operators if isinstance(operator, kind)]

    def first(self, kind: type[Kind]) -> Kind:
        return self.every(kind)[0]


def selected(**rules: Any) -> Callable[[Call], bool]:
    """Whether texts are selected by these rules, both before and after the first fill."""
    return lambda call: {each.selection for each in call.every(Select)} == {Rules(**rules).selection()}


def limited(**limits: Any) -> Callable[[Call], bool]:
    """Whether every operator that reads files has these limits."""
    return lambda call: call.first(Fetch).limits == call.first(Detect).limits == call.first(Compose).limits == Limits(**limits)


Promise = tuple[str, tuple[str, ...], Callable[[Call], bool]]
PROMISES: dict[str, Promise] = {
    "--preset": ("erase", ("--preset", "fast"), lambda call: call.first(Inpaint).rung == "ground"),
    "--model": ("erase", ("--model", "telea"), lambda call: call.first(Inpaint).rung == "telea"),
    "--prompt": ("erase", ("--prompt", "a wall"), lambda call: call.first(Inpaint).prompt == "a wall"),
    "--budget-ms": ("erase", ("--budget-ms", "500"), lambda call: call.first(Inpaint).budget == Budget(500.0, ())),
    "--max-calls": ("erase", (*OUTSIDE, "--max-calls", "7"), lambda call: call.first(Inpaint).calls.most_calls == 7),
    "--max-cost": (
        "erase",
        (*OUTSIDE, "--max-cost", "7", "--call-cost", "0.5"),
        lambda call: call.first(Inpaint).calls == CallLimits(None, 7.0, 0.5),
    ),
    "--call-cost": ("erase", (*OUTSIDE, "--call-cost", "0.5"), lambda call: call.first(Inpaint).calls.call_cost == 0.5),
    "--calls-per-minute": (
        "erase",
        (*OUTSIDE, "--calls-per-minute", "30"),
        lambda call: call.first(Inpaint).calls.per_minute == 30.0,
    ),
    "--calls-at-once": ("erase", (*OUTSIDE, "--calls-at-once", "7"), lambda call: call.first(Inpaint).calls.at_once == 7),
    "--seed": ("erase", ("--seed", "7"), lambda call: (call.seed, call.first(Inpaint).seed) == (7, 7)),
    "--accept": ("erase", ("--accept", "best"), lambda call: any(each.remembers for each in call.every(Verify))),
    "--detector": ("erase", ("--detector", "own.onnx"), lambda call: call.first(Detect).detector == "own.onnx"),
    "--same": ("erase", ("--same", "pixels"), lambda call: bool(call.every(Identify))),
    "--fill": ("erase", ("--fill", "pixelate"), lambda call: call.first(Cover).how == "pixelate" and not call.every(Inpaint)),
    "--mark": ("erase", ("--mark", "logo.png"), lambda call: call.first(FindMarks).marks == "logo.png"),
    "--see-through": ("erase", ("--see-through",), lambda call: call.first(SeeThrough).estimates),
    "--max-pixels": ("erase", ("--max-pixels", "7"), limited(max_pixels=7)),
    "--max-bytes": ("erase", ("--max-bytes", "7"), limited(max_bytes=7)),
    "--max-scans": ("erase", ("--max-scans", "7"), limited(max_scans=7)),
    "--max-metadata-bytes": ("erase", ("--max-metadata-bytes", "7"), limited(max_metadata_bytes=7)),
    "--max-frames": ("erase", ("--max-frames", "7"), limited(max_frames=7)),
    "--max-directories": ("erase", ("--max-directories", "7"), limited(max_directories=7)),
    "--max-decode-seconds": ("erase", ("--max-decode-seconds", "7"), limited(max_decode_seconds=7.0)),
    "--pages": ("erase", ("--pages", "first"), limited(pages="first")),
    "--only": ("erase", ("--only", "email", "--only", "phone"), selected(only=("email", "phone"))),
    "--keep": ("erase", ("--keep", "ACME"), selected(keep=("ACME",))),
    "--kind": ("erase", ("--kind", "price"), selected(kind=("price",))),
    "--script": ("erase", ("--script", "han,kana"), selected(script=("han,kana",))),
    "--zone": ("erase", ("--zone", "top:100%x20%"), selected(zone=("top:100%x20%",))),
    "--not-zone": ("erase", ("--not-zone", "10,20:30x40"), selected(not_zone=("10,20:30x40",))),
    "--height": ("erase", ("--height", "10..40"), selected(height="10..40")),
    "--width": ("erase", ("--width", "..50%"), selected(width="..50%")),
    "--size": ("erase", ("--size", "200.."), selected(size="200..")),
    "--angle": ("erase", ("--angle", "-5..5"), selected(angle="-5..5")),
    "--opacity": ("erase", ("--opacity", "..0.5"), selected(opacity="..0.5")),
    "--score": ("erase", ("--score", "0.7.."), selected(score="0.7..")),
    "--most": ("erase", ("--most", "30%"), selected(most="30%")),
    "--rules": ("erase", ("--rules", "rules.yaml"), selected(keep=("ACME",))),
    "--no-text": ("erase", ("--keep", "ACME", "--no-text"), lambda call: not call.first(Select).keeps_text),
    "--regions": ("erase", ("--regions", "labels.json"), lambda call: call.first(GivenRegions).sources == ("labels.json",)),
    "--no-detect": ("erase", ("--regions", "labels.json", "--no-detect"), lambda call: not call.every(Detect)),
    "--previews": ("erase", ("--previews", "drop"), lambda call: call.first(Compose).previews == "drop"),
    "--to": ("erase", ("--to", "webdataset"), lambda call: call.collection == "webdataset"),
    "--to-format": ("erase", ("--to-format", "png"), lambda call: call.first(Compose).to_format == "png"),
    "--c2pa-key": (
        "erase",
        ("--c2pa-key", "key.pem", "--c2pa-cert", "chain.pem"),
        lambda call: call.first(Compose).signing == Signing("key.pem", "chain.pem"),
    ),
    "--c2pa-cert": (
        "enlarge",
        ("--scale", "2", "--c2pa-key", "key.pem", "--c2pa-cert", "chain.pem"),
        lambda call: call.first(Enlarge).signing == Signing("key.pem", "chain.pem"),
    ),
    "--read": ("find", ("--read",), lambda call: len(call.every(Read)) == 1),
    "--no-masks": ("find", ("--no-masks",), lambda call: not call.every(Soften)),
    "--masks": ("inpaint", MASKS, lambda call: call.first(GivenMasks).masks == "masks/"),
    "--mask-name": (
        "inpaint",
        (*MASKS, "--mask-name", "{stem}_m.png"),
        lambda call: call.first(GivenMasks).mask_name == "{stem}_m.png",
    ),
    "--gate": ("inpaint", (*MASKS, "--gate"), lambda call: not any(each.remembers for each in call.every(Verify))),
    "--scale": ("enlarge", ("--scale", "2"), lambda call: call.first(Enlarge).scale == 2.0),
    "--print": ("enlarge", ("--print", "20x30cm"), lambda call: call.first(Enlarge).paper == Print(20.0, 30.0, 300.0)),
    "--dpi": ("enlarge", ("--print", "20x30cm", "--dpi", "150"), lambda call: call.first(Enlarge).paper == Print(20, 30, 150)),
    "--threshold": (
        "enlarge",
        ("--scale", "2", "--threshold", "3", "--model", "lanczos"),
        lambda call: call.first(Enlarge).routing == Routing("lanczos", 3.0),
    ),
}
"""The command, its options, and what the flow then is."""
RUN: dict[str, tuple[tuple[str, ...], Callable[[Options, Profile], bool]]] = {
    "--profile": (("--profile", "staged"), lambda options, profile: profile.name == "staged"),
    "--workers": (("--workers", "3"), lambda options, profile: profile.stages["worker"].pool == (3, 3)),
    "--limit": (("--limit", "5"), lambda options, profile: options.limit == 5),
    "--allow": (("--allow", "/a", "--allow", "s3://b"), lambda options, profile: options.allow == ("/a", "s3://b")),
    "--fresh": (("--fresh",), lambda options, profile: options.fresh),
    "--include": (("--include", "*.jpg"), lambda options, profile: options.intake == Intake(include=("*.jpg",))),
    "--exclude": (("--exclude", "a/**"), lambda options, profile: options.intake == Intake(exclude=("a/**",))),
    "--part": (("--part", "3/16"), lambda options, profile: options.part == Part(3, 16)),
    "--output-column": (("--output-column", "name"), lambda options, profile: options.intake == Intake(output_column="name")),
}
"""Options of every run, and what the engine then gets."""
PRINTED = {"--dry-run", "--quiet", "--json"}
"""Options of every run that change what is printed: tests/flows/cli/test_execute.py."""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, invoke: Invoke) -> Callable[..., Call]:
    """Run a command on `in` and `out` up to the engine, and say what it hands over."""
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text("rules: [{name: --keep ACME, keep: {text: ACME}}]\notherwise: erase\n")
    calls: list[Call] = []

    def execute(flow: Flow, source: str, dest: str, options: RunOptions, seed: int = 0, collection: str | None = None) -> None:
        assert (source, dest) == ("in", "out")
        calls.append(Call(flow, options, seed, collection))

    monkeypatch.setattr("flows.cli.edit.execute", execute)
    monkeypatch.setattr("flows.cli.edit.export_findings", lambda dest: None)
    # No model of a preset reads prompts, and one that does has weights of gigabytes.
    monkeypatch.setattr("flows.erase_text.check_prompt", lambda fills: None)
    monkeypatch.setattr("flows.cli.edit.rates_for", lambda dest, rungs, fresh: ())

    def handed_over(command: str, *options: str) -> Call:
        assert invoke(command, "in", "out", *options) == (0, "", ""), options
        return calls.pop()

    return handed_over


@pytest.mark.parametrize("option", PROMISES)
def test_an_option_changes_the_flow_as_it_says(call: Callable[..., Call], option: str) -> None:
    command, options, holds = PROMISES[option]
    needed = {"inpaint": MASKS, "enlarge": ("--scale", "4")}.get(command, ())
    assert holds(call(command, *options))
    if option not in needed:
        without = False
        with suppress(IndexError):  # an operator that only the option brings
            without = holds(call(command, *needed))
        assert not without


@pytest.mark.parametrize("option", RUN)
def test_an_option_of_a_run_reaches_the_engine(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Call], option: str) -> None:
    given, holds = RUN[option]
    runs: list[tuple[Options, Profile]] = []

    class Ended:
        def line(self) -> str:
            return ""

    def run(flow: Flow, source: str, dest: str, profile: Profile, options: Options, *_: object) -> Ended:
        runs.append((options, profile))
        return Ended()

    monkeypatch.setattr("flows.cli.execute.run", run)
    for options in (given, ()):
        handed = call("erase", *options)
        execute_run(handed.flow, "in", "out", replace(handed.options, quiet=True))
    assert [holds(*each) for each in runs] == [True, False]


def test_every_option_is_here() -> None:
    options = {
        option
        for command in EDITING
        for parameter in COMMANDS[command].params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    assert options == {*PROMISES, *RUN, *PRINTED}
