"""`apply` carries out what people have decided: exactly, once, and again after a crash."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.reports.delivered import delivered_uri
from flows.review import apply as applying
from flows.review.apply import apply_decisions
from flows.review.rebuild import rebuild
from flows.review.rework import Rework
from operators.ledger import ledger
from operators.ledger.decisions import Decision, DecisionLog, masks_folder
from operators.rows.failure import RunError
from operators.storage import files as storage
from tests.fixtures.cli import Invoke
from tests.fixtures.reviewed_run import PICTURES, FinishedRun, make_run

A, B, C, D = PICTURES


def decide(run: FinishedRun, path: str, action: str, **more: object) -> None:
    more = {"verdict": run.rows[path]["verdict"], **more}
    DecisionLog(str(run.dest)).append(Decision(run.ids()[path], path, action, "ana", **more))  # type: ignore[arg-type]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def changed(before: bytes, after: bytes) -> np.ndarray:
    return np.abs(pixels(before) - pixels(after)).max(axis=2) > 0


def test_a_rejected_picture_is_the_original_again_and_the_ledger_and_the_report_say_so(reviewable: FinishedRun) -> None:
    decide(reviewable, A, "reject", why="a ghost is left")
    assert reviewable.delivered(A) != reviewable.original(A)
    others = {path: reviewable.delivered(path) for path in (B, C, D)}
    applied = apply_decisions(str(reviewable.dest))
    assert (applied.total, applied.done, applied.failures) == (1, 1, [])
    assert reviewable.delivered(A) == reviewable.original(A)
    assert {path: reviewable.delivered(path) for path in (B, C, D)} == others
    row = reviewable.rows[A]
    assert (row["verdict"], row["reasons"], row["output_sha256"]) == (
        "rolled_back",
        ["rejected_in_review"],
        row["source_sha256"],
    )
    assert row["texts"] == {"found": 1, "erased": 0, "kept": 0, "refused": 1}
    assert [(each["state"], each["reason"]) for each in row["regions"]] == [("refused", "rejected_in_review")]
    assert row["notes"][0] == "decided: reject, ana: a ghost is left"
    assert "People accept 0 of the 1 edits that the gate accepted." in (reviewable.dest / "report.html").read_text()
    assert len(reviewable.rows) == len(PICTURES)


def test_a_rejected_picture_of_a_converted_run_gets_its_name_back_and_another_keeps_its_own(tmp_path: Path) -> None:
    run = make_run(tmp_path, "webp")
    images = run.dest / "images"
    assert sorted(file.name for file in images.rglob("*.*")) == ["a.png.webp", "b.jpg.webp", "c.png.webp", "d.png"]
    decide(run, A, "reject")
    decide(run, B, "reject", region=0)
    shutil.move(run.dest, tmp_path / "moved")
    moved = FinishedRun(run.source, tmp_path / "moved")
    assert apply_decisions(str(moved.dest)).failures == []
    assert moved.delivered(A) == moved.original(A)
    assert moved.rows[A]["output_uri"] == str(moved.dest / "images" / A)
    assert not (moved.dest / "images" / f"{A}.webp").exists()
    row = moved.rows[B]
    assert row["verdict"] == "partly_edited"
    assert row["output_uri"].endswith(f"/images/{B}.webp")
    assert row["output_sha256"] == hashlib.sha256(moved.delivered(f"{B}.webp")).hexdigest()
    assert delivered_uri(row, str(moved.dest)) == str(moved.dest / "images" / f"{B}.webp")


def test_of_a_rejected_region_the_pixels_return_and_the_other_region_stays(reviewable: FinishedRun) -> None:
    run_made = reviewable.delivered(B)
    decide(reviewable, B, "reject", region=0)
    apply_decisions(str(reviewable.dest))
    row = reviewable.rows[B]
    assert row["verdict"] == "partly_edited"
    assert [(each["state"], each["reason"]) for each in row["regions"]] == [("refused", "rejected_in_review"), ("erased", None)]
    ys, xs = ([corner[axis] for corner in row["regions"][0]["polygons"][0]] for axis in (1, 0))
    first = np.s_[int(min(ys)) : int(max(ys)), int(min(xs)) : int(max(xs))]
    assert not changed(reviewable.original(B), reviewable.delivered(B))[first].any()
    other = changed(run_made, reviewable.delivered(B))
    other[max(0, int(min(ys)) - 32) : int(max(ys)) + 32] = False
    assert not other.any(), "the rest is as the run has made it"
    assert changed(reviewable.original(B), reviewable.delivered(B)).any()
    assert "refilled_elsewhere" not in row["notes"]


def test_redo_fills_again_with_the_model_and_the_seed_that_were_asked_for(reviewable: FinishedRun) -> None:
    decide(reviewable, B, "redo", region=1, rung="patchmatch", seed=5)
    decide(reviewable, C, "redo", rung="telea")
    apply_decisions(str(reviewable.dest))
    rows = reviewable.rows
    assert [(each["state"], each["rung"]) for each in rows[B]["regions"]] == [("erased", "ground"), ("erased", "patchmatch")]
    assert [(each["state"], each["rung"]) for each in rows[C]["regions"]] == [("erased", "telea")]
    assert "decided: redo region 1 by patchmatch seed 5, ana" in rows[B]["notes"]
    assert changed(reviewable.original(C), reviewable.delivered(C)).any()


def test_a_mask_by_hand_fills_what_it_covers_also_where_nothing_was_found(reviewable: FinishedRun) -> None:
    mask = np.zeros((240, 400), np.uint8)
    mask[150:170, 200:260] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    storage.write(storage.join(masks_folder(str(reviewable.dest)), "m.png"), buffer.getvalue())
    decide(reviewable, D, "redo", rung="patchmatch", mask="m.png")
    apply_decisions(str(reviewable.dest))
    row = reviewable.rows[D]
    assert (row["verdict"], [each["origin"] for each in row["regions"]]) == ("edited", ["review"])
    places = np.argwhere(changed(reviewable.original(D), reviewable.delivered(D)))
    assert places.min(axis=0).tolist() >= [146, 196]
    assert places.max(axis=0).tolist() <= [173, 263]


def test_what_was_carried_out_is_not_done_again_and_a_later_decision_is(reviewable: FinishedRun) -> None:
    decide(reviewable, A, "redo", rung="telea")
    assert apply_decisions(str(reviewable.dest)).done == 1
    redone, key = reviewable.delivered(A), reviewable.rows[A]["notes"][-1].removeprefix("reviewed: ")
    again = apply_decisions(str(reviewable.dest))
    assert (again.done, again.before) == (0, 1)
    decide(reviewable, A, "accept", delivered=key)
    assert apply_decisions(str(reviewable.dest)).done == 0
    assert reviewable.delivered(A) == redone
    decide(reviewable, A, "reject", delivered=key)
    assert apply_decisions(str(reviewable.dest)).done == 1
    assert reviewable.delivered(A) == reviewable.original(A)


def test_a_crash_after_a_file_and_before_its_row_is_mended_by_the_same_command(
    reviewable: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (A, C):
        decide(reviewable, path, "reject")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(applying.ledger, "replace_rows", crash)
        with pytest.raises(KeyboardInterrupt):
            apply_decisions(str(reviewable.dest))
    assert reviewable.rows[A]["verdict"] == "edited"
    assert apply_decisions(str(reviewable.dest)).done == 2
    assert all(reviewable.delivered(path) == reviewable.original(path) for path in (A, C))


def test_apply_that_is_killed_goes_on(reviewable: FinishedRun) -> None:
    for path in (A, B, C):
        decide(reviewable, path, "redo", rung="patchmatch")
    command = [str(Path(sys.executable).parent / "cleanplate"), "apply", str(reviewable.dest)]
    before = reviewable.delivered(A), reviewable.delivered(B), reviewable.delivered(C)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while (reviewable.delivered(A), reviewable.delivered(B), reviewable.delivered(C)) == before and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert apply_decisions(str(reviewable.dest)).failures == []
    assert all(region["rung"] == "patchmatch" for path in (A, B, C) for region in reviewable.rows[path]["regions"])


def test_a_source_that_has_changed_is_not_delivered_as_the_original(
    reviewable: FinishedRun, tmp_path: Path, invoke: Invoke
) -> None:
    moved = FinishedRun(tmp_path / "source", reviewable.dest)
    rows = ledger.read(str(reviewable.dest))
    uris = [f"{moved.source}/{path}" for path in rows["path"].to_pylist()]
    place = rows.schema.get_field_index("uri")
    ledger.replace_rows(str(reviewable.dest), 0, rows.set_column(place, "uri", [uris]))
    for path in PICTURES:
        (moved.source / path).parent.mkdir(parents=True, exist_ok=True)
        (moved.source / path).write_bytes(reviewable.original(path))
    (moved.source / A).write_bytes(reviewable.original(C))
    delivered = reviewable.delivered(A)
    decide(reviewable, A, "reject")
    decide(reviewable, C, "reject")
    code, out, err = invoke("apply", str(reviewable.dest))
    assert code == 3
    assert err.strip() == f"{A}: source_changed: the source is another file than in the run"
    assert "1 of 2 pictures delivered anew" in out
    assert reviewable.delivered(A) == delivered
    assert reviewable.delivered(C) == reviewable.original(C)


def test_a_run_without_decisions_and_a_folder_without_a_run_are_refused(
    reviewable: FinishedRun, tmp_path: Path, invoke: Invoke
) -> None:
    assert invoke("apply", str(reviewable.dest))[2].startswith("error: nothing_decided: ")
    code, _, err = invoke("apply", str(tmp_path / "empty"))
    assert (code, err.startswith("error: run_missing: ")) == (2, True)


def test_the_flow_of_a_run_is_built_again_exactly_and_that_of_a_stranger_is_refused(reviewable: FinishedRun) -> None:
    settings = json.loads((reviewable.dest / "run.json").read_text())["settings"]
    again = [json.loads(json.dumps(operator.settings())) for operator in rebuild(settings)]
    assert again == settings
    older = json.loads(json.dumps(settings))
    del older[0]["limits"]["max_frames"]
    assert [json.loads(json.dumps(operator.settings())) for operator in rebuild(older)] == settings
    for wrong in ({"operator": "my_own"}, {"operator": "files"}, {**settings[2], "context": 3.0, "unheard": 1}):
        with pytest.raises(RunError, match="flow_unknown"):
            rebuild([wrong])


def test_the_masks_of_a_picture_are_those_of_the_run(reviewable: FinishedRun) -> None:
    row = reviewable.rows[A]
    core, blend = (pixels(Rework(str(reviewable.dest)).channel(row, name)) for name in ("core", "blend"))
    assert core.shape == (240, 400, 3)
    edited = changed(reviewable.original(A), reviewable.delivered(A))
    assert (blend[:, :, 0] > 0)[edited].all(), "only what the mask covers was changed"
    with pytest.raises(KeyError):
        Rework(str(reviewable.dest)).channel(row, "colour")
