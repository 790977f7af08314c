"""Promises of every family: sizes, seeds, prompts, and bytes that depend only on the request."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from operators.generators.microbatch import fill_all
from operators.masks.mask import hole_of
from operators.rows.failure import RunError

DIFFUSION = ["sd9", "sd4", "sdxl", "flux_fill", "flux"]
FAMILIES = [*DIFFUSION, "amused"]


def pixels(generator, requests):
    outcomes = fill_all(generator, requests)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    assert all(outcome.repeatable for outcome in outcomes)
    return [outcome.pixels for outcome in outcomes]


@pytest.mark.parametrize("kind", FAMILIES)
def test_crops_of_any_size_come_back_at_their_own_size(generator, request_of, kind):
    sizes = [(1, 1), (7, 200), (131, 33), (64, 64)]
    requests = [request_of(60, 60), *(request_of(*size) for size in sizes[1:])]
    small = replace(request_of(), pixels=np.zeros((1, 2, 3), np.uint8), mask=np.zeros((1, 2, 4), np.uint8))
    made = pixels(generator(kind), [small, *requests])
    assert [fill.shape for fill in made] == [(1, 2, 3), (60, 60, 3), *((*size, 3) for size in sizes[1:])]
    assert all(fill.dtype == np.uint8 for fill in made)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_region_is_the_same_whatever_its_neighbours_batch_and_order(generator, request_of, kind):
    chosen = generator(kind)
    requests = [request_of(seed=7), request_of(seed=8, x=20, y=200), request_of(seed=9, x=300, y=300), request_of(30, 90, 3)]
    alone = [pixels(chosen, [request])[0] for request in requests]
    for order in itertools.islice(itertools.permutations(range(4)), 8, 24, 14):
        together = pixels(chosen, [requests[index] for index in order])
        assert all(np.array_equal(alone[index], fill) for index, fill in zip(order, together, strict=True))


@pytest.mark.parametrize("kind", FAMILIES)
def test_another_seed_makes_another_fill_and_the_same_one_the_same(generator, request_of, kind):
    chosen = generator(kind)
    first, again, other = pixels(chosen, [request_of(seed=5), request_of(seed=5), request_of(seed=6)])
    assert np.array_equal(first, again)
    hole = hole_of(request_of().mask) > 0
    assert (first[hole] != other[hole]).any()


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_prompt_reaches_the_model(generator, request_of, kind):
    chosen, request = generator(kind, guidance=8.0), request_of()
    first, other = pixels(chosen, [request, replace(request, prompt="a wall of bricks")])
    assert (first != other).any()


@pytest.mark.parametrize("kind", ["sd9", "amused"])
def test_the_negative_prompt_reaches_the_model(generator, request_of, kind):
    first, other = (pixels(generator(kind, negative_prompt=words), [request_of()])[0] for words in ("", "letters"))
    assert (first != other).any()


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_content_of_the_hole_does_not_show_through(generator, request_of, kind):
    request = request_of()
    marked = request.pixels.copy()
    marked[hole_of(request.mask) > 0] = (255, 0, 255)
    first, other = pixels(generator(kind), [request, replace(request, pixels=marked)])
    assert np.array_equal(first, other)


@pytest.mark.parametrize("kind", ["flux_fill"])
def test_a_pipeline_without_stochasticity_refuses_it(generator, kind):
    with pytest.raises(RunError, match="no stochasticity"):
        generator(kind, stochasticity=0.5)
