"""Balanced pools use up the limiting resource, and no other pools on the fleet are faster."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.balance import Fleet, Load, balance_pools, gains, gpu_share, needs, rate_of

LOADS = {
    "fetch": Load(seconds=0.2, cpu_seconds=0.01),
    "detect": Load(seconds=0.5, cpu_seconds=0.5),
    "inpaint": Load(seconds=1.0, cpu_seconds=0.25, gpu_seconds=0.5, gpus=0.25),
}


def test_where_cores_limit_all_of_them_are_used() -> None:
    balance = balance_pools({"detect": Load(0.5, 0.5), "verify": Load(0.25, 0.25)}, Fleet(cores=6))
    assert balance.rate == pytest.approx(8.0)
    assert balance.processes == {"detect": 4, "verify": 2}
    assert balance.limit == "cores"


def test_a_stage_that_waits_gets_processes_and_no_cores() -> None:
    balance = balance_pools({"fetch": Load(seconds=1.0, cpu_seconds=0.0), "detect": Load(0.5, 0.5)}, Fleet(cores=1))
    assert balance.rate == pytest.approx(2.0)
    assert balance.processes == {"fetch": 2, "detect": 1}


def test_gpus_limit_by_their_seconds_and_not_by_their_shares() -> None:
    balance = balance_pools(LOADS, Fleet(cores=100, gpus=1))
    assert balance.rate == pytest.approx(2.0)
    assert balance.limit == "GPUs"
    assert balance.processes == {"fetch": 1, "detect": 1, "inpaint": 2}


def test_shares_limit_where_processes_mostly_wait_for_their_own_core() -> None:
    balance = balance_pools(
        {"inpaint": Load(seconds=1.0, cpu_seconds=0.9, gpu_seconds=0.1, gpus=0.25)}, Fleet(cores=100, gpus=1)
    )
    assert balance.rate == pytest.approx(4.0)
    assert balance.limit == "GPU shares"


def test_memory_limits() -> None:
    balance = balance_pools({"detect": Load(seconds=1.0, cpu_seconds=1.0, memory=3.0)}, Fleet(cores=100, memory=10.0))
    assert balance.processes == {"detect": 3}
    assert balance.rate == pytest.approx(3.0)
    assert balance.limit == "memory"


def test_a_fleet_too_small_for_one_process_of_each_is_refused_with_the_sum() -> None:
    with pytest.raises(ValueError, match=r"one process of each stage takes 0.25 GPU shares, there are 0"):
        balance_pools(LOADS, Fleet(cores=4))


def test_given_pools_are_as_fast_as_their_slowest() -> None:
    balance = rate_of(LOADS, {"fetch": 1, "detect": 1, "inpaint": 4}, Fleet(cores=100, gpus=1))
    assert (balance.rate, balance.limit) == (pytest.approx(2.0), "detect")
    more = rate_of(LOADS, {"fetch": 4, "detect": 4, "inpaint": 4}, Fleet(cores=100, gpus=1))
    assert (more.rate, more.limit) == (pytest.approx(2.0), "GPUs")
    cores = rate_of(LOADS, {"fetch": 4, "detect": 4, "inpaint": 4}, Fleet(cores=0.76, gpus=1))
    assert (cores.rate, cores.limit) == (pytest.approx(1.0), "cores")


def test_the_next_gpu_goes_to_the_stage_that_waits_for_one() -> None:
    gpu, core = gains(LOADS, Fleet(cores=100, gpus=1))
    assert (gpu.resource, gpu.rate, gpu.spent_on) == ("GPU", pytest.approx(2.0), ("detect", "inpaint"))
    assert (core.resource, core.rate, core.spent_on) == ("core", pytest.approx(0.0), ())


def test_the_next_core_goes_to_the_stages_that_use_it_up() -> None:
    (core,) = gains({"detect": Load(0.5, 0.5), "fetch": Load(0.2, 0.0)}, Fleet(cores=2))
    assert (core.rate, core.spent_on) == (pytest.approx(2.0), ("detect", "fetch"))


load = st.builds(
    Load,
    seconds=st.floats(0.1, 2),
    cpu_seconds=st.floats(0.05, 2),
    gpu_seconds=st.floats(0, 1),
    gpus=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    memory=st.floats(0, 2),
).filter(lambda load: bool(load.gpus) or not load.gpu_seconds)


@given(st.lists(load, min_size=1, max_size=3), st.integers(1, 6), st.integers(3, 4), st.integers(6, 12))
def test_no_pools_are_faster_on_the_same_fleet(loads: list[Load], cores: int, gpus: int, memory: int) -> None:
    named, fleet = {str(number): each for number, each in enumerate(loads)}, Fleet(cores, gpus, memory)
    balance = balance_pools(named, fleet)
    taken = needs(named, balance.processes, balance.rate)
    room = {"cores": fleet.cores, "GPUs": fleet.gpus, "GPU shares": fleet.gpus, "memory": fleet.memory}
    assert all(amount <= room[name] * (1 + 1e-6) for name, amount in taken.items())
    assert balance.rate <= rate_of(named, balance.processes, fleet).rate * (1 + 1e-6)
    for pools in itertools.product(range(1, 8), repeat=len(named)):
        processes = dict(zip(named, pools, strict=True))
        held = needs(named, processes, 0.0)
        if held["GPU shares"] <= fleet.gpus and held["memory"] <= fleet.memory:
            assert rate_of(named, processes, fleet).rate <= balance.rate * (1 + 1e-6)


@pytest.mark.parametrize(
    ("peak", "share"), [(1, 1 / 8), (5, 1 / 8), (6, 1 / 6), (7.5, 1 / 5), (10, 1 / 4), (16, 1 / 2), (30, 1.0), (70, 2.0)]
)
def test_a_share_of_a_gpu_is_one_over_a_whole_number_and_has_headroom(peak: float, share: float) -> None:
    share_found = gpu_share(max(peak, 5), 50, 0.2)
    assert share_found == pytest.approx(share)
    assert share_found * 50 >= max(peak, 5) * 1.2


def test_a_process_without_gpu_memory_gets_no_share() -> None:
    with pytest.raises(ValueError, match="no share"):
        gpu_share(0, 50, 0.2)
