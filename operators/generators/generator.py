"""What a generator is asked for, and what every generator is: the one interface of classical,
diffusion and token models.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from operators.rows.arrays import Pixels


@dataclass(frozen=True)
class Request:
    """One region to be filled.

    `pixels` is its context crop (uint8 sRGB, height x width x 3), `mask` the region's four
    channels (uint8, height x width x 4, see `operators.masks.mask.CHANNELS`), `seed` its own 63
    bits, `prompt` the intent as the model's card renders it.
    """

    pixels: Pixels
    mask: Pixels
    seed: int
    prompt: str = ""


class Generator(Protocol):
    """Fills regions. Which ones may share a call, and how many, is on the generator;
    `microbatch.filled` sees to it.
    """

    def shape(self, request: Request) -> Hashable:
        """What requests of one call have in common: the size at which the model works them."""

    def microbatch(self, request: Request) -> int:
        """Regions of this shape that one call takes; the caller pads to exactly as many, so that
        shapes never vary.
        """

    def fill(self, requests: Sequence[Request]) -> list[Pixels]:
        """The crops regenerated (uint8 sRGB), each of its own crop's size, whole: the caller
        pastes by `blend`.

        All requests have one `shape`. Raises MemoryError or torch.OutOfMemoryError where there
        are too many at once.
        """
