"""The log of people's decisions: durable, append-only, for several writers at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from operators.ledger.decisions import (
    PER_FILE,
    Decision,
    DecisionLog,
    Standing,
    carried_out,
    decisions_folder,
    read_decisions,
    standings,
)
from operators.storage import files as storage


def decision(action: str, region: int | None = None, delivered: str = "", **more: object) -> Decision:
    return Decision("id", "a.png", action, "ana", region=region, delivered=delivered, **more)  # type: ignore[arg-type]


def after(*decisions: Decision) -> Standing:
    return standings(decisions)["id"]


def test_what_was_appended_is_read_in_its_order_by_several_writers_at_once(tmp_path: Path) -> None:
    logs = [DecisionLog(str(tmp_path)) for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        stored = list(pool.map(lambda number: logs[number % 3].append(decision("accept", why=f"{number}")), range(330)))
    read = read_decisions(str(tmp_path))
    assert sorted(read, key=lambda each: each.decision_id) == sorted(stored, key=lambda each: each.decision_id)
    assert [each.when for each in read] == sorted(each.when for each in read)
    files = storage.list_uris(decisions_folder(str(tmp_path)))
    assert len(files) == 6, "each writer has files of its own"
    assert max(len(Path(file).read_text().splitlines()) for file in files) == PER_FILE


def test_a_decision_that_was_answered_survives_the_end_of_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom operators.ledger.decisions import Decision, DecisionLog\nlog = DecisionLog(sys.argv[1])\n"
        "for number in range(10_000):\n    log.append(Decision('id', 'a.png', 'accept', 'ana', why=str(number)))\n"
        "    print(number, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answered = [int(process.stdout.readline()) for _ in range(150)]
    os.kill(process.pid, signal.SIGKILL)
    answered += [int(line) for line in process.stdout.read().splitlines()]
    process.wait()
    process.stdout.close()
    read = [int(each.why) for each in read_decisions(str(tmp_path))]
    assert read[: len(answered)] == answered
    assert len(read) <= len(answered) + 1


def test_a_decision_that_was_sent_twice_counts_once(tmp_path: Path) -> None:
    log = DecisionLog(str(tmp_path))
    for _ in range(2):
        log.append(decision("reject", decision_id="the same"))
    assert len(read_decisions(str(tmp_path))) == 1


@pytest.mark.parametrize("wrong", [{"action": "burn"}, {"who": " "}, {"region": "1"}, {"seed": 1.5}])
def test_a_decision_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Decision(**{"image_id": "id", "path": "a.png", "action": "accept", "who": "ana", **wrong})  # type: ignore[arg-type]


def test_a_decision_about_the_picture_ends_those_about_its_regions() -> None:
    plan = after(decision("reject", 0), decision("redo", 1), decision("reject")).plan
    assert [(each.action, each.region) for each in plan.decisions] == [("reject", None)]
    plan = after(decision("reject"), decision("accept", 1)).plan
    assert [plan.of(region).action for region in (0, 1)] == ["reject", "accept"]  # type: ignore[union-attr]


def test_accepting_takes_back_what_was_not_carried_out_and_keeps_what_was() -> None:
    rejected = after(decision("reject"))
    assert after(decision("reject"), decision("accept")).plan.key == ""
    redo = decision("redo", rung="ground")
    redone = after(redo)
    accepted = after(redo, decision("accept", delivered=redone.plan.key))
    assert accepted.plan == redone.plan
    assert redone.plan.key not in ("", rejected.plan.key)


def test_a_redone_picture_waits_for_another_look() -> None:
    redo = decision("redo", rung="ground")
    held = after(redo)
    assert held.status("") == "redo"
    assert held.status(held.plan.key) == "redone"
    assert after(redo, decision("accept", delivered=held.plan.key)).status(held.plan.key) == "accepted"
    assert after(decision("reject", 0)).status("") == "rejected"
    assert Standing().status("") == "undecided"


def test_the_key_of_what_was_carried_out_is_in_the_notes() -> None:
    assert carried_out(["c2pa_removed", "decided: reject, ana", "reviewed: 12ab"]) == "12ab"
    assert carried_out(None) == carried_out(["c2pa_removed"]) == ""
