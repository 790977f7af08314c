"""The interface of every generator, classical, diffusion or token model, and its requests.

To add a model of a known family, write a card (see `operators.models.card`). To add a family,
write a class with the three methods of `Generator` and add it to `catalogue`. The pipeline asks
for the generator of a card once per batch, so constructing one must be cheap: load weights with
`operators.models.in_process.load_once`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from operators.rows.arrays import Pixels


@dataclass(frozen=True)
class Request:
    """One region to fill.

    The hole is every pixel where `core` or `blend` is above 0 (`operators.masks.mask.hole_of`).
    It may be empty; `inpaint` never asks for a crop without a pixel outside it. Crops have any
    size from 1 x 1 pixels. The arrays may be read-only and may be shared between requests.
    """

    pixels: Pixels
    """The context crop: uint8 sRGB 0..255, height x width x 3. Text is still in the hole."""
    mask: Pixels
    """The region's mask: uint8 0..255, height x width x 4, see `operators.masks.mask.CHANNELS`."""
    seed: int
    """63 bits, 0 to 2**63 - 1: the only source of random numbers for this region."""
    prompt: str = ""
    """The intent, rendered by the model's card; classical generators ignore it."""


@dataclass(frozen=True)
class Described:
    """A fill with figures about how it was made, which the ledger records."""

    pixels: Pixels
    figures: tuple[tuple[str, float], ...]
    """By name, such as `call_cost`."""


Fill = Pixels | Described | Exception
"""A fill, or why there is none."""


class Generator(Protocol):
    """Fills regions.

    Callers go through `microbatch.fill_all`, which groups requests by `shape`, pads each group to
    `microbatch` requests by repeating the last one, and calls `fill`.

    Determinism: on one kind of machine the same request gives the same bytes, whatever its place
    in the microbatch and whichever requests share it. Draw all random numbers from the request's
    `seed`. A generator whose results depend on the place returns 1 from `microbatch`, see
    `batch_invariance`.
    """

    def shape(self, request: Request) -> Hashable:
        """A key for the size at which the model works on the request; one call takes equal keys.

        An exception fails this request alone.
        """

    def microbatch(self, request: Request) -> int:
        """How many requests of this request's shape one call takes, at least 1.

        Calls always have exactly that many requests, so that tensor shapes never vary; only after
        an out-of-memory error does the caller halve the number, down to 1. An exception fails
        this request alone.
        """

    def fill(self, requests: Sequence[Request]) -> Sequence[Fill]:
        """Regenerate the crops: one uint8 sRGB array per request, in order, of its crop's size.

        All requests have one `shape`. Each result is the whole crop, height x width x 3; the
        caller pastes it by the mask's `blend`, so pixels outside the hole may differ. Do not
        write to the requests' arrays.

        Raise MemoryError or torch.OutOfMemoryError if the requests do not fit in memory: the
        caller then retries with half as many. After any other exception the caller tries each
        request alone, and the ones that fail alone fail with their exception. Where a second try
        would cost money, return the exception in the place of the fill instead.
        """
