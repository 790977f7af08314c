"""A run's blocks give the rates of the last minute, each operator's activity and the time left."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from cluster.profile import Profile, Stage, laptop
from flows.engine.run import run
from flows.erase_text import erase_text
from flows.flow import Flow
from flows.ladder import PRESETS, Fills
from flows.telemetry import progress as module
from flows.telemetry.progress import Pace
from flows.telemetry.summary import Summary
from operators.detect import Detect
from operators.fetch import Fetch
from operators.rows.schema import SCHEMA

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

FLOW = Flow((Fetch(), Detect()))
PROFILE = Profile(
    name="tests",
    placement="staged",
    stages={"default": Stage(cpus=0.25), "detect": Stage(pool=(1, 4))},
)


def block(images: int, size: int, **milliseconds: float) -> pa.Table:
    """Finished rows of one file size and one time in each operator."""
    timings = [
        {"operator": name, "total": value, "model": 0.0, "codec": 0.0, "io": 0.0} for name, value in milliseconds.items()
    ]
    return pa.Table.from_pylist([{"size": size, "timings": timings}] * images, schema=SCHEMA)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock that a pace reads, in seconds; set its only item."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def summary(clock: list[float]) -> Summary:
    """A run of 1,000 images, 400 of them done before, that has just started."""
    summary = Summary(total=1000, before=400)
    summary.counts_before.verdicts.update(edited=300, untouched=99, failed=1)
    summary.counts_before.texts.update(found=500, erased=490, kept=10)
    summary.counts_before.failures.update(corrupt=1)
    summary.pace.watch(FLOW, PROFILE)
    return summary


def arrive(summary: Summary, rows: pa.Table, verdict: str = "edited") -> None:
    summary.pace.add_block(rows)
    summary.verdicts[verdict] += len(rows)


def test_rates_and_the_time_left_follow_from_the_blocks(summary: Summary, clock: list[float]) -> None:
    for _ in range(5):
        clock[0] += 4
        arrive(summary, block(10, 3_000_000))
    progress = summary.progress()
    assert (progress.total, progress.done, progress.seconds) == (1000, 450, 20.0)
    assert progress.images_per_second == pytest.approx(50 / 20)
    assert progress.gigabytes_per_second == pytest.approx(50 * 0.003 / 20)
    assert progress.seconds_left == pytest.approx(550 / (50 / 20))


def test_counts_are_those_of_all_runs(summary: Summary) -> None:
    arrive(summary, block(7, 1), "untouched")
    summary.failures["truncated"] += 1
    progress = summary.progress()
    assert progress.verdicts == {"edited": 300, "untouched": 106, "failed": 1}
    assert progress.failures == {"corrupt": 1, "truncated": 1}


def test_the_last_line_counts_the_images_and_the_texts_of_all_runs(summary: Summary) -> None:
    arrive(summary, block(7, 1), "partly_edited")
    summary.texts.update(found=14, erased=7, refused=6, kept=1)
    summary.report = "out/report.html"
    assert summary.line() == (
        "1000 images, 400 done before, 300 edited, 7 partly edited, 99 untouched, 1 failed"
        " | 514 texts: 497 erased, 6 refused, 11 kept | corrupt 1 | out/report.html"
    )


def test_the_last_line_of_a_run_without_texts_does_not_speak_of_them() -> None:
    assert Summary(total=3, verdicts=Counter(untouched=3)).line() == "3 images, 3 untouched"


def test_the_last_line_of_a_run_that_only_finds_counts_the_texts() -> None:
    summary = Summary(total=3, verdicts=Counter(found=2, nothing_found=1), texts=Counter(found=5))
    assert summary.line() == "3 images, 2 found, 1 nothing found | 5 texts"


def test_the_last_line_counts_images_that_a_zone_misses() -> None:
    summary = Summary(total=3, verdicts=Counter(untouched=3), zones_outside=2)
    assert summary.line() == "3 images, 3 untouched | a zone lies outside 2 images"


def test_an_operators_share_is_of_the_time_of_its_pool(summary: Summary, clock: list[float]) -> None:
    clock[0] += 10
    arrive(summary, block(20, 1, fetch=500, detect=1000))
    fetch, detect = summary.progress().operators
    assert (detect.name, detect.stage, detect.workers, detect.milliseconds) == ("detect", "detect", 4, pytest.approx(1000))
    assert (detect.busy, detect.share) == (pytest.approx(2.0), pytest.approx(0.5))
    assert (fetch.busy, fetch.share) == (pytest.approx(1.0), None)


def test_blocks_older_than_a_minute_do_not_count(summary: Summary, clock: list[float]) -> None:
    arrive(summary, block(600, 1_000_000, detect=100))
    clock[0] += 61
    assert summary.progress().images_per_second == 0
    arrive(summary, block(6, 1_000_000, detect=100))
    progress = summary.progress()
    assert progress.images_per_second == pytest.approx(6 / 60)
    assert progress.operators[1].milliseconds == pytest.approx(100)
    assert len(summary.pace._arrivals) == 1


def test_before_the_first_image_nothing_is_claimed() -> None:
    progress = Summary(listed=5).progress()
    assert (progress.images_per_second, progress.seconds_left, progress.operators, progress.seconds) == (0, None, (), 0)
    assert progress.listed == 5


@pytest.mark.usefixtures("ray_here")
def test_queues_and_workers_of_a_real_run_are_seen(pictures: Pictures, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(24):
        pictures.strip(number).save(tmp_path / "in" / f"{number:02d}.png")
    snapshots = []
    flow = erase_text(Fills(PRESETS["fast"]))
    profile = laptop().with_workers(1).model_copy(update={"images_per_block": 2})
    start = time.monotonic()
    run(
        flow,
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        profile,
        progress=lambda summary: snapshots.append(summary.progress()),
    )
    seconds = time.monotonic() - start
    working = [progress for progress in snapshots if 0 < progress.done < 24]
    activities = [activity for progress in working for activity in progress.operators]
    stages = {activity.stage: activity for activity in activities if activity.queued is not None}
    assert set(stages) == {"worker"}
    assert stages["worker"].workers == 1
    for progress in working:
        unfinished = {activity.stage: (activity.queued or 0) + (activity.at_work or 0) for activity in progress.operators}
        assert sum(unfinished.values()) <= 24 - progress.done
    assert max(activity.queued or 0 for activity in activities) > 0
    (detect,) = [activity for activity in snapshots[-1].operators if activity.name == "detect"]
    assert 0 < (detect.share or 0) <= 1
    assert [activity.share for activity in snapshots[-1].operators if activity.name in ("fetch", "write")] == [None, None]
    assert snapshots[-1].seconds_left == 0
    assert snapshots[-1].images_per_second >= 24 / max(seconds, 60)


def test_pace_without_a_dataset_has_no_queues() -> None:
    pace = Pace()
    pace.watch(FLOW, PROFILE)
    assert [(activity.name, activity.queued, activity.at_work) for activity in pace.activities()] == [
        ("fetch", None, None),
        ("detect", None, None),
    ]


def test_the_last_line_names_a_rung_whose_every_fill_failed() -> None:
    summary = Summary(total=3)
    summary.fills.add("builtin", 2, 2, "out_of_memory: not enough memory")
    summary.fills.add("telea", 2, 1, "operator_error: broken")
    assert "every fill of builtin failed (2 of 2): out_of_memory: not enough memory" in summary.line()
    assert "telea" not in summary.line()
