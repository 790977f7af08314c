"""Order-free autoregression over pixels: choose the colour of each hidden pixel among known ones.

Made for drawings, which consist of few colours and exact lines. It runs on ONNX Runtime, without
torch. Every hidden pixel has a few dozen candidates, see `drawn_candidates`; no other colour is
possible, so nothing is averaged. One network sees the crop around the hole once, and says how
likely each candidate is. A second, small one then decides the pixels in GROUPS groups, from the
hole's border inwards: it sees which candidates agree with the neighbours that are known or decided
already, in whatever direction they lie (locally masked convolutions, Jain et al. 2020, over
candidates instead of values). So its cost follows the hole, not the crop.

The likeliest colour is taken, without random numbers, so every seed gives the same bytes.
Candidates of nearly the same colour count together. Crops of any size are processed in windows,
only around the hole. `training/drawn.py` trains both networks and writes their folder.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from operators.generators.classical import navier_stokes, patchmatch
from operators.generators.generator import Described, Request
from operators.generators.pixel_diffusion import SIDES, cheapest_windows, hints, visible, window_weights
from operators.masks.mask import BLEND, CONFIDENCE, CORE, hole_of
from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.timing import timed
from training.drawn_candidates import COUNT, Candidates, agreement_of, candidates, network_input

Field = npt.NDArray[np.float32]

NETWORK = "chooser/network.onnx"
"""The network that sees the crop: `input` 1 x CHANNELS x height x width, `output` 1 x (COUNT +
FEATURES) x height x width.
"""
HEAD = "chooser/head.onnx"
"""The network that decides pixels: `logits` pixels x COUNT, `features` pixels x FEATURES,
`agreement` pixels x COUNT x neighbours, `earlier` pixels x neighbours; its output is better logits.
"""
FEATURES = 16
"""Values per pixel that the first network hands to the second."""
GROUPS = 8
"""Groups in which the pixels of a hole are decided."""
NEIGHBOURS = tuple((down, right) for down in range(-2, 3) for right in range(-2, 3) if (down, right) != (0, 0))
"""The neighbours that the second network sees, as steps down and right."""
FIXED_SEED = 0
"""The seed of the PatchMatch fill among the candidates."""
LEAST = 0.05
"""The share of the pixels that are less sure than `least_confidence`."""
AT_ONCE = 2048
"""Pixels whose candidates are compared with each other at a time."""


def order_of(hole: npt.NDArray[np.bool_], groups: int = GROUPS) -> Pixels:
    """The group, 1 to `groups`, in which each pixel of a hole is decided; 0 outside it.

    Pixels near the hole's border come first. The groups have as many pixels each.
    """
    result = np.zeros(hole.shape, np.uint8)
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_C, 3)[hole]
    result[hole] = 1 + np.argsort(np.argsort(depth, kind="stable"), kind="stable") * groups // max(1, len(depth))
    return result


def likeliest(logits: Field, colours: Pixels) -> tuple[npt.NDArray[np.intp], Field]:
    """The candidate of each pixel with the most probability near its colour, and this probability.

    `logits` is pixels x COUNT, `colours` pixels x COUNT x 3.
    """
    chosen, sure = [], []
    for start in range(0, len(logits), AT_ONCE):
        part, values = logits[start : start + AT_ONCE], colours[start : start + AT_ONCE].astype(np.float32)
        probability = np.exp(part - part.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
        squared = np.square(values[:, :, None] - values[:, None]).mean(axis=3)
        together = (agreement_of(squared) * probability[:, None]).sum(axis=2)
        chosen.append(together.argmax(axis=1))
        sure.append(together.max(axis=1))
    return np.concatenate(chosen), np.concatenate(sure)


class Networks:
    """Both trained networks on one computing thread; equal inputs give equal outputs."""

    def __init__(self, folder: Path) -> None:
        self._network, self._head = (onnx_session(folder / name) for name in (NETWORK, HEAD))

    def look(self, window: Field) -> Field:
        """The first network's output on a window, height x width x (COUNT + FEATURES)."""
        packed = np.ascontiguousarray(window.transpose(2, 0, 1))[None]
        with timed("model"):
            output: Field = self._network.run(None, {"input": packed})[0][0]
        return output.transpose(1, 2, 0)

    def decide(self, logits: Field, features: Field, agreement: Field, earlier: Field) -> Field:
        """The second network's logits, pixels x COUNT."""
        values: dict[str, Any] = {"logits": logits, "features": features, "agreement": agreement, "earlier": earlier}
        with timed("model"):
            output: Field = self._head.run(None, values)[0]
        return output


def look_around(networks: Networks, crop: Crop) -> tuple[Field, Field]:
    """The first network's logits and features of each hidden pixel, from windows that fade into
    each other.
    """
    number = np.full(crop.hole.shape, -1)
    number[crop.hole] = np.arange(len(crop.found.colours))
    side, corners = cheapest_windows(crop.hole.astype(np.uint8))
    fading = window_weights(side)[:, :, 0]
    total, weight = np.zeros((len(crop.found.colours), COUNT + FEATURES), np.float32), np.full(number.size, 1e-9, np.float32)
    weight = weight[: len(total)]
    for y, x in corners:
        window = np.s_[y : y + side, x : x + side]
        output, hole = networks.look(crop.window(window, number[window])), crop.hole[window]
        total[number[window][hole]] += output[hole] * fading[hole][:, None]
        weight[number[window][hole]] += fading[hole]
    result = total / weight[:, None]
    return result[:, :COUNT], result[:, COUNT:]


@dataclass(frozen=True)
class Crop:
    """A crop as the networks see it; its sides are at least those of a window."""

    pixels: Pixels
    smooth: Pixels
    mask: Pixels
    """`core`, `blend` and `confidence`."""
    marks: Field
    hole: npt.NDArray[np.bool_]
    found: Candidates

    @classmethod
    def of(cls, pixels: Pixels, mask: Pixels, smooth: Pixels, copied: Pixels) -> Crop:
        """From a crop, its mask with four channels, a smooth fill and a PatchMatch fill."""
        hole, seen = hole_of(mask) > 0, visible(pixels, smooth, mask)
        channels = np.ascontiguousarray(mask[:, :, [CORE, BLEND, CONFIDENCE]])
        marks = hints(seen.astype(np.float32) / np.float32(127.5) - 1, channels[:, :, 2:].astype(np.float32) / np.float32(255))
        found = candidates(pixels[None], hole[None], smooth[None], copied[None], seen[None])
        return cls(pixels, smooth, channels, marks, hole, found)

    def window(self, place: tuple[slice, slice], number: npt.NDArray[np.int_]) -> Field:
        """What the first network sees in a window; `number` counts the hidden pixels of the
        crop.
        """
        hole = self.hole[place]
        found = Candidates(self.found.colours[number[hole]], self.found.closeness[number[hole]])
        pixels, smooth, mask = self.pixels[place], self.smooth[place], self.mask[place]
        marks = self.marks[place]
        result: Field = network_input(pixels[None], smooth[None], mask[None], marks[None], hole[None], found)[0]
        return result


def decide(networks: Networks, crop: Crop) -> tuple[Pixels, Field]:
    """The crop with its hole filled, and how sure each pixel of the hole is (0..1)."""
    logits, features = look_around(networks, crop)
    chosen, sure = likeliest(logits, crop.found.colours)
    order, edge = order_of(crop.hole), 2
    rank = np.pad(order.astype(np.int16), edge, constant_values=-1)
    canvas = np.pad(crop.pixels, ((edge, edge), (edge, edge), (0, 0)))
    rows, columns = np.nonzero(crop.hole)
    place, ranks = (rows + edge, columns + edge), order[crop.hole]
    for group in range(1, GROUPS + 1):
        members = np.flatnonzero(ranks == group)
        for start in range(0, len(members), AT_ONCE):
            part = members[start : start + AT_ONCE]
            near = [(place[0][part] + down, place[1][part] + right) for down, right in NEIGHBOURS]
            earlier = np.stack([(rank[one] >= 0) & (rank[one] < group) for one in near], axis=1).astype(np.float32)
            colours = crop.found.colours[part].astype(np.float32)
            squared = np.stack([np.square(colours - canvas[one][:, None]).mean(axis=2) for one in near], axis=2)
            agreement = agreement_of(squared) * earlier[:, None]
            better = networks.decide(logits[part], features[part], agreement, earlier)
            chosen[part], sure[part] = likeliest(better, crop.found.colours[part])
        canvas[place[0][members], place[1][members]] = crop.found.colours[members, chosen[members]]
    return canvas[edge:-edge, edge:-edge], sure


@dataclass(frozen=True)
class PixelAutoregression:
    """The model in `folder` as a generator.

    The same crop and mask give the same bytes, except that the PatchMatch fill among the candidates
    is one of a fixed seed. Nothing outside the hole changes.
    """

    folder: Path

    def shape(self, request: Request) -> Hashable:
        """None: requests of any size may share a call, because each is filled alone."""
        return None

    def microbatch(self, request: Request) -> int:
        """One: batching does not help."""
        return 1

    def fill(self, requests: Sequence[Request]) -> list[Described]:
        """Fill the hole of each crop, and say how sure the choice is."""
        return [self._fill(request) for request in requests]

    def _fill(self, request: Request) -> Described:
        pixels, mask = np.ascontiguousarray(request.pixels), request.mask
        hole = hole_of(mask)
        if not hole.any():
            return Described(pixels.copy(), ())
        fills = (navier_stokes(pixels, hole, FIXED_SEED), patchmatch(pixels, hole, FIXED_SEED))
        height, width = hole.shape
        missing = [(0, max(0, SIDES[0] - side)) for side in (height, width)]
        crop = Crop.of(*(np.pad(array, [*missing, (0, 0)], mode="symmetric") for array in (pixels, mask, *fills)))
        result, sure = decide(_load_networks(self.folder), crop)
        figures = (("confidence", float(sure.mean())), ("least_confidence", float(np.quantile(sure, LEAST))))
        return Described(np.where(hole[:, :, None] > 0, result[:height, :width], pixels), figures)


def _load_networks(folder: Path) -> Networks:
    """The folder's networks, loaded once per process."""
    return load_once(str(folder), file_sha256(folder / NETWORK), "cpu", lambda: Networks(folder))
