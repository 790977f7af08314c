"""Take real pictures through every boundary of the pipeline, and measure what each loses there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from flows.audit.boundaries import BOUNDARIES
from flows.audit.boundaries.crossing import Crossing, pooled
from flows.audit.boundaries.embedding import Sight, measure_sights, visibility
from flows.audit.boundaries.latent import autoencoder
from flows.audit.boundaries.sample import Embed, RoundTrip, Sample, take_sample
from flows.audit.contracts import BOUNDS, LEAST_SEEN, breaches
from operators.models.threads import use_one_thread
from operators.rows.arrays import Pixels
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError, failure_of, first_line
from operators.storage.allowed import is_allowed, places_of
from operators.storage.listing import list_source, require_images
from operators.vision.image_encoder import image_encoder, prepared

NO_PICTURE = "no picture of the sample crosses it"


@dataclass(frozen=True)
class Models:
    """The models that some boundaries need, or the reason why one is missing."""

    autoencoder: RoundTrip | None = None
    no_autoencoder: str = "no --model is given"
    embed: Embed | None = None
    """The image encoder; its float32 output before it is stored."""


def embedding(rgb: Pixels) -> npt.NDArray[np.float32]:
    """Embed a picture (uint8 height x width x 3) with the shipped encoder, at full precision."""
    encoder = image_encoder()
    return encoder.network(prepared(rgb, encoder.descriptor.side, encoder.descriptor))


def load_models(model: Path | None) -> Models:
    """Load the shipped encoder, and the autoencoder of a model folder in diffusers' layout.

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
class MeasuredPicture:
    """The crossings of one picture, one for each boundary that it crossed."""

    path: str
    crossings: tuple[Crossing, ...]
    sights: tuple[Sight, ...] = ()


@dataclass
class Audit:
    """The losses of all pictures at every boundary, and the failed files by error code."""

    source: str
    models: Models
    measured: list[MeasuredPicture] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def crossings(self, boundary: str) -> list[tuple[str, Crossing]]:
        """The path and the crossing of each picture that crossed a boundary."""
        return [
            (picture.path, crossing)
            for picture in self.measured
            for crossing in picture.crossings
            if crossing.boundary == boundary
        ]

    def pooled(self, boundary: str) -> Crossing | None:
        """The crossings of a boundary by all pictures as one; None if no picture crossed it."""
        parts = [crossing for _, crossing in self.crossings(boundary)]
        return pooled(parts) if parts else None

    def not_crossed(self, boundary: str) -> str:
        """The reason why no picture crossed a boundary."""
        if boundary == "latent round trip" and self.models.autoencoder is None:
            return self.models.no_autoencoder
        return NO_PICTURE

    def visibility(self) -> dict[str, float]:
        """How well the embedding sees each octave band and the text, 0..1, over all pictures."""
        return visibility([sight for picture in self.measured for sight in picture.sights])

    def broken_bounds(self) -> list[str]:
        """One line for each broken bound: the number of pictures that break it, and the figures of
        the first one.
        """
        lines = []
        for boundary in BOUNDS:
            crossings = self.crossings(boundary)
            broken = [(path, found) for path, crossing in crossings if (found := list(breaches(crossing)))]
            if broken:
                path, found = broken[0]
                example = f"{path}: {'; '.join(map(str, found))}"
                lines.append(f"{boundary}: {len(broken)} of {counted(len(crossings), 'picture')}, such as {example}")
        lines += [
            f"embedding: {thing} seen at {share:.3f} of the best seen, bound {LEAST_SEEN}"
            for thing, share in self.visibility().items()
            if share < LEAST_SEEN
        ]
        return lines


def audit(
    source: str,
    excluded: str,
    models: Models,
    limit: int | None = None,
    progress: Callable[[Audit], None] = lambda _: None,
) -> Audit:
    """Take every image of a source (at most `limit`) through every boundary.

    Counts failed files by error code. Raises RunError as `list_source` does, no_images for a
    source without images, and nothing_measured if no file could be read.
    """
    require_images(source, excluded)
    use_one_thread()
    result, places = Audit(source, models), places_of(source)
    for item in islice(list_source(source, excluded), limit):
        try:
            if not is_allowed(item.uri, places):
                raise Failure("source_not_allowed", "it is outside of the manifest's folder, bucket or host")
            result.measured.append(_measure(item.path, take_sample(item, models.autoencoder, models.embed)))
        except Exception as error:
            result.failures[failure_of(error).code] += 1
        progress(result)
    if not result.measured:
        codes = ", ".join(f"{count} {code}" for code, count in sorted(result.failures.items()))
        raise RunError("nothing_measured", f"none of {counted(result.failures.total(), 'file')} could be read ({codes})")
    return result


def _measure(path: str, sample: Sample) -> MeasuredPicture:
    crossings: dict[str, list[Crossing]] = {}
    for boundary in BOUNDARIES:
        for crossing in boundary(sample):
            crossings.setdefault(crossing.boundary, []).append(crossing)
    return MeasuredPicture(path, tuple(pooled(parts) for parts in crossings.values()), tuple(measure_sights(sample)))


class FigureRecord(TypedDict):
    """The figures of a crossing in audit.json; None where they do not apply.

    JSON has no infinity, so an exact crossing has `exact` instead of a PSNR.
    """

    exact: bool | None
    psnr: float | None
    grey_levels: float | None
    band_energy: list[float | None]
    cells_lost: float | None


def figures(crossing: Crossing) -> FigureRecord:
    """The figures of a crossing as JSON keeps them."""
    exact = crossing.psnr == float("inf")
    return FigureRecord(
        exact=exact if crossing.values else None,
        psnr=None if exact else crossing.psnr,
        grey_levels=crossing.grey_levels,
        band_energy=list(crossing.band_energy),
        cells_lost=crossing.cells_lost,
    )
