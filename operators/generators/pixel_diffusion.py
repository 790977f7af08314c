"""Pixel diffusion: correct a PatchMatch fill by the picture still visible under the soft mask.

It runs on ONNX Runtime, without torch. The diffusion acts on the residual between the clean
picture and a PatchMatch fill of it. The network sees the noisy residual, the fill with its
surroundings, a smooth fill, the picture as it is, the mask's `core`, `blend` and `confidence`,
and how the colours of marks and picture differ near each pixel. All of these are packed by an
exactly invertible pixel-unshuffle.

The network estimates the clean residual as a sum: a free part; a share of the way to the smooth
fill; the way to the picture as it is, weighted by the network's trust in it; and a share of the
noisy residual.

A stroke mask is wider than its strokes, and strokes may be translucent. Much of the picture below
it is therefore still visible; the mask's `confidence` says how surely a pixel is not. Masks from
the user hide everything below them.

Crops of any size are processed in windows of two fixed sizes, only around the hole.
`training/diffusion.py` trains the network, `training/diffusion_export.py` writes its folder.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from operators.generators.classical import navier_stokes, patchmatch
from operators.generators.generator import Request
from operators.masks.mask import BLEND, CONFIDENCE, CORE, hole_of
from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.failure import RunError
from operators.rows.timing import timed

Field = npt.NDArray[np.float32]
"""One or more values per pixel: height x width x channels."""

GRAPH = "unet/model.onnx"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
"""Files in a model's folder: the graph, and the weights that the graph reads."""
SIDES = (128, 256)
"""Sides in pixels of the windows on which the network runs."""
OVERLAP = 32
"""Pixels, at least, that neighbouring windows share; their estimates fade into each other."""
PACKING = 2
"""Pixels per side that pixel-unshuffle packs into one place with four times the channels."""
DOUBT = 4
"""Exponent of the first guess of trust in the picture: (1 - confidence) ** DOUBT.

The network corrects the guess's logit.
"""
LEAST_TRUST = 0.002
"""Least distance of that guess from 0 and from 1."""
CAUTION = 8
"""Exponent of the trust in the picture as it is.

A high exponent prefers inventing one more pixel to leaving a ghost of a letter.
"""
NEAR = 6.0
"""Sigma in pixels of the neighbourhood in which the colours of marks and picture are compared."""
LEAST_WEIGHT = np.float32(1e-3)
"""Weight of the mean over the whole crop where no pixel nearby has a weight."""
RESIDUAL_SCALE = 3.0
"""Factor on residuals (differences of picture values in -1..1), so that they match the noise."""


def space_to_depth(field: Field) -> Field:
    """Pack height x width x c into c * 4 x height / 2 x width / 2, as torch's `pixel_unshuffle`."""
    height, width, channels = field.shape
    blocks = field.reshape(height // PACKING, PACKING, width // PACKING, PACKING, channels)
    flat = blocks.transpose(4, 1, 3, 0, 2).reshape(channels * PACKING**2, height // PACKING, width // PACKING)
    return np.ascontiguousarray(flat)


def depth_to_space(values: Field) -> Field:
    """Unpack, bit for bit the inverse of `space_to_depth`."""
    depth, rows, columns = values.shape
    blocks = values.reshape(depth // PACKING**2, PACKING, PACKING, rows, columns)
    field = blocks.transpose(3, 1, 4, 2, 0).reshape(rows * PACKING, columns * PACKING, depth // PACKING**2)
    return np.ascontiguousarray(field)


def levels(steps: int) -> list[tuple[float, float]]:
    """Each step's noise level and the next step's, evenly from 1 (noise) to 0 (clean)."""
    return [((steps - n) / steps, (steps - n - 1) / steps) for n in range(steps)]


def windows(hole: Pixels, side: int) -> list[tuple[int, int]]:
    """Corners (y, x) of side x side windows that cover every pixel of the hole; empty without one.

    The windows are spread evenly over the hole's bounding box and overlap by at least OVERLAP.
    Neither side of `hole` may be shorter than `side`.
    """
    corners: list[list[int]] = []
    for axis in (1, 0):
        occupied = np.flatnonzero(hole.any(axis=axis))
        if not len(occupied):
            return []
        first, last, length = int(occupied[0]), int(occupied[-1]) + 1, hole.shape[1 - axis]
        extent = last - first
        count = 1 if extent <= side else -(-(extent - OVERLAP) // (side - OVERLAP))
        starts = np.linspace(first, last - side, count) if count > 1 else np.array([(first + last - side) / 2])
        corners.append([int(np.clip(round(start), 0, length - side)) for start in starts])
    return [(y, x) for y in corners[0] for x in corners[1] if hole[y : y + side, x : x + side].any()]


def cheapest_windows(hole: Pixels) -> tuple[int, list[tuple[int, int]]]:
    """The side and the corners of the windows that cover a hole with the fewest pixels.

    Of equal covers the larger side wins, because it has fewer seams. The result depends on the
    hole alone. Only sides that fit into the crop are tried.
    """
    options = [(side, windows(hole, side)) for side in reversed(SIDES) if side <= min(hole.shape)]
    return min(options, key=lambda option: option[0] ** 2 * len(option[1]))


def window_weights(side: int) -> Field:
    """A window's weight at each pixel, from near 0 at its edges to 1 at OVERLAP pixels inside."""
    ramp = np.minimum(1, (np.minimum(np.arange(side), np.arange(side)[::-1]) + 1) / OVERLAP).astype(np.float32)
    return (ramp[:, None] * ramp)[:, :, None]


def _local_mean(values: Field, weight: Field) -> Field:
    """The weighted mean of values around each pixel, or over the crop if no weight is near."""
    total = cv2.GaussianBlur(np.dstack([values * weight, weight]), (0, 0), NEAR, borderType=cv2.BORDER_REPLICATE)
    everywhere = (values * weight).sum((0, 1)) / max(float(weight.sum()), 1e-6)
    result: Field = (total[:, :, :-1] + LEAST_WEIGHT * everywhere) / (total[:, :, -1:] + LEAST_WEIGHT)
    return result


def hints(seen: Field, confidence: Field) -> Field:
    """How marks and picture differ near each pixel: float32 height x width x 8.

    `seen` is a picture (-1..1), `confidence` the mask's channel (0..1). The channels are: the
    pixel's colour minus the colour behind the marks, times 2 (three channels); the marks' colour
    minus the colour behind them (three); the share of the second that explains the first; and the
    largest part that this share leaves unexplained, times 4.
    """
    marks, behind = _local_mean(seen, confidence**4), _local_mean(seen, (1 - confidence) ** 8)
    offset, contrast = seen - behind, marks - behind
    share = (offset * contrast).sum(axis=2, keepdims=True) / ((contrast**2).sum(axis=2, keepdims=True) + np.float32(0.01))
    share = np.clip(share, -1, 2)
    unexplained = np.abs(offset - share * contrast).max(axis=2, keepdims=True)
    return np.concatenate([2 * offset, contrast, share, 4 * unexplained], axis=2).astype(np.float32)


def first_trust(confidence: Field) -> Field:
    """The trust in the picture (0..1) before the network corrects it, by `confidence` (0..1)."""
    result: Field = np.clip((1 - confidence) ** DOUBT, LEAST_TRUST, 1 - LEAST_TRUST)
    return result


def visible(pixels: Pixels, fill: Pixels, mask: Pixels) -> Pixels:
    """The crop where the network may look through the mask, elsewhere the fill.

    All are uint8, height x width x 3 (`mask` x 4). The network may look through the region's
    strokes that were found in the picture. A mask from the user covers what must go, not strokes
    on top of it; `soften` gives such a mask equal `blend` and `confidence`. This mask says nothing
    about the strokes of other regions, so they stay hidden too.
    """
    from_user = np.array_equal(mask[:, :, BLEND], mask[:, :, CONFIDENCE])
    hidden = (hole_of(mask) > 0) & (from_user | (mask[:, :, BLEND] == 0))
    return np.where(hidden[:, :, None], fill, pixels)


@dataclass(frozen=True)
class Start:
    """The network's inputs that are the same at every noise level.

    All are height x width x channels, pictures in -1..1, masks in 0..1.
    """

    fill: Field
    """The PatchMatch fill."""
    smooth: Field
    """The smooth fill."""
    seen: Field
    """The picture as far as the network may see it, see `visible`."""
    mask: Field
    """`core`, `blend` and `confidence`."""
    hints: Field
    """See `hints`."""
    hole: Field
    """1 in the hole, else 0; one channel."""

    @classmethod
    def of(cls, pixels: Pixels, fill: Pixels, smooth: Pixels, mask: Pixels) -> Start:
        """From a crop, two fills of it and its mask, all uint8; the mask has four channels."""
        channels = mask[:, :, [CORE, BLEND, CONFIDENCE]].astype(np.float32) / np.float32(255)
        hole = (hole_of(mask) > 0)[:, :, None].astype(np.float32)
        pictures = (fill, smooth, visible(pixels, fill, mask))
        first, second, seen = (picture.astype(np.float32) / np.float32(127.5) - 1 for picture in pictures)
        return cls(first, second, seen, channels, hints(seen, channels[:, :, 2:]), hole)

    def cut(self, y: int, x: int, side: int) -> Start:
        """The part in one window."""
        window = np.s_[y : y + side, x : x + side]
        return Start(*(getattr(self, name)[window] for name in ("fill", "smooth", "seen", "mask", "hints", "hole")))


class Network:
    """The trained network on one computing thread; equal inputs give equal estimates."""

    def __init__(self, folder: Path) -> None:
        self._session = onnx_session(folder / GRAPH)

    def estimate(self, start: Start, noisy: Field, level: float) -> Field:
        """The clean residual, height x width x 3, estimated from a noisy one; 0 outside the hole.

        `level` is the noise level of `noisy`, 0 (clean) to 1 (noise).
        """
        smooth, seen = start.smooth - start.fill, start.seen - start.fill
        channels = np.concatenate([noisy, start.fill, smooth, seen, start.mask, start.hints], axis=2)
        inputs = {"packed": space_to_depth(channels)[None], "level": np.array([level * 1000], np.float32)}
        with timed("model"):
            output = depth_to_space(self._session.run(None, inputs)[0][0])
        trust = (1 / (1 + (1 / first_trust(start.mask[:, :, 2:3]) - 1) * np.exp(-output[:, :, 4:5]))) ** CAUTION
        towards = (output[:, :, 3:4] * smooth + trust * seen) * np.float32(RESIDUAL_SCALE)
        result: Field = start.hole * (output[:, :, :3] + towards + output[:, :, 5:6] * noisy)
        return result


def sample(network: Network, start: Start, seed: int, steps: int) -> Field:
    """Sample the residual for a seed, height x width x 3.

    Deterministic steps (DDIM, Song et al. 2021) follow the straight path from noise to the clean
    residual (rectified flow, Liu et al. 2022). Noise and steps cover the whole crop; only the
    estimates are made window by window.
    """
    side, corners = cheapest_windows(start.hole[:, :, 0].astype(np.uint8))
    noise = np.random.default_rng(seed).standard_normal(start.fill.shape, np.float32)
    noisy, fading = noise * start.hole, window_weights(side)
    for level, next_level in levels(steps):
        total, weight = np.zeros_like(noisy), np.full_like(start.hole, 1e-9)
        for y, x in corners:
            window = np.s_[y : y + side, x : x + side]
            total[window] += fading * network.estimate(start.cut(y, x, side), noisy[window], level)
            weight[window] += fading
        clean = total / weight
        noisy = (1 - next_level) * clean + next_level * (noisy - (1 - level) * clean) / level
    return noisy


@dataclass(frozen=True)
class PixelDiffusion:
    """The model in `folder` as a generator.

    The same crop, mask, seed and steps give the same bytes. Nothing outside the hole changes.
    """

    folder: Path
    steps: int

    @classmethod
    def of(cls, alias: str, folder: Path, steps: int) -> PixelDiffusion:
        """A generator for a folder, which is not read yet.

        Raises RunError model_invalid if the graph or the weights are missing.
        """
        if not (folder / GRAPH).is_file() or not (folder / WEIGHTS).is_file():
            raise RunError("model_invalid", f"{alias}: {folder} needs both {GRAPH} and {WEIGHTS}")
        return cls(folder, steps)

    def shape(self, request: Request) -> Hashable:
        """None: requests of any size may share a call, because each is filled alone."""
        return None

    def microbatch(self, request: Request) -> int:
        """One: batching does not help."""
        return 1

    def fill(self, requests: Sequence[Request]) -> list[Pixels]:
        """Fill the hole of each crop, uint8 of the crop's size."""
        return [self._fill(request) for request in requests]

    def _fill(self, request: Request) -> Pixels:
        pixels, hole = np.ascontiguousarray(request.pixels), hole_of(request.mask)
        if not hole.any():
            return pixels.copy()
        return self.corrected(pixels, request.mask, patchmatch(pixels, hole, request.seed), request.seed)

    def corrected(self, pixels: Pixels, mask: Pixels, fill: Pixels, seed: int) -> Pixels:
        """A PatchMatch `fill` of a crop, corrected by the model.

        All are uint8, height x width x 3 (`mask` x 4). Crops smaller than the smallest window are
        continued by reflection.
        """
        hole = hole_of(mask)
        height, width = hole.shape
        missing = [(0, max(0, SIDES[0] - side)) for side in (height, width)]
        arrays = (pixels, fill, navier_stokes(pixels, hole, seed), mask)
        start = Start.of(*(np.pad(array, [*missing, (0, 0)], mode="symmetric") for array in arrays))
        residual = sample(_load_network(self.folder), start, seed, self.steps)
        values = np.clip((start.fill + residual / np.float32(RESIDUAL_SCALE) + 1) * np.float32(127.5), 0, 255)
        result = np.rint(values[:height, :width]).astype(np.uint8)
        return np.where(hole[:, :, None] > 0, result, pixels)


def _load_network(folder: Path) -> Network:
    """The folder's network, loaded once per process."""
    weights = file_sha256(folder / WEIGHTS)
    return load_once(str(folder), weights, "cpu", lambda: Network(folder))
