"""Diffusion in pixels: a PatchMatch fill, corrected by what the soft mask still lets see. It
needs ONNX Runtime and no torch.

What diffuses is the residual between the clean picture and a PatchMatch fill of it. The network
sees the noisy residual, that fill with its surroundings, a smooth fill, the picture as it is, the
mask's `core`, `blend` and `confidence`, and how the colours of marks and picture differ near each
pixel, all packed by an exactly invertible pixel-unshuffle. It estimates the clean residual: a
free part, shares of the way to the smooth fill and, as far as it trusts it, to the picture as it
is, and a share of the noisy residual that it keeps. A stroke mask is wider than its strokes and
strokes may be translucent, so much of what it hides can still be seen there; the mask's
`confidence` says how surely it cannot. Masks that a user gave hide everything below them. Crops
of any size are worked in windows of two fixed sizes round the hole only. `training/diffusion.py`
trains it; `training/diffusion_export.py` writes its folder.
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
"""Values a pixel, height x width x channels."""

GRAPH = "unet/model.onnx"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
"""Files of a model's folder: the network, and its weights, which the graph reads from there."""
SIDES = (128, 256)
"""Sides of the windows that the network is run at."""
OVERLAP = 32
"""Pixels that neighbouring windows share, their estimates fading into each other."""
PACKING = 2
"""Pixels a side that are packed into one place with four times the channels."""
DOUBT = 4
"""Power of the share of doubt (1 less the mask's confidence) that is the first guess of how far
the picture as it is can be trusted; the network corrects its logit.
"""
LEAST_TRUST = 0.002
"""How far from 0 and 1 that guess stays."""
CAUTION = 8
"""Power of the trust with which the picture counts: a ghost of a letter is worse than one more
pixel invented.
"""
NEAR = 6.0
"""Sigma in pixels of the neighbourhood in which the colours of marks and picture are told apart.
"""
LEAST_WEIGHT = np.float32(1e-3)
RESIDUAL_SCALE = 3.0
"""What residuals (picture values in -1..1) are multiplied by, so that they are about as large as
the noise.
"""


def space_to_depth(field: Field) -> Field:
    """Height x width x c to c * 16 x height/4 x width/4, in the order of torch's
    `pixel_unshuffle`.
    """
    height, width, channels = field.shape
    blocks = field.reshape(height // PACKING, PACKING, width // PACKING, PACKING, channels)
    flat = blocks.transpose(4, 1, 3, 0, 2).reshape(channels * PACKING**2, height // PACKING, width // PACKING)
    return np.ascontiguousarray(flat)


def depth_to_space(values: Field) -> Field:
    """The inverse of `space_to_depth`, exact to the bit."""
    depth, rows, columns = values.shape
    blocks = values.reshape(depth // PACKING**2, PACKING, PACKING, rows, columns)
    whole = blocks.transpose(3, 1, 4, 2, 0).reshape(rows * PACKING, columns * PACKING, depth // PACKING**2)
    return np.ascontiguousarray(whole)


def levels(steps: int) -> list[tuple[float, float]]:
    """Noise levels from 1 (noise) to 0 (clean) in even steps: each step's own and the next one's."""
    return [((steps - n) / steps, (steps - n - 1) / steps) for n in range(steps)]


def windows(hole: Pixels, side: int) -> list[tuple[int, int]]:
    """Corners (y, x) of side x side windows that hold every pixel of the hole; none where there
    is no hole.

    Evenly spread over the hole's bounding box, overlapping by OVERLAP at least. No side of `hole`
    may be shorter.
    """
    corners: list[list[int]] = []
    for axis in (1, 0):
        there = np.flatnonzero(hole.any(axis=axis))
        if not len(there):
            return []
        first, last, length = int(there[0]), int(there[-1]) + 1, hole.shape[1 - axis]
        extent = last - first
        count = 1 if extent <= side else -(-(extent - OVERLAP) // (side - OVERLAP))
        starts = np.linspace(first, last - side, count) if count > 1 else np.array([(first + last - side) / 2])
        corners.append([int(np.clip(round(start), 0, length - side)) for start in starts])
    return [(y, x) for y in corners[0] for x in corners[1] if hole[y : y + side, x : x + side].any()]


def cheapest_windows(hole: Pixels) -> tuple[int, list[tuple[int, int]]]:
    """The side and the corners that cover a hole by the fewest pixels; of equals the larger side,
    which has fewer seams.

    Depends on the hole alone. Only sides that fit are tried.
    """
    options = [(side, windows(hole, side)) for side in reversed(SIDES) if side <= min(hole.shape)]
    return min(options, key=lambda option: option[0] ** 2 * len(option[1]))


def _fading(side: int) -> Field:
    """A window's weight at each of its pixels: from near 0 at its edges to 1 from OVERLAP pixels
    on.
    """
    ramp = np.minimum(1, (np.minimum(np.arange(side), np.arange(side)[::-1]) + 1) / OVERLAP).astype(np.float32)
    return (ramp[:, None] * ramp)[:, :, None]


def _near(values: Field, weight: Field) -> Field:
    """The weighted mean of values round each pixel; where nothing near has a weight, that of all."""
    total = cv2.GaussianBlur(np.dstack([values * weight, weight]), (0, 0), NEAR, borderType=cv2.BORDER_REPLICATE)
    everywhere = (values * weight).sum((0, 1)) / max(float(weight.sum()), 1e-6)
    result: Field = (total[:, :, :-1] + LEAST_WEIGHT * everywhere) / (total[:, :, -1:] + LEAST_WEIGHT)
    return result


def hints(seen: Field, confidence: Field) -> Field:
    """How marks and picture differ near each pixel: height x width x 8 from a picture (-1..1) and
    the mask's confidence (0..1).

    Its colour less the one behind the marks, the marks' colour less the one behind them, the
    share of the marks' colour that explains the first by the second, and what that leaves
    unexplained.
    """
    marks, behind = _near(seen, confidence**4), _near(seen, (1 - confidence) ** 8)
    off, apart = seen - behind, marks - behind
    share = (off * apart).sum(axis=2, keepdims=True) / ((apart**2).sum(axis=2, keepdims=True) + np.float32(0.01))
    share = np.clip(share, -1, 2)
    left = np.abs(off - share * apart).max(axis=2, keepdims=True)
    return np.concatenate([2 * off, apart, share, 4 * left], axis=2).astype(np.float32)


def first_trust(confidence: Field) -> Field:
    """How far the picture can be trusted (0..1) before the network has said anything, by the
    mask's confidence (0..1).
    """
    result: Field = np.clip((1 - confidence) ** DOUBT, LEAST_TRUST, 1 - LEAST_TRUST)
    return result


def visible(pixels: Pixels, fill: Pixels, mask: Pixels) -> Pixels:
    """The crop as it is where the network may look through the mask, else the fill: uint8 height
    x width x 3.

    It may where the region's own strokes were found in the picture. A mask that was given (its
    weights are its confidence: see `soften`) hides what is to go, not strokes on top of it, and
    strokes of other regions are not judged by this mask.
    """
    given = np.array_equal(mask[:, :, BLEND], mask[:, :, CONFIDENCE])
    hidden = (hole_of(mask) > 0) & (given | (mask[:, :, BLEND] == 0))
    return np.where(hidden[:, :, None], fill, pixels)


@dataclass(frozen=True)
class Start:
    """What the network is told at every noise level, pictures in -1..1, masks 0..1: height x
    width x channels.
    """

    fill: Field
    smooth: Field
    seen: Field
    mask: Field
    hints: Field
    hole: Field

    @classmethod
    def of(cls, pixels: Pixels, fill: Pixels, smooth: Pixels, mask: Pixels) -> Start:
        """From a crop, two fills of it and its mask (all uint8, the mask with its four channels)."""
        chosen = mask[:, :, [CORE, BLEND, CONFIDENCE]].astype(np.float32) / np.float32(255)
        hole = (hole_of(mask) > 0)[:, :, None].astype(np.float32)
        shown = (fill, smooth, visible(pixels, fill, mask))
        first, second, third = (picture.astype(np.float32) / np.float32(127.5) - 1 for picture in shown)
        return cls(first, second, third, chosen, hints(third, chosen[:, :, 2:]), hole)

    def cut(self, y: int, x: int, side: int) -> Start:
        """The same in one window."""
        there = np.s_[y : y + side, x : x + side]
        return Start(*(getattr(self, name)[there] for name in ("fill", "smooth", "seen", "mask", "hints", "hole")))


class Network:
    """The trained network on one computing thread: the same estimate for the same input."""

    def __init__(self, folder: Path) -> None:
        self._session = onnx_session(folder / GRAPH)

    def estimate(self, start: Start, noisy: Field, level: float) -> Field:
        """The clean residual, height x width x 3, from one with noise (level 0 clean .. 1 noise);
        0 outside the hole.
        """
        smooth, seen = start.smooth - start.fill, start.seen - start.fill
        shown = np.concatenate([noisy, start.fill, smooth, seen, start.mask, start.hints], axis=2)
        inputs = {"packed": space_to_depth(shown)[None], "level": np.array([level * 1000], np.float32)}
        with timed("model"):
            answer = depth_to_space(self._session.run(None, inputs)[0][0])
        trust = (1 / (1 + (1 / first_trust(start.mask[:, :, 2:3]) - 1) * np.exp(-answer[:, :, 4:5]))) ** CAUTION
        towards = (answer[:, :, 3:4] * smooth + trust * seen) * np.float32(RESIDUAL_SCALE)
        result: Field = start.hole * (answer[:, :, :3] + towards + answer[:, :, 5:6] * noisy)
        return result


def sampled(network: Network, start: Start, seed: int, steps: int) -> Field:
    """The residual that the model draws for a seed, height x width x 3: deterministic steps
    (DDIM, Song et al. 2021) along the straight path from noise to the clean residual (rectified
    flow, Liu et al. 2022).

    The noise covers the whole crop, and so do the steps; only the estimates are made window by
    window.
    """
    side, corners = cheapest_windows(start.hole[:, :, 0].astype(np.uint8))
    noise = np.random.default_rng(seed).standard_normal(start.fill.shape, np.float32)
    noisy, fading = noise * start.hole, _fading(side)
    for now, after in levels(steps):
        total, weight = np.zeros_like(noisy), np.full_like(start.hole, 1e-9)
        for y, x in corners:
            there = np.s_[y : y + side, x : x + side]
            total[there] += fading * network.estimate(start.cut(y, x, side), noisy[there], now)
            weight[there] += fading
        clean = total / weight
        noisy = (1 - after) * clean + after * (noisy - (1 - now) * clean) / now
    return noisy


@dataclass(frozen=True)
class PixelDiffusion:
    """The model in `folder` as a generator: same crop, mask, seed and steps, same bytes; outside
    the hole nothing changes.
    """

    folder: Path
    steps: int

    @classmethod
    def of(cls, alias: str, folder: Path, steps: int) -> PixelDiffusion:
        """Of a folder, not read yet. Raises RunError model_invalid if its graph or its weights
        are missing.
        """
        if not (folder / GRAPH).is_file() or not (folder / WEIGHTS).is_file():
            raise RunError("model_invalid", f"{alias}: {folder} needs both {GRAPH} and {WEIGHTS}")
        return cls(folder, steps)

    def shape(self, request: Request) -> Hashable:
        """Any request may follow any other: each is worked alone."""
        return None

    def microbatch(self, request: Request) -> int:
        """One: they gain nothing from company."""
        return 1

    def fill(self, requests: Sequence[Request]) -> list[Pixels]:
        """Each crop with its hole filled, uint8 of the crop's own size."""
        return [self._filled(request) for request in requests]

    def _filled(self, request: Request) -> Pixels:
        pixels, hole = np.ascontiguousarray(request.pixels), hole_of(request.mask)
        if not hole.any():
            return pixels.copy()
        return self.corrected(pixels, request.mask, patchmatch(pixels, hole, request.seed), request.seed)

    def corrected(self, pixels: Pixels, mask: Pixels, fill: Pixels, seed: int) -> Pixels:
        """A PatchMatch fill of a crop (uint8 height x width x 3; mask x 4), corrected by the
        model.
        """
        hole = hole_of(mask)
        height, width = hole.shape
        missing = [(0, max(0, SIDES[0] - side)) for side in (height, width)]
        given = (pixels, fill, navier_stokes(pixels, hole, seed), mask)
        start = Start.of(*(np.pad(one, [*missing, (0, 0)], mode="symmetric") for one in given))
        residual = sampled(_network(self.folder), start, seed, self.steps)
        values = np.clip((start.fill + residual / np.float32(RESIDUAL_SCALE) + 1) * np.float32(127.5), 0, 255)
        made = np.rint(values[:height, :width]).astype(np.uint8)
        return np.where(hole[:, :, None] > 0, made, pixels)


def _network(folder: Path) -> Network:
    """The process's network of that folder."""
    weights = file_sha256(folder / WEIGHTS)
    return load_once(str(folder), weights, "cpu", lambda: Network(folder))
