"""The opacity and the colour of a translucent overlay, from one picture.

Inside the strokes of an overlay I = (1 - a) J + a C, and J is known roughly from the pixels around
the strokes. Which a and C are likely is measured by three signs. The level: what is seen follows
the predicted picture with the slope 1 - a, and the rest is a C. The colour: most marks are white or
black, and a known C fixes a. The grain: steps between pixels below the overlay are 1 - a of those
beside it. How wrong a prediction is, is measured where the truth is known: the strokes' shape is
moved beside the overlay and predicted there.

The opacity of coloured marks comes out too low, by about a fifth, because a smooth prediction lacks
contrast; that of white and black ones is within 0.03 on photographs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.coverage import Prediction, eroded, widened
from operators.masks.membrane import membrane
from operators.rows.arrays import Selection

Plane = npt.NDArray[np.float32]

OPACITIES = np.arange(0.04, 0.985, 0.02).astype(np.float32)
"""The opacities that are compared."""
LEAST_PIXELS = 50
"""Pixels of a stroke's inside, and of its shape beside the overlay, that a measurement needs."""
MOST_PIXELS = 4000
"""Pixels from which more of them add nothing."""
RARITY = {"white": 0.0, "black": 1.0, "other": 4.0}
"""What the log likelihood of a colour is lowered by."""
TAILS = 4.0
"""Degrees of freedom of the Student distribution of errors: edges make large ones."""
INDEPENDENT = 0.7
"""How many of the independent pixels a channel really adds, because channels agree."""
CONTRAST_DOUBT = 0.2
"""How much errors of a prediction count against its contrast."""
MOST_CONTRAST = 1.4
"""Bound of the contrast that a prediction may lack."""
ROUNDING = 1.0
"""Variance in squared grey levels of the image's own errors."""
NEAR, FAR = 6.0, 20.0
"""Standard deviations in pixels of the windows over which steps are averaged."""
FAR_SHARE = 0.02
"""Weight of the wide window, which decides only where the narrow one sees nothing."""
GRAIN_UNCERTAINTY = 0.35
"""Standard deviation of the logarithm of the energy of grain from place to place."""


class Fit(NamedTuple):
    """The most likely overlay."""

    opacity: float
    """0..1."""
    colour: Plane
    """Three values, 0..255."""
    deviation: float
    """Standard deviation of the opacity, as the likelihood has it."""


def predict(image: Plane, known: Selection, inside: Selection) -> tuple[Prediction, Plane] | None:
    """The picture below the pixels that are not `known`, and the energy of grain beside them.

    The second value holds, for pixels where the truth is known, the energy of a step in units of
    that around it. None if there is too little room beside the strokes to measure errors.
    `image` is float32 height x width x 3; `inside` are pixels in the middle of strokes.
    """
    errors, grains, slopes = [], [], []
    steps = squared_steps(image)
    for moved in _moved(~known, inside):
        away = known & ~widened(moved, 3)
        around = local_mean(steps, eroded(away)) + 1
        smooth = _smooth(image, away)
        slopes.append(_products(smooth[moved], image[moved]))
        error = np.square(smooth - image).mean(axis=2)
        ratio = (error / around)[moved]
        errors.append(np.minimum(ratio, 6 * np.median(ratio) + 1))
        grains.append((steps / around)[eroded(moved)])
    if not errors:
        return None
    energy = local_mean(steps, eroded(known))
    variance = np.float32(np.concatenate(errors).mean()) * (energy + 1)
    smooth = _smooth(image, known)
    inner = smooth[inside].mean(axis=0)
    stretched = np.where(known[:, :, None], smooth, inner + _contrast(slopes) * (smooth - inner)).astype(np.float32)
    return Prediction(stretched, variance, ~known, energy), np.concatenate(grains)


def _products(predicted: Plane, true: Plane) -> npt.NDArray[np.float64]:
    """The sums of squares of a prediction, of its products with the truth, and of its errors."""
    x, y = predicted - predicted.mean(axis=0), true - true.mean(axis=0)
    return np.array([np.square(x).sum(), (x * y).sum(), np.square(y - x).sum()], np.float64)


def _contrast(slopes: Sequence[npt.NDArray[np.float64]]) -> float:
    """How much more the truth varies than its smooth prediction; 1 where errors hide it."""
    squares, products, errors = np.sum(slopes, axis=0)
    doubt = CONTRAST_DOUBT * errors
    return float(np.clip((products + doubt) / max(squares + doubt, 1e-6), 1 / MOST_CONTRAST, MOST_CONTRAST))


def fit_overlay(image: Plane, prediction: Prediction, inside: Selection, grain_beside: Plane) -> Fit:
    """The most likely opacity and colour of the overlay on the pixels `inside` its strokes."""
    step = max(1, int(inside.sum()) // MOST_PIXELS)
    seen, predicted = image[inside][::step], prediction.picture[inside][::step]
    variance = prediction.variance[inside][::step][:, None]
    independent = inside.sum() / max(9.0, _thickness(inside) ** 2)
    grain, grain_deviation = _grain_ratio(image, prediction, inside, grain_beside)
    scores = np.empty((len(OPACITIES), len(RARITY)))
    colours = np.empty((len(OPACITIES), len(RARITY), 3), np.float32)
    for number, a in enumerate(OPACITIES):
        spread = (1 - a) ** 2 * variance + ROUNDING
        rest = seen - (1 - a) * predicted
        colours[number, 0], colours[number, 1] = 255, 0
        colours[number, 2] = np.clip((rest / spread).sum(axis=0) / (1 / spread).sum(axis=0) / a, 0, 255)
        scale = 0.5 * float(np.log(spread).mean())
        grain_error = (grain - 2 * np.log(1 - a)) ** 2 / (2 * grain_deviation**2)
        for kind, rarity in enumerate(RARITY.values()):
            error = np.square(rest - a * colours[number, kind]) / spread
            likelihood = -(TAILS + 1) / 2 * float(np.log1p(error / TAILS).mean()) - scale
            scores[number, kind] = 3 * INDEPENDENT * independent * likelihood - rarity - grain_error
    best, colour = divmod(int(np.argmax(scores)), len(RARITY))
    weight = np.exp(scores - scores.max()).sum(axis=1)
    weight /= weight.sum()
    mean = float((weight * OPACITIES).sum())
    deviation = float(np.sqrt((weight * np.square(OPACITIES - mean)).sum()))
    return Fit(float(OPACITIES[best]), colours[best, colour], deviation)


def squared_steps(image: Plane) -> Plane:
    """The squared step from pixel to pixel, half of that over two pixels; height x width."""
    result = np.zeros(image.shape[:2], np.float32)
    result[:, 1:-1] += np.square(image[:, 2:] - image[:, :-2]).mean(axis=2) / 8
    result[1:-1] += np.square(image[2:] - image[:-2]).mean(axis=2) / 8
    return result


def local_mean(values: Plane, counted: Selection) -> Plane:
    """The mean of the counted values around each pixel, nearby ones first."""
    weight = counted.astype(np.float32)
    planes = np.dstack([values * weight, weight])
    near, far = (cv2.GaussianBlur(planes, (0, 0), sigma) for sigma in (NEAR, FAR))
    total = near + FAR_SHARE * far
    result: Plane = (total[:, :, 0] / np.maximum(total[:, :, 1], 1e-6)).astype(np.float32)
    return result


def _smooth(image: Plane, known: Selection) -> Plane:
    return membrane(image * known[:, :, None], known.astype(np.float32), known)


def _moved(hidden: Selection, inside: Selection) -> list[Selection]:
    """Up to two displacements of the strokes to where most of them lie on known pixels."""
    rows = np.flatnonzero(hidden.any(axis=1))
    tall = int(rows[-1] - rows[0] + 1) if len(rows) else 0
    height, width = hidden.shape
    found: list[tuple[int, Selection]] = []
    for down in (-tall, -tall // 2, -tall // 3, 0, tall // 3, tall // 2, tall):
        for right in (-tall, -tall // 2, -tall // 4, 0, tall // 4, tall // 2, tall):
            shift = np.array([[1, 0, right], [0, 1, down]], np.float32)
            moved = cv2.warpAffine(inside.astype(np.uint8), shift, (width, height), flags=cv2.INTER_NEAREST) > 0
            moved &= ~hidden
            found.append((int(moved.sum()), moved))
    found.sort(key=lambda entry: -entry[0])
    return [moved for pixels, moved in found[:2] if pixels >= LEAST_PIXELS]


def _thickness(inside: Selection) -> float:
    """The mean thickness of strokes in pixels."""
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    return 2 * float(depth[inside].mean()) + 1


def _grain_ratio(image: Plane, prediction: Prediction, inside: Selection, beside: Plane) -> tuple[float, float]:
    """The logarithm of the grain's energy below the overlay by that beside it, and how sure it is.

    The second value is a standard deviation; it is huge where there is too little to measure.
    """
    deep = eroded(inside)
    deep = deep if deep.sum() > LEAST_PIXELS else inside
    if len(beside) < LEAST_PIXELS:
        return 0.0, 1e6
    own = (squared_steps(image) / (prediction.energy + 1))[deep]
    most = 8 * np.median(np.concatenate([own, beside])) + 1e-3
    ratio = np.log(np.minimum(own, most).mean() + 1e-3) - np.log(np.minimum(beside, most).mean() + 1e-3)
    little = 16 / min(len(own), len(beside))
    rounded = (8 / (float(np.median(prediction.energy[deep])) + 1e-3)) ** 2
    return float(ratio), float(np.sqrt(GRAIN_UNCERTAINTY**2 + little + rounded))
