"""Taking a translucent overlay off: the picture J below it, from I = (1 - a) J + a C.

The picture is still there under an overlay that lets light through, so nothing is invented. What
the file has rounded or compressed grows by 1 / (1 - a) on the way back; where that is too much, a
fill of the hole counts more. The two are averaged by the inverse of their variances.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels
from operators.rows.overlay import Overlay, Plane

LEAST_LEFT = 1 / 64
"""Share of the picture that an overlay must let through for it to be seen at all."""
ROUNDING = 1 / 12
"""Variance in squared grey levels of a value that was rounded to a whole level."""
NOTHING = 1e-4
"""Alpha below which a pixel counts as free of the overlay."""

Colours = Pixels | npt.NDArray[np.float32]


def overlaid(picture: Colours, overlay: Overlay) -> Plane:
    """The picture (height x width x 3, 0..255) under the overlay, float32 without rounding."""
    alpha = overlay.alpha[:, :, None]
    result: Plane = (picture * (1 - alpha) + alpha * overlay.colour).astype(np.float32)
    return result


def invert(image: Colours, alpha: Plane, colour: Plane) -> tuple[Plane, Plane]:
    """The picture below an overlay, and how much the variance of the image's errors grows.

    - `image`: height x width x 3, 0..255, as it is seen.
    - `alpha`: height x width, 0..1. `colour`: height x width x 3 or 1 x 1 x 3, 0..255.
    - Result: the estimate, float32 height x width x 3, not clipped, so that a value far beyond
      0..255 still shows that alpha or colour are wrong there. And the gain, float32 height x
      width, at least 1: infinite where less than LEAST_LEFT of the picture is let through, and
      the estimate there is the image.
    """
    left = 1 - alpha
    visible = left >= LEAST_LEFT
    share = np.where(visible, left, 1).astype(np.float32)
    covered = np.where(visible, alpha, 0).astype(np.float32)[:, :, None]
    estimate = (image - covered * colour) / share[:, :, None]
    gain = np.where(visible, 1 / share**2, np.inf)
    return estimate.astype(np.float32), gain.astype(np.float32)


def estimate_variance(estimate: Plane, gain: Plane, noise: float) -> Plane:
    """The variance of an estimate by `invert`, float32 height x width, in squared grey levels.

    `noise` is the variance of the image's own errors, at least ROUNDING. No picture has values
    beyond 0..255: where the estimate has, clipping has hidden what was there, or the overlay is
    not the one that was assumed, and the excess counts as an error.
    """
    excess = np.abs(estimate - np.clip(estimate, 0, 255)).max(axis=2)
    result: Plane = (max(noise, ROUNDING) * gain + excess**2).astype(np.float32)
    return result


def blended(estimate: Plane, variance: Plane, fill: Colours, fill_variance: Plane | float) -> Plane:
    """An estimate and a fill of the same pixels, averaged by the inverse of their variances.

    The variances are height x width, or one number for all of the fill. Where the estimate's is
    infinite, the fill alone counts. The result is float32 height x width x 3, clipped to 0..255.
    """
    known = np.isfinite(variance)
    own = np.where(known, variance, 0)
    total = own + fill_variance
    weight = np.where(known, np.divide(fill_variance, total, out=np.ones_like(own), where=total > 0), 0)[:, :, None]
    result: Plane = np.clip(weight * np.where(known[:, :, None], estimate, 0) + (1 - weight) * fill, 0, 255).astype(np.float32)
    return result


def seen_through(
    image: Pixels, overlay: Overlay, fill: Pixels, fill_variance: Plane | float, noise: float = ROUNDING
) -> Pixels:
    """The picture below an overlay, uint8, with the fill where the overlay hides too much.

    Where alpha is 0, the image comes back to the bit.
    """
    estimate, gain = invert(image, overlay.alpha, overlay.colour)
    result = np.rint(blended(estimate, estimate_variance(estimate, gain, noise), fill, fill_variance)).astype(np.uint8)
    free = overlay.alpha < NOTHING
    result[free] = image[free]
    return result
