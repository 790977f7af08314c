"""Draw the sample of a run's edits that people are to look at."""

from __future__ import annotations

import secrets

import numpy as np

from flows.reports.proven import Sample, SampledPicture, read_sample, sample_uri
from flows.review.pictures import Pictures
from operators.decisions.acceptance_sampling import CONFIDENCE, draw, draws_to_prove
from operators.rows.failure import RunError
from operators.storage import files as storage


def open_sample(dest: str, pictures: Pictures, target: float, size: int | None = None) -> Sample:
    """The sample of a destination, drawn now unless it was before.

    Without a `size` it has as many draws as prove `target` if none is bad. Raises RunError
    sample_drawn if there is one of another size or target, nothing_to_review, and Failure.
    """
    wanted = size or draws_to_prove(target)
    sample = read_sample(dest) or _draw(dest, pictures, target, wanted)
    if (sample.size, sample.target) != (wanted, target):
        raise RunError(
            "sample_drawn",
            f"{dest} has a sample of {sample.size} for a target of {sample.target:.2%}, which cannot be changed any more",
        )
    return sample


def _draw(dest: str, pictures: Pictures, target: float, size: int) -> Sample:
    numbers = np.flatnonzero(pictures.edited)
    if not len(numbers):
        raise RunError("nothing_to_review", f"{dest} has no edited pictures")
    seed = secrets.randbits(32)
    strata, draws = draw([pictures.bucket_of(int(number)) for number in numbers], pictures.doubt[numbers].tolist(), size, seed)
    drawn = [(int(numbers[each.item]), each) for each in draws]
    sampled = [SampledPicture(pictures.ids[number], pictures.paths[number], each.bucket, each.weight) for number, each in drawn]
    sample = Sample(size, seed, target, CONFIDENCE, tuple(strata), tuple(sampled))
    if not storage.create(sample_uri(dest), sample.encode()):
        raise RunError("sample_drawn", f"{dest} got a sample from somebody else at the same moment; run again", exit_code=3)
    return sample
