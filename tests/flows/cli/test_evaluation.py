"""The commands that measure: what they refuse, what they hand on, and what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.profile import cores
from flows.cli import evaluation
from flows.evaluation.evaluate import Options
from flows.evaluation.suite import SETS, Entry, Suite
from flows.ladder import PRESETS, Rung
from operators.decisions import gate
from tests.fixtures.cli import Invoke
from tests.flows.cli.conftest import AssertRefused

WRONG = {
    "evaluate without a folder": (["evaluate"], "option_invalid", "--out"),
    "evaluate on a folder that is no suite": (["evaluate", "--out", "figures", "--suite", "in"], "suite_invalid", "in"),
    "evaluate with no seeds": (["evaluate", "--out", "figures", "--seeds", "0"], "option_invalid", "--seeds"),
    "calibrate on a folder that is no suite": (["calibrate", "--suite", "in"], "suite_invalid", "in"),
    "calibrate without workers": (["calibrate", "--workers", "0"], "option_invalid", "--workers"),
    "compare with one evaluation": (["compare", "in"], "option_invalid", "RUN_B"),
    "compare folders without evaluations": (["compare", "in", "in"], "comparison_invalid", "in"),
    "audit of nothing": (["audit"], "option_invalid", "SOURCE"),
    "audit of a missing source": (["audit", "nowhere", "--out", "figures"], "source_missing", "nowhere"),
    "audit of a missing model": (["audit", "in", "--out", "figures", "--model", "none"], "model_missing", "none"),
}


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("arguments", "code", "named"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_line_with_its_code_before_ray_starts(
    assert_refused: AssertRefused, arguments: list[str], code: str, named: str
) -> None:
    assert_refused(arguments, code, named)


@pytest.fixture
def default_suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Suite:
    """A suite of three entries in place of the default one, so that nothing is drawn."""
    suite = Suite("short", tmp_path, tuple(Entry(f"{name}.png", name, "photo", "", []) for name in SETS))
    monkeypatch.setattr(evaluation, "default_suite", lambda folder: suite)
    return suite


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Suite, Path, Options]]:
    """What `evaluate` is called with, instead of measuring anything."""
    calls: list[tuple[Suite, Path, Options]] = []

    def evaluate(suite: Suite, out: Path, options: Options) -> dict[str, object]:
        calls.append((suite, out, options))
        verdicts = {"edited": "accepted", "partly_edited": "damaged", "untouched": "missed"}
        images = [
            {"verdict": verdict, "outcome": outcome, "set": "tune", "bucket": "page"} for verdict, outcome in verdicts.items()
        ]
        return {"images": images, "fills": [{}] * 5}

    monkeypatch.setattr("flows.evaluation.evaluate.evaluate", evaluate)
    monkeypatch.setattr("flows.evaluation.report.write_reports", lambda suite, out: out / "report.html")
    return calls


def test_evaluate_takes_the_default_suite_the_balanced_preset_and_every_core(
    evaluations: list[tuple[Suite, Path, Options]], default_suite: Suite, invoke: Invoke
) -> None:
    exit_code, out, err = invoke("evaluate", "--out", "figures")
    assert (exit_code, err) == (0, "")
    assert evaluations == [
        (default_suite.only(["tune", "report"]), Path("figures"), Options(PRESETS["balanced"], 0, 3, cores()))
    ]
    table, line = out.rsplit("\n", 2)[:2]
    assert line == "3 images, 5 fills measured | 1 edited, 1 partly_edited, 1 untouched | figures/report.html"
    rows = [row.split() for row in table.splitlines() if row.startswith(("all", "page"))]
    assert max(map(len, table.splitlines())) <= 80
    assert "Accepted by the eye, set tune" in table
    assert rows == [
        ["all", "3", "33%", "6%", "79%", "2", "50%", "1", "0", "-"],
        ["page", "3", "33%", "6%", "79%", "2", "50%", "1", "0", "-"],
    ]


@pytest.mark.usefixtures("default_suite", "evaluations")
def test_evaluate_prints_no_table_of_pictures_without_truth(monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    image = {"verdict": "edited", "set": "report", "bucket": "page"}
    monkeypatch.setattr("flows.evaluation.evaluate.evaluate", lambda *_: {"images": [image], "fills": [{}]})
    assert invoke("evaluate", "--out", "figures")[1] == "1 image, 1 fill measured | 1 edited | figures/report.html\n"


@pytest.mark.usefixtures("default_suite")
def test_evaluate_hands_its_options_on(evaluations: list[tuple[Suite, Path, Options]], invoke: Invoke) -> None:
    options = ("--model", "telea", "--seed", "7", "--seeds", "2", "--workers", "4")
    assert invoke("evaluate", "--out", "figures", *options)[0] == 0
    assert evaluations[0][2] == Options((Rung("telea"),), 7, 2, 4)


@pytest.mark.parametrize(
    ("options", "sets"),
    [(("--set", "promise"), ["promise"]), (("--set", "tune,promise"), ["tune", "promise"]),
     (("--set", "report", "--set", "promise", "--bucket", "photo"), ["report", "promise"])],
)  # fmt: skip
@pytest.mark.usefixtures("default_suite")
def test_evaluate_takes_some_sets_and_buckets(
    evaluations: list[tuple[Suite, Path, Options]], invoke: Invoke, options: tuple[str, ...], sets: list[str]
) -> None:
    assert invoke("evaluate", "--out", "figures", *options)[0] == 0
    assert [entry.set for entry in evaluations[0][0].entries] == sets


@pytest.mark.usefixtures("default_suite")
@pytest.mark.parametrize("option", [("--set", "tuned"), ("--bucket", "sky")])
def test_a_set_or_bucket_that_the_suite_lacks_is_one_line(assert_refused: AssertRefused, option: tuple[str, str]) -> None:
    assert_refused(["evaluate", "--out", "figures", *option], "option_invalid", option[1])


@pytest.fixture
def calibrations(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where calibrations are written to, instead of fitting anything."""
    files: list[Path] = []
    report = {"auc": 0.8, "wrongly_refused": 0.05, "mean_error_of_all": 0.2, "mean_error_of_kept": 0.1}
    promise = {
        "set": "report",
        "kept": 312,
        "bad": 3,
        "most_bad": 0.0247,
        "confidence": 0.95,
        "target": 0.05,
        "target_met": True,
    }
    figures = {"tune": {"auc": 0.9}, "report": report, "report_buckets": {"photo": {"auc": 0.7}}}
    figures |= {"promise": promise, "promise_buckets": {"photo": promise}}
    monkeypatch.setattr("flows.evaluation.calibrate.calibrate", lambda *_, **__: {"rungs": {"telea": figures}})
    monkeypatch.setattr("flows.evaluation.calibrate.write_calibration", lambda content, out: files.append(out))
    return files


@pytest.mark.usefixtures("default_suite")
@pytest.mark.parametrize(("options", "file"), [([], Path("gate.json")), (["--out", "mine.json"], Path("mine.json"))])
def test_calibrate_writes_the_gate_and_prints_a_line_for_every_rung(
    calibrations: list[Path], invoke: Invoke, options: list[str], file: Path
) -> None:
    exit_code, out, _ = invoke("calibrate", *options)
    assert exit_code == 0
    assert calibrations == [file]
    line, promise, written, use = out.splitlines()
    assert line.startswith("telea: AUC 0.90 on the tuning set, 0.80 on the reported set; wrongly refused 5%; ")
    assert line.endswith("0.200 -> 0.100 | photo 0.70")
    assert promise == (
        "telea: with 95% confidence at most 2.5% of its accepted edits are bad (3 of 312 were in the set report) | "
        "photo 2% (3 of 312)"
    )
    assert written == str(file)
    assert use == f"verify does not read this file; with --out {gate.PATH} the next calibration takes effect"


@pytest.mark.usefixtures("default_suite", "calibrations")
def test_calibrate_says_whether_the_promise_holds_on_the_set_that_nothing_is_chosen_on(
    monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    observed = {"set": "promise", "kept": 200, "bad": 4, "most_bad": 0.05, "confidence": 0.95}
    monkeypatch.setattr("flows.evaluation.calibrate.check_promises", lambda *_: {"telea": observed})
    exit_code, out, _ = invoke("calibrate", "--check-promise")
    assert exit_code == 0
    assert out.splitlines()[2] == (
        "telea: in the set promise 4 of 200 accepted edits are bad (2.0%), promised were at most 2.5%: the promise holds"
    )


@pytest.mark.usefixtures("default_suite")
@pytest.mark.parametrize(
    ("options", "rungs", "target"),
    [
        ([], ("ground", "hybrid", "builtin", "patchmatch"), 0.05),
        (["--rung", "telea", "--rung", "ground", "--target", "0.1"], ("telea", "ground"), 0.1),
    ],
)
def test_calibrate_takes_the_rungs_of_the_presets_or_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch, invoke: Invoke, options: list[str], rungs: tuple[str, ...], target: float
) -> None:
    calls: list[object] = []

    def calibrate(_: Suite, rungs: tuple[str, ...], __: int, target: float, people: object) -> dict[str, object]:
        assert not people
        calls.append((rungs, target))
        return {"rungs": {}}

    monkeypatch.setattr("flows.evaluation.calibrate.calibrate", calibrate)
    monkeypatch.setattr("flows.evaluation.calibrate.write_calibration", lambda *_: None)
    assert invoke("calibrate", *options)[0] == 0
    assert calls == [(rungs, target)]


@pytest.mark.usefixtures("default_suite")
def test_a_rung_that_does_not_exist_is_one_line(assert_refused: AssertRefused) -> None:
    assert_refused(["calibrate", "--rung", "hybridd"], "model_unknown", "hybridd")


@pytest.mark.usefixtures("default_suite")
def test_a_suite_that_cannot_be_calibrated_is_one_line(monkeypatch: pytest.MonkeyPatch, assert_refused: AssertRefused) -> None:
    def calibrate(*_: object, **__: object) -> None:
        raise ValueError("set tune has no truth")

    monkeypatch.setattr("flows.evaluation.calibrate.calibrate", calibrate)
    assert_refused(["calibrate"], "suite_invalid", "set tune has no truth")
