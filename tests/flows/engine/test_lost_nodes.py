"""A cluster that stays too small for its flow stops the run."""

from __future__ import annotations

import time

import pytest

from cluster.nodes import Node
from cluster.profile import Profile, Stage
from flows.engine import lost_nodes
from flows.engine.lost_nodes import NodeWatch
from flows.flow import Flow
from operators.fetch import Fetch
from operators.rows.failure import RunError


def profile(cpus: float) -> Profile:
    return Profile(name="own", placement="staged", stages={"default": Stage(cpus=cpus)})


@pytest.mark.usefixtures("ray_here")
def test_too_few_nodes_stop_the_run_when_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_nodes, "CHECK_SECONDS", 0.0)
    watch = NodeWatch(Flow((Fetch(),)), profile(1000), patience=0.3)
    watch.check()
    time.sleep(0.4)
    with pytest.raises(RunError, match="needs 1001 CPU") as raised:
        watch.check()
    assert (raised.value.code, raised.value.exit_code) == ("nodes_lost", 3)


@pytest.mark.usefixtures("ray_here")
def test_enough_nodes_never_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_nodes, "CHECK_SECONDS", 0.0)
    watch = NodeWatch(Flow((Fetch(),)), profile(0.25), patience=0.0)
    assert [watch.check() for _ in range(3)] == [None] * 3


def test_patience_starts_anew_when_nodes_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_nodes, "CHECK_SECONDS", 0.0)
    cpus = [0.0]
    monkeypatch.setattr(lost_nodes, "alive_nodes", lambda: [Node({"CPU": cpus[0]})])
    watch = NodeWatch(Flow((Fetch(),)), profile(1), patience=0.3)
    watch.check()
    cpus[0] = 2.0
    watch.check()
    time.sleep(0.4)
    cpus[0] = 0.0
    watch.check()


def test_nodes_are_not_checked_more_often_than_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[None] = []
    monkeypatch.setattr(lost_nodes, "alive_nodes", lambda: checks.append(None) or [])
    watch = NodeWatch(Flow((Fetch(),)), profile(1))
    watch.check()
    watch.check()
    assert len(checks) == 1
