"""The boundaries of the pipeline: each is a function that measures what a sample loses there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flows.audit.boundaries.crossing import Crossing
from flows.audit.boundaries.embedding import embedding_stored
from flows.audit.boundaries.files import colour_there_and_back, file_encoding
from flows.audit.boundaries.latent import latent_mask, latent_round_trip
from flows.audit.boundaries.masks import map_to_stored, polygon_to_raster, polygons_stored, stored_to_pixels
from flows.audit.boundaries.sample import Sample
from flows.audit.boundaries.sizes import model_sizes
from flows.audit.boundaries.weights import paste_back, soft_mask

BOUNDARIES: tuple[Callable[[Sample], Iterator[Crossing]], ...] = (
    map_to_stored,
    stored_to_pixels,
    polygons_stored,
    polygon_to_raster,
    soft_mask,
    paste_back,
    latent_mask,
    model_sizes,
    latent_round_trip,
    embedding_stored,
    colour_there_and_back,
    file_encoding,
)
"""Every boundary, in the order an image crosses them."""
