"""How transparent a crop is, and the ground on which its pixels are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels


@dataclass(frozen=True)
class Transparency:
    """The alpha of a rectangle of a picture, and the ground that shows through in its pixels."""

    alpha: Pixels
    """uint8 height x width; 0 is clear, 255 opaque."""
    ground: int
    """The grey level of the ground, 0..255."""


def lay(colours: Pixels, alpha: Pixels, ground: int | Pixels) -> Pixels:
    """Colours of this alpha, laid on a ground, rounded to the nearest grey level.

    `colours` are uint8 height x width x 3. `ground` is a grey level or uint8 height x width x 1.
    """
    opacity = _opacity(alpha)
    below = np.asarray(ground, np.float32)
    return np.rint(colours * opacity + below * (1 - opacity)).astype(np.uint8)


def lay_again(pixels: Pixels, seen: Transparency, ground: int | Pixels) -> Pixels:
    """Pixels that lie on one ground, as they look on another; exact to half a grey level."""
    change = np.asarray(ground, np.float32) - np.float32(seen.ground)
    return np.clip(np.rint(pixels + change * (1 - _opacity(seen.alpha))), 0, 255).astype(np.uint8)


def lift(pixels: Pixels, seen: Transparency) -> Pixels:
    """The colours of pixels that lie on a ground, the inverse of `lay`.

    Where the alpha is 0 there is no colour, and the pixels stay as they are.
    """
    opacity = _opacity(seen.alpha)
    colours = (pixels - seen.ground * (1 - opacity)) / np.maximum(opacity, 1e-3)
    return np.where(opacity > 0, np.clip(np.rint(colours), 0, 255), pixels).astype(np.uint8)


def _opacity(alpha: Pixels) -> npt.NDArray[np.float32]:
    opacity: npt.NDArray[np.float32] = alpha[:, :, None].astype(np.float32) / np.float32(255)
    return opacity
