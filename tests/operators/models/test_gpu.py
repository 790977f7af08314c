"""A process knows what its stage reserves of a GPU, and takes no more of its memory."""

from __future__ import annotations

import multiprocessing

import pytest

from operators.models.gpu import CONTEXT_BYTES, RESERVED, limit_gpu_memory, memory_fraction, reserve_gpus, reserved_gpus

GIB = 2**30


def test_a_process_reserves_no_gpu_until_its_stage_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RESERVED, raising=False)
    assert reserved_gpus() == 0.0
    monkeypatch.setenv(RESERVED, "")  # restored afterwards
    reserve_gpus(0.5)
    assert reserved_gpus() == 0.5


def test_child_processes_know_what_their_parent_reserves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RESERVED, "0.25")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(reserved_gpus) == 0.25


@pytest.mark.parametrize("gpus", [0.0, 1.0, 2.0])
def test_whole_gpus_and_none_have_no_limit(gpus: float) -> None:
    assert memory_fraction(gpus, 24 * GIB) == 1.0


def test_the_shares_of_all_processes_and_their_contexts_fit_into_the_gpu() -> None:
    for count in (2, 3, 4, 8):
        assert count * (memory_fraction(1 / count, 24 * GIB) * 24 * GIB + CONTEXT_BYTES) == pytest.approx(24 * GIB)
    assert memory_fraction(1 / 64, 24 * GIB) == 0.0


def test_torch_is_limited_to_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's two functions are replaced: they need a GPU."""
    import torch

    limits: list[float] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("Card", (), {"total_memory": 24 * GIB}))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
    for gpus in ("0", "0.5", "1.0"):
        monkeypatch.setenv(RESERVED, gpus)
        limit_gpu_memory()
    assert limits == [1.0, 0.5 - 0.75 / 24, 1.0]
