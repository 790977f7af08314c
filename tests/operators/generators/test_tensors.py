"""Pictures become tensors and come back as the same bytes; a GPU gets copies of pinned memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.generators.tensors import stack, to_device, unstack


def test_a_picture_comes_back_with_the_same_bytes() -> None:
    pictures = [np.arange(768, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8), np.full((16, 16, 3), 255, np.uint8)]
    returned = unstack(stack(pictures))
    assert all(np.array_equal(one, other) for one, other in zip(pictures, returned, strict=True))


def test_values_are_clipped_and_rounded_to_even() -> None:
    values = torch.tensor([-7.0, -1.0, 0.0, 1.0, 7.0])
    [picture] = unstack(values.reshape(1, 1, 1, 5).expand(1, 3, 1, 5))
    assert picture.dtype == np.uint8
    assert picture[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_on_the_cpu_nothing_is_copied() -> None:
    values = torch.zeros(2)
    assert to_device(values, "cpu") is values


def test_a_gpu_copies_from_pinned_memory_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two methods of torch are replaced: they need a GPU."""
    calls: list[object] = []

    def pin_memory(values: torch.Tensor) -> torch.Tensor:
        calls.append("pinned")
        return values

    def to(values: torch.Tensor, device: str, non_blocking: bool = False) -> torch.Tensor:
        calls.append((device, non_blocking))
        return values

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch.Tensor, "to", to)
    to_device(torch.zeros(2), "cuda")
    assert calls == ["pinned", ("cuda", True)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gets_the_same_values() -> None:
    values = torch.randn(3, 4)
    assert torch.equal(to_device(values, "cuda").cpu(), values)
