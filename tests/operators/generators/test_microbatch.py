"""Requests are grouped, padded and halved.

Memory runs out by a real allocation that no machine can serve, because there is no accelerator to
fill.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from operators.generators.classical import Classical
from operators.generators.generator import Request
from operators.generators.microbatch import Filled, fill_all, out_of_memory
from operators.rows.failure import Failure

MORE_THAN_THERE_IS = 2**58


def host_memory():
    torch.empty(MORE_THAN_THERE_IS)


def numpys_memory():
    np.empty(MORE_THAN_THERE_IS)


def accelerators_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@dataclass
class Limited:
    """Inverts crops; more than `most` at once do not fit in memory, and black crops fail."""

    size: int = 4
    most: int = 4
    allocate: object = host_memory
    sizes: list[int] = field(default_factory=list)

    def shape(self, request):
        if not request.pixels.size:
            raise ValueError("no pixels")
        return request.pixels.shape

    def microbatch(self, request):
        if request.pixels.max() == 1:
            raise ValueError("cannot be tried")
        return self.size

    def fill(self, requests):
        self.sizes.append(len(requests))
        assert len({request.pixels.shape for request in requests}) == 1
        if len(requests) > self.most:
            self.allocate()
        if any(not request.pixels.any() for request in requests):
            raise ValueError("a black crop")
        return [255 - request.pixels for request in requests]


def crop(value, height=2, width=3):
    return Request(np.full((height, width, 3), value, np.uint8), np.zeros((height, width, 4), np.uint8), value)


def values(outcomes):
    return [int(outcome.pixels[0, 0, 0]) if isinstance(outcome, Filled) else outcome for outcome in outcomes]


def test_every_call_is_padded_to_the_microbatch_and_the_order_is_kept():
    generator = Limited()
    outcomes = fill_all(generator, [crop(value) for value in range(2, 8)])
    assert values(outcomes) == [253, 252, 251, 250, 249, 248]
    assert generator.sizes == [4, 4]
    assert all(outcome.repeatable and outcome.milliseconds >= 0 for outcome in outcomes)


def test_only_crops_of_one_shape_share_a_call():
    generator = Limited()
    mixed = [crop(5), crop(2, 5, 5), crop(3), crop(4, 5, 5)]
    assert values(fill_all(generator, mixed)) == [250, 253, 252, 251]
    assert generator.sizes == [4, 4]


def test_nothing_is_asked_of_a_generator_without_requests():
    generator = Limited()
    assert fill_all(generator, []) == []
    assert generator.sizes == []


@pytest.mark.parametrize("allocate", [host_memory, numpys_memory, accelerators_memory])
def test_out_of_memory_halves_the_microbatch_and_says_that_it_is_not_repeatable(allocate):
    generator = Limited(most=1, allocate=allocate)
    outcomes = fill_all(generator, [crop(value) for value in (2, 3, 4)])
    assert values(outcomes) == [253, 252, 251]
    assert generator.sizes == [4, 2, 1, 1, 1]
    assert not any(outcome.repeatable for outcome in outcomes)


def test_the_next_microbatch_is_whole_again():
    generator = Limited(most=2)
    fill_all(generator, [crop(value) for value in range(2, 7)])
    assert generator.sizes == [4, 2, 2, 4, 2]


def test_a_region_that_does_not_fit_alone_fails_as_a_transient_row():
    [outcome] = fill_all(Limited(size=2, most=0), [crop(2)])
    assert isinstance(outcome, Failure) and outcome.code == "out_of_memory"


def test_only_the_culprit_of_a_call_fails_and_the_others_stay_repeatable():
    outcomes = fill_all(Limited(), [crop(2), crop(0), crop(3)])
    assert values(outcomes)[::2] == [253, 252]
    assert outcomes[0].repeatable and outcomes[2].repeatable
    assert str(outcomes[1]) == "a black crop"


def test_a_crop_without_a_shape_fails_alone():
    outcomes = fill_all(Limited(), [crop(2), crop(2, 0, 0), crop(3)])
    assert values(outcomes)[::2] == [253, 252]
    assert str(outcomes[1]) == "no pixels"


def test_a_crop_that_microbatch_rejects_fails_alone():
    generator = Limited()
    outcomes = fill_all(generator, [crop(1), crop(2), crop(3)])
    assert values(outcomes)[1:] == [253, 252] and str(outcomes[0]) == "cannot be tried"
    assert generator.sizes == [4]


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call.",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_a_library_of_cuda_that_gets_no_memory_is_a_lack_of_memory(message):
    assert out_of_memory(RuntimeError(message))


@pytest.mark.parametrize("error", [ValueError("memory"), RuntimeError("expected scalar type Half"), KeyError("CPUAllocator")])
def test_other_errors_are_not_taken_for_a_lack_of_memory(error):
    assert not out_of_memory(error)


def test_classical_fills_are_made_one_by_one(request_of):
    outcomes = fill_all(Classical("telea"), [request_of(), request_of(33, 90)])
    assert [outcome.pixels.shape for outcome in outcomes] == [(60, 60, 3), (33, 90, 3)]
