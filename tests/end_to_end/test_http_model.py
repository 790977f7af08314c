"""A model behind an address as the rung of a run: what it costs, what is kept, and what ends it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from flows.engine.few_images import MOST_IMAGES
from flows.review.apply import apply_decisions
from flows.review.rework import Rework
from operators.generators.call_account import totals_of
from operators.ledger import ledger
from operators.ledger.decisions import Decision, DecisionLog
from tests.fixtures.cli import Command, Invoke
from tests.fixtures.http_model import KEY, Editor, answered, failed, filled
from tests.flows.serve.conftest import started

GROUND, COLOUR = (90, 140, 190), (93, 143, 193)


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_ray: None) -> None:
    # The workers of a Ray that runs already would not know the key.
    monkeypatch.setenv("CLEANPLATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLEANPLATE_MODEL_KEY", KEY)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return drawn(tmp_path / "in", 3)


def drawn(folder: Path, count: int) -> Path:
    """Pictures with one text each, on one colour."""
    folder.mkdir()
    for number in range(count):
        picture = Image.new("RGB", (360, 160), GROUND)
        font = ImageFont.load_default(44)
        ImageDraw.Draw(picture).text((40 + number, 50), "SUMMER", (255, 255, 255), font=font)
        picture.save(folder / f"{number}.png")
    return folder


def near(editor: Editor) -> Editor:
    """The server, filling with a colour that the gate accepts."""
    editor.script = lambda number, asked: filled(asked, COLOUR, model="painter-2026-01")
    return editor


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def rows(dest: Path) -> dict[str, dict]:
    return {row["path"]: row for row in ledger.read(str(dest)).to_pylist()}


def everything_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() + str(path).encode() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_run_pastes_what_the_model_answers_and_records_what_it_cost(
    editor: Editor, source: Path, tmp_path: Path, invoke: Invoke
) -> None:
    dest, command = tmp_path / "out", ("erase", str(source), str(tmp_path / "out"), "--model", near(editor).reference)
    code, out, err = invoke(*command, "--call-cost", "0.04")
    assert code == 0, err
    assert "3 edited" in out and f"3 calls of {editor.alias}, cost 0.12" in out
    assert f"to {editor.address.removeprefix('http://')} for painter: at most 1,000 calls, 0.04 a call" in err
    for number in range(3):
        before, after = pixels(source / f"{number}.png"), pixels(dest / "images" / f"{number}.png")
        changed = (before != after).any(axis=2)
        (row,) = [row for path, row in rows(dest).items() if path == f"{number}.png"]
        (region,) = row["regions"]
        crop = region["crop"]
        outside = np.ones_like(changed)
        outside[crop["y"] : crop["y"] + crop["height"], crop["x"] : crop["x"] + crop["width"]] = False
        letters = np.abs(before - GROUND).max(axis=2) > 100
        assert not changed[outside].any() and changed[letters].all()
        assert np.abs(after[letters] - COLOUR).max() <= 1
        assert region["rung"] == editor.alias and region["repeatable"] is False
        costs = [check["value"] for check in region["checks"] if check["name"] == "call_cost"]
        assert costs == [pytest.approx(0.04)]
    content = json.loads((dest / "run.json").read_text())
    assert {model["alias"]: model.get("source") for model in content["models"]}[
        editor.alias
    ] == f"{editor.address}/v1/images/edits"
    calls = content["calls"][editor.alias]
    assert (calls["calls"], calls["answers"], calls["cost"], calls["reported"]) == (3, 3, 0.12, {"painter-2026-01": 3})
    assert all(asked.headers["Authorization"] == f"Bearer {KEY}" for asked in editor.asked)
    # The key is nowhere, and the same command asks for nothing again.
    invoke(*command)
    assert len(editor.asked) == 3
    assert KEY.encode() not in everything_under(tmp_path) and KEY not in out + err


def test_a_run_whose_budget_is_spent_rolls_the_rest_back_and_says_so(
    editor: Editor, source: Path, tmp_path: Path, invoke: Invoke
) -> None:
    dest = tmp_path / "out"
    command = ("erase", str(source), str(dest), "--model", near(editor).reference, "--max-calls", "2", "--calls-at-once", "1")
    code, out, err = invoke(*command)
    assert code == 0, err
    assert "2 edited, 1 rolled back" in out
    assert f"2 calls of {editor.alias}: the budget is spent (--max-calls 2)" in out
    (refused,) = [row for row in rows(dest).values() if row["verdict"] == "rolled_back"]
    assert refused["reasons"] == [f"{editor.alias}: call_budget 3 > 2"]
    assert [region["reason"] for region in refused["regions"]] == ["call_budget"]
    assert (dest / "images" / refused["path"]).read_bytes() == (source / refused["path"]).read_bytes()
    # The rows are final: a later run with more money does not ask either.
    assert invoke(*command[:-4], "--max-calls", "50")[0] == 0
    assert len(editor.asked) == 2


def test_a_run_whose_model_is_away_ends_early_and_goes_on_later(editor: Editor, tmp_path: Path, invoke: Invoke) -> None:
    source, dest = drawn(tmp_path / "one", 1), tmp_path / "out"
    editor.script = lambda number, asked: failed(503, f"the key {KEY} waits", Retry_After="0")
    code, out, err = invoke("erase", str(source), str(dest), "--model", editor.reference)
    assert code == 3 and "call_failed" in err and KEY not in out + err
    assert rows(dest)["0.png"]["failure"]["code"] == "call_failed"
    assert (dest / "images" / "0.png").read_bytes() == (source / "0.png").read_bytes()
    assert KEY.encode() not in everything_under(tmp_path)
    near(editor)
    code, out, err = invoke("erase", str(source), str(dest), "--model", editor.reference)
    assert code == 0 and "1 edited" in out, err


def test_a_model_that_refuses_everything_is_named_at_the_end(
    editor: Editor, source: Path, tmp_path: Path, invoke: Invoke
) -> None:
    editor.script = lambda number, asked: failed(401, f"Incorrect API key provided: {KEY}")
    code, out, err = invoke("erase", str(source), str(tmp_path / "out"), "--model", editor.reference)
    assert code == 1 and "fills_failed" in err and "call_refused" in err and "answers 401" in err
    assert {row["verdict"] for row in rows(tmp_path / "out").values()} == {"rolled_back"}
    assert len(editor.asked) == 3
    assert KEY.encode() not in everything_under(tmp_path) and KEY not in out + err


def test_an_answer_that_is_no_picture_or_no_good_picture_is_not_pasted(
    editor: Editor, source: Path, tmp_path: Path, invoke: Invoke
) -> None:
    letters = np.asarray(Image.open(source / "0.png").convert("RGB").resize((1536, 1024)))
    editor.script = lambda number, asked: (200, {}, b"hello") if number == 0 else answered(letters)
    code, out, err = invoke("erase", str(source), str(tmp_path / "out"), "--model", editor.reference)
    assert code == 0 and "3 rolled back" in out, err
    reasons = sorted(row["reasons"][0] for row in rows(tmp_path / "out").values())
    assert sum("answer_invalid" in reason for reason in reasons) == 1
    for path in source.iterdir():
        assert (tmp_path / "out" / "images" / path.name).read_bytes() == path.read_bytes()


def test_the_workers_of_ray_share_one_budget(editor: Editor, tmp_path: Path) -> None:
    source, dest = drawn(tmp_path / "many", MOST_IMAGES + 2), tmp_path / "out"
    done = Command()("erase", source, dest, "--model", near(editor).reference, "--max-calls", "5", "--workers", "2")
    assert done.code == 0 and done.used_ray, done.err
    assert f"5 edited, {MOST_IMAGES - 3} rolled back" in done.out and "the budget is spent" in done.out
    assert len(editor.asked) == 5
    assert KEY.encode() not in everything_under(dest)


def test_cleanplates_own_service_is_such_a_model(tmp_path: Path, invoke: Invoke, source: Path) -> None:
    with started(environment={"CLEANPLATE_TOKEN": KEY}) as service:
        reference = f"{service.url}/v1/images/edits#cleanplate"
        code, out, err = invoke("erase", str(source), str(tmp_path / "out"), "--model", reference)
    assert code == 0 and "3 edited" in out, err
    for number in range(3):
        before, after = pixels(source / f"{number}.png"), pixels(tmp_path / "out" / "images" / f"{number}.png")
        assert np.abs(after - GROUND).max() <= 4 and np.abs(before - GROUND).max() > 100


def test_a_review_redoes_by_the_model_and_pays_for_nothing_else(
    editor: Editor, source: Path, tmp_path: Path, invoke: Invoke
) -> None:
    dest = tmp_path / "out"
    assert invoke("erase", str(source), str(dest), "--model", near(editor).reference, "--max-calls", "3")[0] == 0
    rework, before = Rework(str(dest)), rows(dest)["0.png"]
    assert rework.rungs() == [editor.reference]
    # Looking at masks takes the kept answers.
    rework.prepared(before)
    assert len(editor.asked) == 3
    decision = Decision(before["image_id"], "0.png", "redo", "ana", seed=7, verdict=before["verdict"])
    assert rework.refusal(decision) is None
    DecisionLog(str(dest)).append(decision)
    other = (95, 145, 195)
    editor.script = lambda number, asked: filled(asked, other)
    applied = apply_decisions(str(dest))
    assert (applied.done, applied.failures) == (1, [])
    assert len(editor.asked) == 4 and totals_of(str(dest))[editor.alias].calls == 4
    letters = np.abs(pixels(source / "0.png") - GROUND).max(axis=2) > 100
    assert np.abs(pixels(dest / "images" / "0.png")[letters] - other).max() <= 1
    assert KEY.encode() not in everything_under(tmp_path)


def test_a_review_sends_nothing_to_an_address_that_the_run_has_not_named(
    editor: Editor, source: Path, tmp_path: Path, invoke: Invoke
) -> None:
    dest = tmp_path / "out"
    assert invoke("erase", str(source), str(dest), "--model", near(editor).reference)[0] == 0
    decision = Decision(
        rows(dest)["0.png"]["image_id"], "0.png", "redo", "ana", rung="http://127.0.0.1:9/x#m", verdict="edited"
    )
    assert "the run has not asked" in str(Rework(str(dest)).refusal(decision))


def test_a_plan_says_what_would_be_sent_where_and_sends_nothing(
    editor: Editor, source: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke("plan", str(source), "--images", "1000", "--model", editor.reference)
    assert code == 0, err
    assert f"to {editor.address.removeprefix('http://')} for painter: about 1,000 calls" in out
    assert "no call was made" in out and not editor.asked


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--max-cost", "5"], "--call-cost"),
        (["--budget-ms", "5"], "--max-calls"),
    ],
)
def test_options_of_calls_that_do_not_fit_are_refused(
    editor: Editor, source: Path, tmp_path: Path, invoke: Invoke, options: list[str], named: str
) -> None:
    code, _, err = invoke("erase", str(source), str(tmp_path / "out"), "--model", editor.reference, *options)
    assert code == 2 and named in err and not editor.asked
    code, _, err = invoke("erase", str(source), str(tmp_path / "out"), "--max-calls", "5")
    assert code == 2 and "#NAME" in err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_would_be_sent_where(editor: Editor, source: Path, tmp_path: Path, invoke: Invoke) -> None:
    code, out, err = invoke("erase", str(source), str(tmp_path / "out"), "--model", editor.reference, "--dry-run")
    assert code == 0 and "for painter: at most 1,000 calls" in out and not editor.asked, err
