"""The progress of a run: a panel on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import time
from dataclasses import asdict, replace

import pytest
from rich.console import Console

from cluster.profile import laptop
from flows.cli.display import SECONDS_VARIABLE, duration, line, panel, show_progress
from flows.erase_text import erase_text
from flows.telemetry.progress import Activity, Progress, operators_once
from flows.telemetry.summary import Summary
from operators.rows.failure import RunError

MIDDLE = Progress(
    total=12_000,
    listed=12_000,
    done=3_000,
    verdicts={"edited": 2_000, "rolled_back": 990, "failed": 10},
    failures={"corrupt": 10},
    seconds=600.0,
    images_per_second=5.25,
    gigabytes_per_second=0.0123,
    seconds_left=5400.0,
    operators=(
        Activity("fetch", "fetch", 40, 3, 0.25, None, 47.6),
        Activity("detect", "worker", 17, 4, 1.5, 2, 1285.7),
        Activity("verify", "worker", 17, 4, 0.5, 2, 95.2),
        Activity("write", "write", 0, 1, 0.1, None, 19.0),
    ),
)


def printed(content: object) -> list[str]:
    console = Console(file=io.StringIO(), width=140)
    console.print(content)
    return [" ".join(text.split()) for text in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "?"), (0.2, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90000, "1 d 1 h")],
)
def test_a_duration_has_two_units_at_most(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_a_line_has_counts_rates_the_time_left_and_the_busiest_operators() -> None:
    assert line(MIDDLE) == (
        "3,000 of 12,000 images (25%) | 2000 edited, 990 rolled back, 10 failed | 5.25 images/s, 12.3 MB/s | 1 h 30 min left"
        " | detect 75%, verify 25%, fetch 0.2 at a time"
    )


def test_a_listing_shows_how_far_it_is() -> None:
    assert line(replace(MIDDLE, total=0, listed=1234)) == "listing: 1,234 images"


def test_the_panel_has_a_row_for_each_operator_and_each_stages_queue_once() -> None:
    head, times, counts, columns, *operators = printed(panel(MIDDLE))
    assert head.endswith("3,000 of 12,000 images (25%)")
    assert times == "10 min 0 s elapsed, 1 h 30 min left | 5.25 images/s, 12.3 MB/s"
    assert counts == "2000 edited, 990 rolled back, 10 failed | corrupt 10"
    assert columns == "operator busy an image waiting at work workers"
    assert operators == [
        "fetch 0.2 at a time 48 ms 40 3 tasks",
        "detect 75% 1.3 s 17 4 2",
        "verify 25% 95 ms",
        "write 0.1 at a time 19 ms 0 1 tasks",
    ]


def test_an_operator_that_a_flow_has_several_times_is_shown_once() -> None:
    twice = (*MIDDLE.operators, replace(MIDDLE.operators[2], stage="verify (2)", queued=5, at_work=1, workers=3))
    (verify,) = [activity for activity in operators_once(twice) if activity.name == "verify"]
    assert (verify.queued, verify.at_work, verify.workers, verify.milliseconds) == (22, 5, 5, 95.2)
    in_json = replace(MIDDLE, operators=twice).figures()["operators"]
    assert [each["name"] for each in in_json] == [activity.name for activity in MIDDLE.operators]
    assert asdict(verify) in in_json


def test_a_slow_run_shows_seconds_an_image() -> None:
    slow = replace(MIDDLE, images_per_second=0.05)
    assert " | 20.0 s an image, 12.3 MB/s | " in line(slow)


def test_the_panel_fits_80_columns_and_cuts_no_number() -> None:
    million = replace(
        MIDDLE,
        total=12_345_678,
        done=1_234_567,
        images_per_second=0.0123,
        seconds=123_456,
        seconds_left=9_876_543.0,
        operators=tuple(
            replace(activity, name=f"inpaint_navier_stokes_{number}", stage=str(number), milliseconds=123_456.0, queued=123_456)
            for number, activity in enumerate(MIDDLE.operators)
        ),
    )
    narrow = Console(file=io.StringIO(), width=80)
    narrow.print(panel(million))
    text = narrow.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(row) <= 80 for row in text.splitlines()) and "…" not in text
    for number in ("1,234,567 of 12,345,678", "81.3 s an image", "123.5 s", "123,456"):
        assert number in text


def test_before_the_workers_start_the_panel_has_no_operators() -> None:
    _, _, *below = printed(panel(replace(MIDDLE, operators=(), verdicts={}, failures={})))
    assert below == ["starting workers"]


def test_without_a_terminal_lines_come_at_the_interval_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS_VARIABLE, "0.05")
    console = Console(file=io.StringIO(), width=200)
    with show_progress(console) as update:
        update(Summary(listed=3))
        time.sleep(0.4)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert 2 <= len(lines) <= 8
    assert set(lines) == {"listing: 3 images"}


def test_a_short_run_without_a_terminal_prints_nothing() -> None:
    console = Console(file=io.StringIO())
    with show_progress(console) as update:
        update(Summary(listed=3))
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", ""])
def test_what_is_no_number_of_seconds_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECONDS_VARIABLE, text)
    message = f"{SECONDS_VARIABLE}={text}: expected a number of seconds above 0"
    with pytest.raises(RunError, match=message) as refused, show_progress(Console(file=io.StringIO())):
        pass
    assert refused.value.code == "option_invalid"


def test_what_a_run_may_cost_is_said_once_when_its_work_begins() -> None:
    output, summary = io.StringIO(), Summary(listed=3)
    with show_progress(Console(file=output), "at most 120 s") as update:
        update(summary)
        assert output.getvalue() == ""
        summary.pace.watch(erase_text(), laptop())
        update(summary)
        update(summary)
    assert output.getvalue().count("at most 120 s") == 1
