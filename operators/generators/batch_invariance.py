"""Whether a region's place in its microbatch matters on this machine: found out, because no
library promises otherwise.
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
"""Requests of one shape to the pictures made of them, before they are rounded; the first axis is
the microbatch.
"""


def invariant_microbatch(loaded: Loaded, size: int, kind: Hashable, request: Request, pictures: Pictures) -> int:
    """`size` if equal requests give bit for bit equal pictures at every place of a microbatch of
    that size, else 1.

    Shapes alone decide in which order a kernel adds up, or which elements it leaves to a loop for
    the rest (this one was seen on CPUs): one microbatch of the same request tells it once for
    each `kind`, all that shapes depend on.
    """
    if size == 1:
        return 1
    key = (size, kind)
    if key not in loaded.places_alike:
        try:
            made = pictures([request] * size)
        except Exception as error:
            if out_of_memory(error):
                return size
            raise
        loaded.places_alike[key] = bool((made == made[:1]).all())
    return size if loaded.places_alike[key] else 1
