"""The picture below a translucent overlay that nobody has described: see through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.masks.coverage import Prediction, below, eroded, find_coverage, widened
from operators.masks.membrane import membrane
from operators.masks.overlay_fit import LEAST_PIXELS, Fit, fit_overlay, predict
from operators.rows.arrays import Pixels, Selection
from operators.rows.overlay import Overlay

Plane = npt.NDArray[np.float32]
ProbabilityOf = Callable[[float, Plane], Plane]
"""Takes the opacity and the colour (0..255) of an overlay, and returns how likely it covers each
pixel, 0..1, height x width.
"""

ROUNDS = 3
"""How often the overlay is fitted to the strokes, and the strokes are found by the overlay."""
STROKE = 0.6
"""Probability from which the stroke network's pixels are strokes."""
SURELY = 0.9
"""The same for strokes so thin that nothing is left of them without their edges."""
INSIDE, FREE = 0.7, 0.2
"""Coverage from which a pixel is inside a stroke, and below which it is free of the overlay."""
LEAST_GROUND_SPREAD = 6.0
"""Grey levels that the picture beside the strokes must vary by. A plain ground needs no overlay."""
LEAST_SPREAD = 3.0
"""Grey levels that strokes must vary by inside, and their least share of the ground's spread: the
picture is not seen through opaque letters.
"""
LEAST_SHARE = 0.1
MOST_OPACITY = 0.82
"""Opacity from which too little of the picture is left."""
LEAST_OPACITY = 0.06
MOST_DEVIATION = 0.06
"""Standard deviation of the opacity above which it is not known."""
LEAST_FILL_ERROR = 12.0
"""Error in grey levels of a smooth prediction, below which a fill is as good: what is below an
overlay has errors as large in lossy files.
"""
MOST_DOUBT = 0.6
"""Error of the picture below by a doubtful opacity, as a share of the error of a prediction."""
RIM_ERROR = 0.12
"""Error of the coverage of a pixel on the edge of a stroke."""
RIM_VARIANCE = 0.3
"""The variance of a prediction from both sides of an edge, as a share of that over a stroke."""


@dataclass(frozen=True)
class SeenThrough:
    """A crop with its overlay taken off."""

    picture: Pixels
    """uint8 height x width x 3; pixels without overlay have their own values."""
    overlay: Overlay
    changed: Selection
    """The pixels on the overlay and its edges."""
    fit: Fit
    """The opacity where the overlay covers a pixel in full, and its colour."""


def see_through(
    pixels: Pixels,
    hole: Selection,
    probability: Plane,
    domain: Selection,
    probability_of: ProbabilityOf,
    like: Fit | None = None,
) -> SeenThrough | None:
    """The crop without the translucent overlay on it; None if it seems to have none.

    - `pixels`: uint8 height x width x 3. `hole`: what a fill would replace.
    - `probability`: the stroke network's, 0..1, by which the overlay is fitted first. `domain`:
      where strokes may be.
    - `probability_of`: the coverage network, which is asked once the overlay is known.
    - `like`: the overlay of another text in the picture, which is taken for that of this one.

    None as well for a plain or smooth ground, which a fill continues better, and for letters so
    opaque that too little is left below them.
    """
    if like is not None:
        probability, hole = probability_of(like.opacity, like.colour), hole | domain
    inside = _inside(hole & (probability > STROKE), hole & (probability > SURELY))
    if inside is None or not _varies(pixels, hole, inside):
        return None
    image = pixels.astype(np.float32)
    known, found = ~hole, None
    for _ in range(ROUNDS):
        predicted = predict(image, known, inside)
        if predicted is None:
            break
        prediction, grain = predicted
        fit = like or fit_overlay(image, prediction, inside, grain)
        if not LEAST_OPACITY <= fit.opacity <= MOST_OPACITY or fit.deviation > MOST_DEVIATION:
            return None
        if like is None:
            probability = probability_of(fit.opacity, fit.colour)
        coverage = find_coverage(image, fit.opacity, fit.colour, prediction, probability, hole | domain)
        middle = _inside(coverage > INSIDE, coverage > SURELY)
        if middle is None:
            break
        inside, known = middle, ~widened(coverage > FREE)
        found = (fit, prediction, coverage, inside, known)
        if known.sum() < LEAST_PIXELS:
            break
    if found is None or not _is_worthwhile(found[0], found[1], found[3]):
        return None
    return _taken_off(image, *found)


def _is_worthwhile(fit: Fit, prediction: Prediction, inside: Selection) -> bool:
    """Whether the picture below is known better by its overlay than by its surroundings.

    Both errors are measured: that of a smooth prediction where the strokes are moved aside.
    """
    fill_error = float(np.sqrt(prediction.variance[inside].mean()))
    contrast = float(np.abs(fit.colour - prediction.picture[inside]).mean())
    doubt = fit.deviation * contrast / (1 - fit.opacity)
    return fill_error >= LEAST_FILL_ERROR and doubt <= MOST_DOUBT * fill_error


def _inside(strokes: Selection, surely: Selection) -> Selection | None:
    """The strokes without their edges; None if there is too little of them."""
    inside = eroded(strokes)
    if inside.sum() < 0.25 * strokes.sum():
        inside = surely
    return inside if inside.sum() >= LEAST_PIXELS else None


def _varies(pixels: Pixels, hole: Selection, inside: Selection) -> bool:
    """Whether the picture varies beside the strokes, and within them too."""
    beside = widened(hole, 8) & ~hole
    if beside.sum() < LEAST_PIXELS:
        return False
    ground, strokes = (float(_spread(pixels[places]).max()) for places in (beside, inside))
    return ground >= LEAST_GROUND_SPREAD and strokes >= max(LEAST_SPREAD, LEAST_SHARE * ground)


def _spread(colours: Pixels) -> npt.NDArray[np.float64]:
    """Half the range of the middle two thirds of the values of each channel."""
    low, high = np.percentile(colours, (16, 84), axis=0)
    result: npt.NDArray[np.float64] = (high - low) / 2
    return result


def _taken_off(
    image: Plane, fit: Fit, prediction: Prediction, coverage: Plane, inside: Selection, known: Selection
) -> SeenThrough:
    """The image without the overlay.

    Edges of strokes lie between two known sides, from which they are predicted well. There the
    coverage is measured once more, and estimate and prediction are averaged by their variances.
    """
    rim = ~(inside | known)
    taken = below(image, fit.opacity * coverage, fit.colour)
    anchors = np.where(inside[:, :, None], taken, image).astype(np.float32)
    sides = inside | known
    smooth = membrane(anchors * sides[:, :, None], sides.astype(np.float32), sides)
    contrast = np.square(fit.colour - smooth).sum(axis=2)
    close = RIM_VARIANCE * prediction.variance + 1
    measured = np.clip(((image - smooth) * (fit.colour - smooth)).sum(axis=2) / np.maximum(contrast, 1) / fit.opacity, 0, 1)
    strength = contrast * fit.opacity**2
    trust = strength / (strength + 12 * close)
    coverage = np.where(rim, trust * measured + (1 - trust) * coverage, coverage).astype(np.float32)
    alpha = (fit.opacity * coverage).astype(np.float32)
    taken = below(image, alpha, fit.colour)
    excess = np.abs(taken - np.clip(taken, 0, 255)).max(axis=2)
    edge = np.square(RIM_ERROR * fit.opacity / (1 - alpha)) * contrast / 3 * rim
    error = edge + np.square(excess) + 1 / np.square(1 - alpha)
    doubt = np.where(rim, close, prediction.variance)
    weight = (doubt / (doubt + error))[:, :, None]
    changed = rim | (coverage > 0)
    result = np.where(changed[:, :, None], weight * taken + (1 - weight) * smooth, image)
    picture = np.clip(np.rint(result), 0, 255).astype(np.uint8)
    return SeenThrough(picture, Overlay(alpha, fit.colour.reshape(1, 1, 3)), changed, fit)
