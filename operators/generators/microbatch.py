"""Many requests through one generator: grouped by shape, padded to one size, halved when memory
ends, each failing alone.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from operators.generators.generator import Generator, Request
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure


@dataclass(frozen=True)
class Filled:
    """A region's fill (uint8 sRGB, its crop's size), and whether the same request will always
    give the same bytes here.
    """

    pixels: Pixels
    repeatable: bool
    milliseconds: float
    """The region's even share of its microbatch's time."""


def fill_all(generator: Generator, requests: Sequence[Request]) -> list[Filled | Exception]:
    """Every request's fill, or what went wrong with it, in order.

    A microbatch holds requests of one shape and is padded by repeating the last, so a region's
    pixels depend on nothing but its own request. Out of memory, it is halved down to 1; what was
    filled at another size is not `repeatable`, because sums run in another order there. What
    fails together is tried once more one by one, so that only the culprit fails.
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
            outcomes.update(zip(chosen, _isolated(generator, [requests[index] for index in chosen], size), strict=True))
    return [outcomes[index] for index in range(len(requests))]


def _isolated(generator: Generator, requests: Sequence[Request], size: int) -> list[Filled | Exception]:
    try:
        return [*_halving(generator, requests, size)]
    except Exception as error:
        if len(requests) == 1:
            return [error]
    return [outcome for request in requests for outcome in _isolated(generator, [request], size)]


def _halving(generator: Generator, requests: Sequence[Request], size: int) -> list[Filled]:
    """The requests in microbatches of `size`, or of half of it as often as memory asks for.
    Raises Failure out_of_memory.
    """
    done: list[Filled] = []
    whole = size
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
            done += [Filled(pixels, size == whole, share) for pixels in fills]
            continue
        # Outside the handler: there the error's traceback would keep the tensors alive that did
        # not fit.
        size //= 2
        release()
    return done


def out_of_memory(error: Exception) -> bool:
    """Whether memory ended, the host's or the accelerator's; torch's allocator for the host has
    no type of its own for it.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def release() -> None:
    """Hand the accelerator's cached blocks back, which may be too small for what comes next."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
