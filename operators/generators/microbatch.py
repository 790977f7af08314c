"""Run many requests through one generator.

Requests are grouped by shape and padded to one size. Microbatches are halved when memory runs
out, and each request fails alone.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from operators.generators.generator import Described, Fill, Generator, Request
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure

NO_MEMORY = (
    "DefaultCPUAllocator",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""What torch says when memory ran out outside its own allocator of GPU memory."""


@dataclass(frozen=True)
class Filled:
    """A region's fill."""

    pixels: Pixels
    """uint8 sRGB, height x width x 3, of the crop's size."""
    repeatable: bool
    """Whether the same request always gives the same bytes on this machine."""
    milliseconds: float
    """The region's even share of its microbatch's time."""
    figures: tuple[tuple[str, float], ...] = ()
    """What the generator says of the fill; see `generator.Described`."""


def fill_all(generator: Generator, requests: Sequence[Request]) -> list[Filled | Exception]:
    """Fill every request; the result holds each one's fill or its exception, in order.

    A microbatch holds requests of one shape and is padded by repeating the last, so a region's
    pixels depend only on its request. When memory runs out, the microbatch is halved, down to 1;
    fills made at another size are not `repeatable`, because sums run in another order there.
    After any other error the requests of a microbatch run once more one by one, so only the
    culprit fails. Raises nothing itself.
    """
    groups: dict[Hashable, list[int]] = {}
    outcomes: dict[int, Filled | Exception] = {}
    for index, request in enumerate(requests):
        try:
            groups.setdefault(generator.shape(request), []).append(index)
        except Exception as error:
            outcomes[index] = error
    for members in groups.values():
        size = 0
        while members and not size:
            try:
                size = generator.microbatch(requests[members[0]])
            except Exception as error:
                outcomes[members.pop(0)] = error
        for start in range(0, len(members), max(1, size)):
            chosen = members[start : start + size]
            outcomes.update(zip(chosen, _fill_isolating(generator, [requests[index] for index in chosen], size), strict=True))
    return [outcomes[index] for index in range(len(requests))]


def _fill_isolating(generator: Generator, requests: Sequence[Request], size: int) -> list[Filled | Exception]:
    try:
        return [*_fill_halving(generator, requests, size)]
    except Exception as error:
        if len(requests) == 1:
            return [error]
    return [outcome for request in requests for outcome in _fill_isolating(generator, [request], size)]


def _fill_halving(generator: Generator, requests: Sequence[Request], size: int) -> list[Filled | Exception]:
    """Fill in microbatches of `size`, halving the size each time memory runs out.

    Raises Failure out_of_memory if one request alone does not fit.
    """
    done: list[Filled | Exception] = []
    full_size = size
    while len(done) < len(requests):
        chosen = requests[len(done) : len(done) + size]
        start = time.perf_counter()
        try:
            fills = generator.fill([*chosen, *[chosen[-1]] * (size - len(chosen))])[: len(chosen)]
        except Exception as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                raise Failure("out_of_memory", "not enough memory for a microbatch of one region") from error
        else:
            share = (time.perf_counter() - start) * 1000 / len(chosen)
            done += [_filled(fill, size == full_size, share) for fill in fills]
            continue
        # Outside the handler, because the error's traceback would keep the tensors alive that did
        # not fit.
        size //= 2
        _release_cached_memory()
    return done


def _filled(fill: Fill, repeatable: bool, milliseconds: float) -> Filled | Exception:
    if isinstance(fill, Exception):
        return fill
    if isinstance(fill, Described):
        return Filled(fill.pixels, repeatable, milliseconds, fill.figures)
    return Filled(fill, repeatable, milliseconds)


def out_of_memory(error: Exception) -> bool:
    """Whether the error says that memory ran out, on the host or on the accelerator.

    torch's host allocator and CUDA's libraries raise a RuntimeError, so its message decides.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in NO_MEMORY)


def _release_cached_memory() -> None:
    """Return the accelerator's cached blocks, which may be too small for the next allocation."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
