"""The audit: real pictures through every boundary of the pipeline, and what each of them loses
there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.audit.boundaries import BOUNDARIES
from flows.audit.boundaries.crossing import Crossing, pooled
from flows.audit.boundaries.embedding import Sight, seen, sights
from flows.audit.boundaries.latent import autoencoder
from flows.audit.boundaries.sample import Embed, RoundTrip, Sample, sample_of
from flows.audit.contracts import BOUNDS, LEAST_SEEN, breaches
from operators.models.threads import use_one_thread
from operators.rows.arrays import Pixels
from operators.rows.failure import RunError, failure_of, first_line
from operators.storage.listing import list_source
from operators.vision.image_encoder import image_encoder, prepared

NO_PICTURE = "no picture of the sample crosses it"


@dataclass(frozen=True)
class Models:
    """The models that some boundaries belong to, or why there is none."""

    autoencoder: RoundTrip | None = None
    no_autoencoder: str = "no --model is given"
    embed: Embed | None = None
    """The image encoder, as float32 and before anything is stored."""


def embedding(rgb: Pixels) -> npt.NDArray[np.float32]:
    """The shipped encoder's answer to a picture (uint8 height x width x 3), in its own precision."""
    encoder = image_encoder()
    return encoder.network(prepared(rgb, encoder.descriptor.side, encoder.descriptor))


def models(model: Path | None) -> Models:
    """The shipped encoder, and what a model folder in diffusers' layout brings.

    Raises RunError model_missing or model_invalid.
    """
    if model is None:
        return Models(embed=embedding)
    if not model.is_dir():
        raise RunError("model_missing", f"there is no folder {model}")
    if not (model / "vae").is_dir():
        return Models(embed=embedding, no_autoencoder=f"{model} has no autoencoder (no vae/)")
    try:
        return Models(autoencoder=autoencoder(model), embed=embedding)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise RunError("model_invalid", f"{model / 'vae'}: {first_line(error)}") from error


@dataclass(frozen=True)
class Measured:
    """One picture's crossings, one for each boundary that it met."""

    path: str
    crossings: tuple[Crossing, ...]
    sights: tuple[Sight, ...] = ()


@dataclass
class Audit:
    """What all pictures lost, boundary by boundary, and the files that could not be read, by
    their code.
    """

    source: str
    models: Models
    measured: list[Measured] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def of(self, boundary: str) -> list[tuple[str, Crossing]]:
        """The pictures that met a boundary, and their crossings."""
        return [(one.path, part) for one in self.measured for part in one.crossings if part.boundary == boundary]

    def pooled(self, boundary: str) -> Crossing | None:
        """All pictures' crossings of a boundary as one; None if none met it."""
        parts = [part for _, part in self.of(boundary)]
        return pooled(parts) if parts else None

    def not_crossed(self, boundary: str) -> str:
        """Why no picture met a boundary."""
        if boundary == "latent round trip" and self.models.autoencoder is None:
            return self.models.no_autoencoder
        return NO_PICTURE

    def seen(self) -> dict[str, float]:
        """How well the embedding sees each octave band and the text, 0..1, over all pictures."""
        return seen([sight for one in self.measured for sight in one.sights])

    def broken_bounds(self) -> list[str]:
        """One line for each broken bound: the boundary, how many pictures break it, and the first
        of them with its figures.
        """
        lines = []
        for boundary in BOUNDS:
            crossed = self.of(boundary)
            found = [(path, [str(breach) for breach in breaches(part)]) for path, part in crossed]
            worst = [(path, figures) for path, figures in found if figures]
            if worst:
                path, figures = worst[0]
                lines.append(f"{boundary}: {len(worst)} of {len(crossed)} pictures, such as {path}: {'; '.join(figures)}")
        lines += [
            f"embedding: {thing} seen at {share:.3f} of the best seen, bound {LEAST_SEEN}"
            for thing, share in self.seen().items()
            if share < LEAST_SEEN
        ]
        return lines


def audit(
    source: str,
    excluded: str,
    using: Models,
    limit: int | None = None,
    progress: Callable[[Audit], None] = lambda _: None,
) -> Audit:
    """Take every image of a source (at most `limit`) through every boundary.

    What cannot be read or worked is counted with its code. Raises RunError as `list_source` does,
    and nothing_measured where no file could be read.
    """
    use_one_thread()
    result = Audit(source, using)
    for item in islice(list_source(source, excluded), limit):
        try:
            result.measured.append(_measured(item.path, sample_of(item, using.autoencoder, using.embed)))
        except Exception as error:
            result.failures[failure_of(error).code] += 1
        progress(result)
    if not result.measured:
        codes = ", ".join(f"{count} {code}" for code, count in sorted(result.failures.items()))
        raise RunError("nothing_measured", f"none of {result.failures.total()} files could be read ({codes})")
    return result


def _measured(path: str, sample: Sample) -> Measured:
    crossings: dict[str, list[Crossing]] = {}
    for boundary in BOUNDARIES:
        for crossing in boundary(sample):
            crossings.setdefault(crossing.boundary, []).append(crossing)
    return Measured(path, tuple(pooled(parts) for parts in crossings.values()), tuple(sights(sample)))


def figures(crossing: Crossing) -> Iterator[tuple[str, object]]:
    """A crossing's figures under their names, as JSON keeps them: an exact crossing has no PSNR,
    but `exact`.
    """
    exact = crossing.psnr == float("inf")
    yield "exact", exact if crossing.values else None
    yield "psnr", None if exact else crossing.psnr
    yield "grey_levels", crossing.grey_levels
    yield "band_energy", list(crossing.band_energy)
    yield "cells_lost", crossing.cells_lost
