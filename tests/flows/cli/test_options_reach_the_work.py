"""Every option of the commands without a run of their own reaches what does the work.

Each command is run with all of its options up to its first costly step.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from flows.cli import evaluation
from flows.cli.app import app
from flows.evaluation.evaluate import Options
from flows.evaluation.reviewed import Reviewed
from flows.evaluation.suite import SETS, Entry, Suite
from flows.flow import Flow
from flows.ladder import Rung
from operators.detect import Detect
from operators.fetch import Fetch
from operators.generators.call_account import CallLimits
from operators.inpaint import Inpaint
from operators.pictures.codec import Limits
from operators.pictures.provenance import Signing
from operators.rows.failure import RunError
from operators.select import Select
from operators.selection.rule_file import Options as Rules
from operators.selection.rule_file import read_rules
from tests.fixtures.cli import Invoke

LIMITS: dict[str, Any] = {
    "max_pixels": 1,
    "max_bytes": 2,
    "max_scans": 3,
    "max_metadata_bytes": 4,
    "max_frames": 5,
    "max_directories": 6,
    "max_decode_seconds": 7.0,
}
RULES: dict[str, Any] = {
    "only": ("email",),
    "keep": ("ACME",),
    "kind": ("price",),
    "script": ("latin",),
    "zone": ("top:100%x20%",),
    "not_zone": ("10,20:30x40",),
    "height": "1..2",
    "width": "3..4",
    "size": "5..6",
    "angle": "-7..8",
    "opacity": "..0.5",
    "score": "0.7..",
    "most": "30%",
}


def words(options: dict[str, Any]) -> list[str]:
    """Options as words of a command line."""
    pairs = [(name, value[0] if isinstance(value, tuple) else value) for name, value in options.items()]
    return [f"--{name.replace('_', '-')}={value}" for name, value in pairs]


ARGUMENTS: dict[str, list[str]] = {
    "preview": [
        *("in", "--detector=own.onnx", "--limit=3", "--out=page.html", "--allow=/a", "--no-text", "--regions=a.json"),
        *("--regions=b.json", "--no-detect", *words(LIMITS), *words(RULES), "--rules=rules.yaml"),
    ],
    "marks": ["in", "--out=marks", "--limit=3", "--profile=staged"],
    "review": ["run", "--host=0.0.0.0", "--port=1", "--sample", "--target=0.02", "--size=30"],
    "report": ["run"],
    "apply": ["run", "--c2pa-key=key.pem", "--c2pa-cert=chain.pem"],
    "evaluate": [
        *("--out=figures", "--suite=suite", "--set=tune,report", "--bucket=photo", "--preset=fast", "--model=telea"),
        *("--seed=7", "--seeds=2", "--workers=4", "--limit=1"),
    ],
    "calibrate": [
        *("--suite=suite", "--out=mine.json", "--target=0.1", "--rung=telea", "--check-promise", "--reviewed=a"),
        *("--reviewed=b", "--workers=4"),
    ],
    "audit": ["in", "--out=audited", "--model=folder", "--limit=3"],
    "plan": [
        *("in", "--images=500", "--profile=staged", "--preset=fast", "--model=telea", "--price=cpu=0.04", "--price=gpu=2"),
        *("--out=plan.yaml", "--allow=/a"),
    ],
    "serve": [
        *("--host=localhost", "--port=0", "--workers=3", "--queue=4", "--rate=5", "--seconds=6", "--max-pixels=7"),
        *("--max-bytes=8", "--allow=https://a", "--model=telea", "--model=https://host.example/v1/images/edits#painter"),
        *("--max-calls=9", "--max-cost=2", "--call-cost=0.5", "--calls-per-minute=30", "--calls-at-once=3", "--calls-in=calls"),
        *("--ray", "--profile=one-gpu"),
    ],
}


@pytest.fixture
def stopped_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, invoke: Invoke) -> Callable[..., tuple[Any, ...]]:
    """Run a command with all of its options until it calls one function; what that is given."""
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "run", "suite"):
        Path(folder).mkdir()

    def stopped(command: str, function: str, *without: str) -> tuple[Any, ...]:
        calls: list[tuple[Any, ...]] = []

        def stop(*given: Any, **named: Any) -> None:
            calls.append((*given, *named.values()))
            raise RunError("option_invalid", "stopped")

        monkeypatch.setattr(function, stop)
        arguments = [word for word in ARGUMENTS[command] if word.partition("=")[0] not in without]
        assert invoke(command, *arguments)[::2] == (2, "error: option_invalid: stopped\n")
        return calls[-1]

    return stopped


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Suite:
    """A suite of three entries in the folder `suite`, of which no picture is read."""
    suite = Suite("short", tmp_path, tuple(Entry(f"{name}.png", name, "photo", "", []) for name in SETS))

    def load(folder: Path) -> Suite:
        assert folder == Path("suite")
        return suite

    monkeypatch.setattr(evaluation.suites, "load", load)
    return suite


def only(flow: Flow, kind: type[Any]) -> Any:
    return next(operator for operator in flow.operators if isinstance(operator, kind))


@pytest.mark.parametrize("command", ARGUMENTS)
def test_every_option_of_the_command_is_here(command: str) -> None:
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    options = {option for parameter in parameters for option in parameter.opts if option.startswith("--")}
    assert options == {word.partition("=")[0] for word in ARGUMENTS[command] if word.startswith("--")}


def test_preview_looks_with_the_limits_the_rules_the_detector_and_the_places(stopped_at: Callable[..., Any]) -> None:
    flow, source, allow = stopped_at("preview", "flows.cli.preview.restricted", "--rules", "--no-detect")
    assert (source, allow) == ("in", ["/a"])
    assert only(flow, Fetch).limits == Limits(**LIMITS)
    assert only(flow, Detect).detector == "own.onnx"
    assert only(flow, Select).selection == Rules(**RULES).selection()
    assert not only(flow, Select).keeps_text


def test_preview_draws_the_first_images_to_its_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, invoke: Invoke, stopped_at: Callable[..., Any]
) -> None:
    monkeypatch.setattr("flows.cli.preview.require_images", lambda source, out: None)
    monkeypatch.setattr("flows.cli.preview.list_source", lambda source, out: iter("abcde"))
    monkeypatch.setattr("flows.cli.preview.look_at", lambda flow, images, limits: images)
    source, sheets = stopped_at(
        "preview", "flows.cli.preview.render_preview", "--rules", "--no-detect", "--detector", "--regions"
    )
    assert (source, sheets) == ("in", ["a", "b", "c"])


def test_preview_takes_a_file_of_rules_and_given_regions_alone(tmp_path: Path, stopped_at: Callable[..., Any]) -> None:
    (tmp_path / "rules.yaml").write_text("rules: []\notherwise: keep\nmost: 20%\n")
    flow, *_ = stopped_at("preview", "flows.cli.preview.restricted", *(word.partition("=")[0] for word in words(RULES)))
    assert [operator.name for operator in flow.operators][:3] == ["fetch", "given_regions", "select"]
    assert flow.operators[1].sources == ("a.json", "b.json")
    assert flow.operators[2].selection == read_rules("rules.yaml")


def test_marks_measures_the_first_images_by_the_profile(stopped_at: Callable[..., Any]) -> None:
    source, out, limit, profile, _ = stopped_at("marks", "flows.cli.marks.collect")
    assert (source, out, limit, profile.name) == ("in", "marks", 3, "staged")


def test_review_listens_where_it_is_told_and_draws_the_sample(tmp_path: Path, stopped_at: Callable[..., Any]) -> None:
    assert stopped_at("review", "flows.cli.review._review") == (str(tmp_path / "run"), "0.0.0.0", 1, (0.02, 30))


def test_report_merges_the_run(stopped_at: Callable[..., Any]) -> None:
    assert stopped_at("report", "flows.engine.merge.merge") == ("run",)


def test_apply_signs_with_the_key(stopped_at: Callable[..., Any]) -> None:
    assert stopped_at("apply", "flows.review.apply.apply_decisions")[:2] == ("run", Signing("key.pem", "chain.pem"))


def test_evaluate_measures_the_first_of_the_chosen_pictures(suite: Suite, stopped_at: Callable[..., Any]) -> None:
    measured, out, options = stopped_at("evaluate", "flows.evaluation.evaluate.evaluate")
    assert [entry.set for entry in measured.entries] == ["tune"]
    assert (out, options) == (Path("figures"), Options((Rung("telea"),), 7, 2, 4))


def test_calibrate_uses_the_decisions_of_people(
    monkeypatch: pytest.MonkeyPatch, suite: Suite, stopped_at: Callable[..., Any]
) -> None:
    figures = {"figures": {"visible_error": 0.0}}
    monkeypatch.setattr("flows.evaluation.reviewed.reviewed_fills", lambda dest: Reviewed([{"run": dest, **figures}]))  # type: ignore[typeddict-item]
    measured, rungs, workers, target, people = stopped_at("calibrate", "flows.evaluation.calibrate.calibrate")
    assert (measured, rungs, workers, target) == (suite, ("telea",), 4, 0.1)
    assert [fill["run"] for fill in people] == ["a", "b"]


def test_calibrate_writes_to_its_file_and_then_checks_the_promise(
    monkeypatch: pytest.MonkeyPatch, suite: Suite, stopped_at: Callable[..., Any]
) -> None:
    written: list[Path] = []
    monkeypatch.setattr("flows.evaluation.calibrate.calibrate", lambda *_, **__: {"rungs": {}})
    monkeypatch.setattr("flows.evaluation.calibrate.write_calibration", lambda content, out: written.append(out))
    stopped_at("calibrate", "flows.evaluation.calibrate.check_promises", "--reviewed")
    assert written == [Path("mine.json")]


def test_audit_measures_the_first_images_with_the_model(
    monkeypatch: pytest.MonkeyPatch, stopped_at: Callable[..., Any]
) -> None:
    monkeypatch.setattr("flows.audit.audit.load_models", lambda folder: folder)
    source, out, model, limit, _ = stopped_at("audit", "flows.audit.audit.audit")
    assert (source, out, model, limit) == ("in", "audited", Path("folder"), 3)


def test_plan_measures_the_flow_by_the_profile_and_the_places(
    monkeypatch: pytest.MonkeyPatch, stopped_at: Callable[..., Any]
) -> None:
    flow, source, allow = stopped_at("plan", "flows.cli.plan.restricted")
    assert (source, allow, only(flow, Inpaint).rung) == ("in", ["/a"], "telea")


def test_plan_balances_the_profile_for_the_images_and_writes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stopped_at: Callable[..., Any]
) -> None:
    sample = SimpleNamespace(rows=(), listing_seconds=0.0)
    monkeypatch.setattr("flows.cli.plan.draw_sample", lambda source: sample)
    for name in ("check_scheme", "measure_stages", "traffic_of"):
        monkeypatch.setattr(f"flows.cli.plan.{name}", lambda *_: ())
    _, profile, _, _, images = stopped_at("plan", "flows.cli.plan.make_plan")
    assert (profile.name, images) == ("staged", 500)


def test_serve_has_its_processes_its_limits_and_its_models(stopped_at: Callable[..., Any]) -> None:
    from flows.serve.app import Settings

    settings, pool, give_up = stopped_at("serve", "flows.serve.app.application", "--ray", "--profile")
    limits, models = Limits(max_pixels=7, max_bytes=8), ("telea", "https://host.example/v1/images/edits#painter")
    calls = CallLimits(9, 2.0, 0.5, 30.0, 3)
    assert settings == Settings(limits, 4, 5, settings.token, ("https://a",), models, calls, "calls")
    assert callable(give_up)
    assert (pool.workers, pool._seconds, pool._limits) == (3, 6.0, limits)


def test_serve_on_ray_has_the_same_options_and_its_profile(stopped_at: Callable[..., Any]) -> None:
    from flows.serve.on_ray import Options

    named, host, port = stopped_at("serve", "flows.cli.serve._serve_on_ray")
    assert (host, port > 0) == ("localhost", True)
    assert Options(**named) == Options(
        profile="one-gpu",
        workers=3,
        seconds=6.0,
        queue=4,
        rate=5,
        max_pixels=7,
        max_bytes=8,
        allow=("https://a",),
        model=("telea", "https://host.example/v1/images/edits#painter"),
        calls=CallLimits(9, 2.0, 0.5, 30.0, 3),
        calls_in="calls",
        needs_token=False,
    )
