"""A sample goes through each stage in processes of its own, and every image has its seconds
there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.profile import Profile, Stage, load
from flows.cli.app import app
from flows.flow import Flow
from flows.planning.sample import IMAGES, Measured, draw_sample, measure_stages
from operators.fetch import Fetch
from operators.rows.failure import RunError
from tests.flows.busy import Busy

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures


@pytest.fixture(scope="module")
def source(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number in range(6):
        pictures.strip(number, "TEXT").save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def found(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Measured]:
    profile = Profile(
        name="own", placement="staged", stages={"busy": Stage(cpus=0.5, pool=(1, 1)), "default": Stage(pool=(1, 1))}
    )
    flow = Flow((Fetch(), Busy(seconds=0.05, waits=0.1, megabytes=300)))
    return dict(measure_stages(flow, profile, draw_sample(str(source)).rows, tmp_path_factory.mktemp("work")))


def test_every_stage_is_measured_for_every_image(found: dict[str, Measured]) -> None:
    assert list(found) == ["fetch", "busy"]
    assert {len(one.seconds) for one in found.values()} == {6}


def test_waiting_counts_for_a_process_and_not_for_a_core(found: dict[str, Measured]) -> None:
    busy = found["busy"]
    assert busy.cpu_seconds.mean() == pytest.approx(0.05, rel=0.4)
    assert 0.15 < busy.seconds.mean() < 0.4


def test_memory_is_what_the_stages_own_process_held(found: dict[str, Measured]) -> None:
    assert 300e6 < found["busy"].memory < 300e6 + 2 * found["fetch"].memory


def test_the_sample_is_drawn_at_random_and_always_the_same(source: Path) -> None:
    first, second = draw_sample(str(source)), draw_sample(str(source))
    assert first.rows.equals(second.rows)
    names = [f"{number}.png" for number in range(6)]
    assert sorted(first.rows["path"].to_pylist()) == names != first.rows["path"].to_pylist()
    assert len(first.rows) <= IMAGES


def test_a_source_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no_images"):
        draw_sample(str(tmp_path))


def test_the_command_prints_a_plan_and_writes_a_profile_that_runs(source: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    out = tmp_path / "balanced.yaml"
    answer = CliRunner().invoke(
        app, ["plan", str(source), "--images", "1000000", "--preset", "fast", "--price", "cpu=0.04", "--out", str(out)]
    )
    assert answer.exit_code == 0, answer.output
    for said in (
        "balanced: ",
        "one more core: +",
        "1,000,000 images: ",
        "at a cost of ",
        "driver: ",
        f"balanced profile: {out}",
    ):
        assert said in answer.output
    assert load(str(out)).name == "laptop-balanced"
