"""The contract of a generator as tests that a class of your own inherits.

    class TestMine(GeneratorContract):
        @abstractmethod
    def generator(self) -> Generator:
            return Mine()

pytest collects the inherited methods. They need no pytest themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from operators.generators.generator import Generator, Request
from operators.generators.microbatch import Filled, fill_all
from operators.masks.mask import BLEND, CONFIDENCE, CORE, hole_of
from operators.rows.arrays import Pixels

SIZES = ((96, 64), (64, 96), (33, 17), (200, 40), (1, 1))
"""Width and height of the crops on which a generator is tested."""


class GeneratorContract(ABC):
    """What the pipeline expects of every generator. Override `generator`."""

    @abstractmethod
    def generator(self) -> Generator:
        """A new generator, as a worker makes it."""

    def requests(self) -> list[Request]:
        """Requests of several sizes, with a rectangular hole each, except one with no hole."""
        return [_request(width, height, number) for number, (width, height) in enumerate(SIZES)]

    def test_a_fill_has_the_size_and_type_of_its_crop(self) -> None:
        """uint8, height x width x 3, for every size of crop."""
        for request, pixels in zip(self.requests(), self._fills(self.requests()), strict=True):
            assert pixels.dtype == np.uint8 and pixels.shape == request.pixels.shape

    def test_the_same_request_gives_the_same_bytes(self) -> None:
        """Also from another generator of the same kind."""
        assert _equal(self._fills(self.requests()), self._fills(self.requests()))

    def test_the_place_in_a_microbatch_changes_nothing(self) -> None:
        """Requests give the same bytes alone, together, and in the opposite order."""
        requests = self.requests()
        together = self._fills(requests)
        assert _equal(together, self._fills(requests[::-1])[::-1])
        assert _equal(together, [self._fills([request])[0] for request in requests])

    def test_what_the_hole_hides_does_not_matter(self) -> None:
        """Two crops that differ in the hole alone get the same fill inside it."""
        for request in self.requests():
            hole = hole_of(request.mask) > 0
            pixels = request.pixels.copy()
            pixels[hole] = 255 - pixels[hole]
            other = Request(pixels, request.mask, request.seed, request.prompt)
            first, second = self._fills([request, other])
            assert np.array_equal(first[hole], second[hole])

    def test_the_request_is_not_changed(self) -> None:
        """The arrays of a request may be read-only and shared."""
        requests = self.requests()
        before = [(request.pixels.copy(), request.mask.copy()) for request in requests]
        for request in requests:
            request.pixels.flags.writeable = request.mask.flags.writeable = False
        self._fills(requests)
        for request, (pixels, mask) in zip(requests, before, strict=True):
            assert np.array_equal(request.pixels, pixels) and np.array_equal(request.mask, mask)

    def test_a_microbatch_has_at_least_one_request(self) -> None:
        """For every size of crop."""
        generator = self.generator()
        assert all(generator.microbatch(request) >= 1 for request in self.requests())

    def _fills(self, requests: Sequence[Request]) -> list[Pixels]:
        outcomes = fill_all(self.generator(), list(requests))
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if errors:
            raise errors[0]
        return [outcome.pixels for outcome in outcomes if isinstance(outcome, Filled)]


def _request(width: int, height: int, number: int) -> Request:
    random = np.random.default_rng(number)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width, 4), np.uint8)
    hole = mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
    hole[..., [CORE, BLEND, CONFIDENCE]] = 255
    return Request(pixels, mask, seed=1000 + number)


def _equal(first: Sequence[Pixels], second: Sequence[Pixels]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))
