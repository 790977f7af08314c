"""How much of each pixel a translucent overlay of known opacity and colour covers.

Each pixel takes one of a few coverages. The right one makes the picture below the overlay go on
smoothly from pixel to pixel: with a wrong one, the overlay's edge stays in it as a step. That is a
Markov random field, solved by loopy belief propagation (min-sum) on the pixel grid, as Felzenszwalb
and Huttenlocher describe it in "Efficient Belief Propagation for Early Vision", 2006.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Selection

Plane = npt.NDArray[np.float32]

COVERAGES: tuple[float, ...] = (0.0, 1 / 3, 2 / 3, 1.0)
"""The coverages that a pixel may have. Those in between are for the edges of letters."""
ITERATIONS = 30
"""Messages that pass each pixel; a letter's edge is known inside a stroke twice as wide."""
DAMPING = 0.5
"""Share of the earlier message in a new one, without which messages may swing."""
PREDICTION = 0.9
"""Weight of the difference from the predicted picture."""
NETWORK = 4.0
"""Weight of the coverage network's probability."""
LEAST_SURE, MOST_SURE = 0.02, 0.98
"""Bounds of that probability: no network is surer."""
PARTIAL = 0.5
"""Cost of a coverage that is neither 0 nor 1."""
STEP = 0.5
"""Weight of a step in the picture below, in units of the picture's own steps."""
LARGEST_STEP = 6.0
"""Step from which a larger one costs no more: the picture has edges too."""
CHANGE = 0.2
"""Cost of a full change of coverage between neighbours."""
BEYOND = 3.0
"""Grey levels beyond 0..255 that the picture below may have for lack of precision."""
IMPOSSIBLE = 50.0
NOTHING, ALL = 0.08, 0.92
"""Mean coverages from which a pixel counts as free, and as covered in full."""


@dataclass(frozen=True)
class Prediction:
    """What is known about the picture below an overlay before it is taken off."""

    picture: Plane
    """The predicted picture, float32 height x width x 3."""
    variance: Plane
    """The variance of its error, in squared grey levels, height x width."""
    informed: Selection
    """The pixels that are predicted from others; elsewhere the prediction is the image itself."""
    energy: Plane
    """Mean squared step between neighbouring pixels around each place."""


def below(image: Plane, alpha: Plane | float, colour: Plane) -> Plane:
    """The picture below an overlay of this alpha and one colour, float32, not clipped."""
    share = np.asarray(alpha, np.float32)[..., None]
    result: Plane = ((image - share * colour) / (1 - share)).astype(np.float32)
    return result


def find_coverage(
    image: Plane, opacity: float, colour: Plane, prediction: Prediction, probability: Plane, domain: Selection
) -> Plane:
    """The coverage of each pixel (height x width, 0..1); 0 outside the `domain`.

    `image` is float32 height x width x 3, `colour` the overlay's three values, `probability` that
    of the coverage network (0..1). `opacity` is below 1.
    """
    result = np.zeros(domain.shape, np.float32)
    if not domain.any():
        return result
    rows, columns = np.flatnonzero(domain.any(axis=1)), np.flatnonzero(domain.any(axis=0))
    box = np.s_[max(0, rows[0] - 2) : rows[-1] + 3, max(0, columns[0] - 2) : columns[-1] + 3]
    pictures = np.stack([below(image[box], opacity * coverage, colour) for coverage in COVERAGES])
    costs = _own_costs(pictures, prediction, probability, box)
    costs[1:, ~domain[box]], costs[0, ~domain[box]] = IMPOSSIBLE, 0
    scale = np.sqrt(prediction.energy[box] + 4)
    across = _pair_costs(pictures[:, :, :-1], pictures[:, :, 1:], np.maximum(scale[:, :-1], scale[:, 1:]))
    down = _pair_costs(pictures[:, :-1], pictures[:, 1:], np.maximum(scale[:-1], scale[1:]))
    belief = _propagate(costs, across, down)
    weight = np.exp(belief.min(axis=0) - belief)
    mean = np.tensordot(np.array(COVERAGES, np.float32), weight, 1) / weight.sum(axis=0)
    mean = np.where(mean < NOTHING, 0, np.where(mean > ALL, 1, mean))
    result[box] = mean * domain[box]
    return result


def _own_costs(pictures: Plane, prediction: Prediction, probability: Plane, box: tuple[slice, slice]) -> Plane:
    """What each coverage of a pixel costs by itself."""
    sure = np.clip(probability[box], LEAST_SURE, MOST_SURE)
    variance = (prediction.variance[box] + 2)[:, :, None]
    costs = []
    for picture, coverage in zip(pictures, COVERAGES, strict=True):
        error = (np.square(picture - prediction.picture[box]) / variance).sum(axis=2)
        excess = np.maximum(np.maximum(picture - 255 - BEYOND, -BEYOND - picture), 0).max(axis=2)
        cost = PREDICTION * np.log1p(error / 4) * prediction.informed[box] + np.minimum(excess / 10, 4)
        cost -= NETWORK * (coverage * np.log(sure) + (1 - coverage) * np.log(1 - sure))
        costs.append(cost + (PARTIAL if 0 < coverage < 1 else 0))
    return np.stack(costs).astype(np.float32)


def _pair_costs(first: Plane, second: Plane, scale: Plane) -> Plane:
    """What each pair of coverages of two neighbours costs: coverages x coverages x pairs."""
    steps = np.abs(first[:, None] - second[None]).mean(axis=-1) / scale
    levels = np.array(COVERAGES, np.float32)
    changes = np.abs(levels[:, None] - levels[None])[:, :, None, None]
    result: Plane = (STEP * np.minimum(steps, LARGEST_STEP) + CHANGE * changes).astype(np.float32)
    return result


def _propagate(costs: Plane, across: Plane, down: Plane) -> Plane:
    """The cost of each coverage after messages from all four sides."""
    left, right, above, under = (np.zeros_like(costs) for _ in range(4))
    for _ in range(ITERATIONS):
        total = costs + left + right + above + under
        for message, place, sent in (
            (left, np.s_[:, :, 1:], ((total - right)[:, None, :, :-1] + across).min(axis=0)),
            (right, np.s_[:, :, :-1], ((total - left)[None, :, :, 1:] + across).min(axis=1)),
            (above, np.s_[:, 1:], ((total - under)[:, None, :-1] + down).min(axis=0)),
            (under, np.s_[:, :-1], ((total - above)[None, :, 1:] + down).min(axis=1)),
        ):
            message[place] = DAMPING * message[place] + (1 - DAMPING) * (sent - sent.min(axis=0))
    return costs + left + right + above + under


def eroded(places: Selection, radius: int = 1) -> Selection:
    """The places shrunk by a square of `radius` pixels."""
    result: Selection = cv2.erode(places.astype(np.uint8), np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) > 0
    return result


def widened(places: Selection, radius: int = 1) -> Selection:
    """The places grown by a square of `radius` pixels."""
    result: Selection = cv2.dilate(places.astype(np.uint8), np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) > 0
    return result
