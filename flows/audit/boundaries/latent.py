"""Measure the loss of shrinking a mask to latent cells, and of a model's autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from flows.audit.boundaries.crossing import Crossing, compare_cells, compare_pictures
from flows.audit.boundaries.sample import RoundTrip, Sample
from operators.generators.canvas import largest
from operators.masks.mask import CORE
from operators.rows.arrays import Pixels

CELL = 8
"""Source pixels on each side of a latent cell of the common 8-fold autoencoders."""

Cells = npt.NDArray[np.bool_]


def _blocks(strokes: Cells) -> npt.NDArray[np.bool_]:
    """The mask as latent rows x 8 x latent columns x 8, padded with False to whole cells."""
    down, across = -strokes.shape[0] % CELL, -strokes.shape[1] % CELL
    padded = np.pad(strokes, ((0, down), (0, across)))
    return padded.reshape(padded.shape[0] // CELL, CELL, padded.shape[1] // CELL, CELL)


def touched(strokes: Cells) -> Cells:
    """The cells that any stroke touches: the truth."""
    return np.asarray(_blocks(strokes).any(axis=(1, 3)))


def max_pooled(strokes: Cells) -> Cells:
    """Sample the cells as the generators do."""
    height, width = (side + -side % CELL for side in strokes.shape)
    padded = np.pad(strokes, ((0, height - strokes.shape[0]), (0, width - strokes.shape[1])))
    return largest(padded.view(np.uint8), height // CELL, width // CELL) > 0


def nearest(strokes: Cells) -> Cells:
    """Take the first pixel of each cell, as nearest sampling in the usual latent pipelines does
    (diffusers 0.42, torch).
    """
    return _blocks(strokes)[:, 0, :, 0]


def mean_thresholded(strokes: Cells) -> Cells:
    """Mask a cell if at least half of its pixels are masked."""
    return np.asarray(_blocks(strokes).mean(axis=(1, 3)) >= 0.5)


SAMPLERS = {"max-pooled": max_pooled, "nearest": nearest, "mean at 0.5": mean_thresholded}


def latent_mask(sample: Sample) -> Iterator[Crossing]:
    """Shrink real strokes to the latent grid; the cells are those that a stroke touches."""
    for _, mask in sample.crops:
        strokes = mask[:, :, CORE] > 0
        for name, sampler in SAMPLERS.items():
            yield compare_cells(f"strokes to latent cells, {name}", touched(strokes), sampler(strokes))


def latent_round_trip(sample: Sample) -> Iterator[Crossing]:
    """Take every real crop through the model's autoencoder at its own size, without generation."""
    if sample.autoencoder is None:
        return
    for pixels, _ in sample.crops:
        yield compare_pictures("latent round trip", pixels, sample.autoencoder(pixels))


def autoencoder(folder: Path) -> RoundTrip:
    """Load the round trip through the `vae/` of a model folder in the layout of diffusers.

    The autoencoder is an AutoencoderKL; the round trip uses the mean of its latents, in float32.
    Crops are padded to whole latent cells and cropped again. Raises OSError or ValueError if the
    folder has no autoencoder.
    """
    import torch
    from diffusers import AutoencoderKL

    load: Callable[..., Any] = AutoencoderKL.from_pretrained
    network = load(folder / "vae", torch_dtype=torch.float32, local_files_only=True).eval()
    multiple = 2 ** (len(network.config.block_out_channels) - 1)

    def round_trip(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        padded = cv2.copyMakeBorder(pixels, 0, -height % multiple, 0, -width % multiple, cv2.BORDER_REPLICATE)
        values = torch.from_numpy(padded.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1)
        with torch.inference_mode():
            decoded = network.decode(network.encode(values).latent_dist.mode()).sample
        back = (decoded[0].numpy().transpose(1, 2, 0) + 1) * 127.5
        result: Pixels = np.clip(np.rint(back), 0, 255).astype(np.uint8)[:height, :width]
        return result

    return round_trip
