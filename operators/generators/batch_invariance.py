"""Test whether a region's place in its microbatch changes its pixels on this machine.

No library promises that it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from operators.generators.generator import Request
from operators.generators.loading import Loaded
from operators.generators.microbatch import out_of_memory

if TYPE_CHECKING:
    import torch

Pictures = Callable[[Sequence[Request]], "torch.Tensor"]
"""Makes pictures from requests of one shape, before rounding; the microbatch is the first axis."""


def invariant_microbatch(loaded: Loaded, size: int, kind: Hashable, request: Request, pictures: Pictures) -> int:
    """`size` if equal requests give bit-identical pictures at every place of a microbatch, else 1.

    Shapes alone decide in which order a kernel sums, and which elements it leaves to a remainder
    loop (seen on CPUs). One microbatch of copies of `request` therefore answers the question for
    each `kind`, which must hold everything that shapes depend on. If that microbatch does not fit
    in memory the answer is `size`, so that the caller halves it.
    """
    if size == 1:
        return 1
    key = (size, kind)
    if key not in loaded.places_alike:
        try:
            batch = pictures([request] * size)
        except Exception as error:
            if out_of_memory(error):
                return size
            raise
        loaded.places_alike[key] = bool((batch == batch[:1]).all())
    return size if loaded.places_alike[key] else 1
