"""A plan from measured figures: pools, shares of cores and GPUs, hours, cost, and other needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster.nodes import Node
from cluster.profile import Machines, Profile, ProfileError, Stage, load
from flows.cli.plan import parse_prices, summary_lines
from flows.flow import Flow
from flows.planning.engine_cost import IDLE_CORES, PROCESS_SECONDS, SERVICE_SECONDS, WORKER_SECONDS, driver_seconds
from flows.planning.limits import Traffic, limits
from flows.planning.plan import Plan, Prices, make_plan, profile_yaml
from flows.planning.sample import Measured
from operators.detect import Detect
from operators.fetch import Fetch
from operators.rows.failure import RunError

FLOW = Flow((Fetch(), Detect()))
GIB = 1024**3
MACHINES = {"gpu": Machines(count=(1, 1), cpus=9, gpus=1, memory="64GiB")}


def measured(seconds: float, cpu: float, model: float = 0.0, memory: float = 1e9, gpu_memory: float = 0.0) -> Measured:
    """Figures that come to `seconds` and `cpu` with what the engine adds for blocks of sixteen."""
    spread, engine = np.linspace(0.5, 1.5, 21), WORKER_SECONDS / 16
    seconds, cpu = seconds - engine, cpu - engine
    return Measured(seconds * spread, cpu * spread, model * spread, memory, gpu_memory, 3.0)


def profile(**changed: object) -> Profile:
    stages = {"detect": Stage(gpus=0.5, memory="1GiB", pool=(1, 2)), "default": Stage(cpus=0.25)}
    return Profile.model_validate({"name": "own", "placement": "staged", "machines": MACHINES, "stages": stages, **changed})


def plan(**changed: object) -> Plan:
    """Fetching takes a tenth of a core for a second, detecting half a GPU second and half a core
    second of one.
    """
    found = {"fetch": measured(1.0, 0.1), "detect": measured(1.0, 0.5, model=0.25, gpu_memory=8 * GIB)}
    return make_plan(FLOW, profile(**changed), found, 80 * GIB, 10**6)


def test_pools_are_balanced_and_shares_of_a_gpu_follow_the_measured_peak() -> None:
    found = plan()
    assert found.best.limit == "GPUs"
    assert found.best.rate == pytest.approx(4.0)
    assert found.best.processes == {"fetch": 4, "detect": 4}
    assert found.profile.stages["detect"].gpus == pytest.approx(1 / 8)
    assert found.profile.stages["detect"].pool == (4, 4)
    assert (found.profile.stages["fetch"].pool, found.profile.stages["fetch"].tasks) == (None, 4)


def test_where_the_driver_shares_the_machine_its_work_and_rays_are_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.planning.plan.cores", lambda: 2)
    alone = Profile(
        name="own", placement="fused", images_per_block=2, stages={"worker": Stage(pool=(1, 1)), "default": Stage()}
    )
    seconds = np.full(20, 0.5)
    one = Measured(seconds, seconds, seconds, 1e6, 0.0, 3.0)
    found = make_plan(FLOW, alone, {"worker": one}, 0.0, 10**6)
    of_tasks = (WORKER_SECONDS + 2 * SERVICE_SECONDS) / 2 + driver_seconds(1, 2)
    assert found.best.rate == pytest.approx((2 - IDLE_CORES) / (0.5 + of_tasks))
    assert found.best.limit == "cores"


def test_short_runs_have_smaller_blocks_and_so_more_of_the_engine() -> None:
    found = {"worker": measured(1.0, 0.5)}
    rates = [make_plan(FLOW, load("laptop"), found, 0.0, images).best.rate for images in (30, 10**6)]
    assert rates[0] < rates[1]


def test_the_profile_as_it_was_is_held_by_its_own_pools() -> None:
    found = plan()
    assert (found.original.rate, found.original.limit) == (pytest.approx(2.0), "detect")


def test_each_process_reserves_what_it_keeps_busy_and_the_index_has_its_own() -> None:
    found = plan()
    assert found.profile.stages["detect"].cpus == pytest.approx(0.5 * 8 / 9, abs=0.01)
    assert FLOW.refusal(found.profile, [Node({"CPU": 9.0, "GPU": 1.0, "memory": 64.0 * GIB})]) is None


def test_pools_of_a_growing_fleet_start_small() -> None:
    growing = {"gpu": MACHINES["gpu"].model_copy(update={"count": (0, 2)})}
    found = plan(machines=growing)
    assert found.best.rate == pytest.approx(8.0)
    assert found.profile.stages["detect"].pool == (1, 8)


def test_where_no_gpu_was_found_the_share_stays_and_it_is_said() -> None:
    found = make_plan(FLOW, profile(), {"fetch": measured(1.0, 0.1), "detect": measured(1.0, 0.5, model=0.25)}, 0.0, 10**6)
    assert found.profile.stages["detect"].gpus == 0.5
    assert found.remarks == ("detect needs a GPU and ran without one: its rate is that of a CPU, its share is the profile's",)


def test_a_fleet_that_cannot_hold_one_process_of_each_is_refused() -> None:
    with pytest.raises(ProfileError, match=r"profile 'own': one process of each stage takes 0.125 GPU shares, there are 0"):
        plan(machines={"cpu": Machines(count=(1, 1), cpus=9, memory="64GiB")})


def test_hours_and_cost_are_of_the_whole_fleet() -> None:
    found = plan()
    assert found.hours(14400) == pytest.approx((8 * PROCESS_SECONDS / 9 + 3.0 + 3600) / 3600)
    assert found.cost(2.0, Prices(cpu=0.05, gpu=2.0)) == pytest.approx(2 * (9 * 0.05 + 2.0))


def test_the_spread_holds_the_rate_and_is_nothing_for_images_that_are_all_alike() -> None:
    found = plan()
    assert found.spread[0] < found.best.rate < found.spread[1]
    engine = WORKER_SECONDS / 16
    same = Measured(np.ones(20) - engine, np.full(20, 0.5), np.full(20, 0.25), 1e9, 8 * GIB, 3.0)
    alike = make_plan(FLOW, profile(), {"fetch": same, "detect": same}, 80 * GIB, 10**6)
    assert alike.spread == pytest.approx((alike.best.rate, alike.best.rate))


def test_all_operators_of_a_stage_get_its_balanced_settings() -> None:
    stages = {"default": Stage(cpus=1, pool=(1, 2))}
    found = make_plan(FLOW, profile(stages=stages), {"fetch": measured(1.0, 0.9)}, 0.0, 10**6)
    assert found.profile.stages["fetch"] == found.profile.stages["detect"] != stages["default"]
    assert FLOW.members(found.profile) == {"fetch": ["fetch", "detect"]}


def test_the_written_profile_is_read_back_as_it_is(tmp_path: Path) -> None:
    found = plan()
    (tmp_path / "balanced.yaml").write_text(profile_yaml(found))
    assert load(str(tmp_path / "balanced.yaml")) == found.profile


def test_the_lines_say_what_holds_the_flow_and_what_the_next_core_or_gpu_brings() -> None:
    said = summary_lines(plan(), 1_000_000, Prices(cpu=0.05, gpu=2.0))
    assert said[1] == "blocks of 16 images"
    assert said[2] == "profile as given: 2 images/s, limited by detect"
    assert said[3].startswith("balanced: 4 images/s (")
    assert said[4:6] == ["one more GPU: +4 images/s, used by fetch, detect", "one more core: +0 images/s"]
    assert said[6].startswith("1,000,000 images: 69.4 hours (")
    assert "at a cost of 170.14 (" in said[6]


@pytest.mark.parametrize("text", ["cpu", "cpu=", "cpu=-1", "tpu=3", "gpu=much"])
def test_a_price_is_an_amount_for_a_core_or_a_gpu(text: str) -> None:
    with pytest.raises(RunError, match="option_invalid"):
        parse_prices([text])
    assert parse_prices(["cpu=0.04", "gpu=1.90"]) == Prices(0.04, 1.90)


def test_what_gives_out_first_is_named_first() -> None:
    traffic = Traffic(read=1e6, written=1e6, ledger=1000, listing_seconds=1e-4)
    slow = limits(10_000, rate=2.0, stages=3, machines=1, traffic=traffic)
    many = limits(10**9, rate=10_000.0, stages=11, machines=500, traffic=traffic)
    assert max(limit.share for limit in slow) < 0.01
    assert [limit.resource for limit in many if limit.share > 1] == ["driver", "index", "storage"]
    assert many == sorted(many, key=lambda limit: -limit.share)
