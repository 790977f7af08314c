"""What a mask picture means: which pixels it marks, and with which weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from operators.masks.mask import dilated
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure

NUMBERS_BELOW = 16
"""A mask without a sample of at least this value numbers its pixels, so that only 0 is unmarked."""
BLACK = 24
"""The largest grey level of noise around the marks, as lossy formats leave it."""
WHITE = 231
"""The smallest grey level of a mark's inside in which lossy formats have left noise."""
BODY = 128
"""The grey level from which a pixel belongs to a mark rather than to its edge."""
EDGE = 64
"""The grey level from which a pixel beside a hard-edged mark belongs to it."""
HARD_EDGE = 2.0
"""The most pixels of grey per pixel of a mark's outline that antialiasing or noise explains."""
MOST_MARKED = 0.95
"""The largest share of a picture that a mask may mark."""
MOST_GROUND = 0.5
"""The largest share that a mask may mark if it also marks the picture's border."""
MOST_GREY = 0.25
"""The largest share of grey pixels that a mask with few white ones may have."""
GREY_PER_WHITE = 8


def weights_of(picture: Image.Image) -> Pixels:
    """The weights (uint8, height x width) that a mask picture gives to its pixels; 0 is unmarked.

    White or painted pixels are marked on a black or transparent ground:

    - The brightest sample has the weight 255 at every depth, and the others are in proportion. A
      colour counts by its brightest channel, so that a red brush marks as strongly as a white one.
    - Samples all below 16 are numbers (0 and 1, or the numbers of objects), and so are the colours
      of a palette: every value other than 0, and every colour other than black, has full weight.
      A palette of greys counts as a grey picture.
    - Where alpha varies, transparent pixels are unmarked. If all that can be seen has one colour,
      alpha alone is the mask. An alpha channel with one value says nothing.
    - Levels up to 24 are noise of the ground, levels from 231 are full weight, and greys between
      48 and 207 are the weights themselves, so that soft edges stay soft. Where marks with hard
      edges have noise beside them, as in JPEG, every pixel is either marked in full or not at all.

    A picture without anything marked is an empty mask. Raises Failure mask_unclear where the
    meaning could only be guessed: for a picture of one colour other than black, if more than 95%
    is marked, if more than half is marked together with the border (as in a mask whose marks are
    black), and for mostly grey pictures such as photographs.
    """
    plane = _plane_of(picture)
    if not plane.any():
        return plane
    if plane.min() == plane.max():
        raise Failure("mask_unclear", "the mask has one value everywhere, and it is not black")
    levels = np.rint(np.arange(256) * (255 / plane.max())).clip(0, 255).astype(np.uint8)[plane]
    _refuse_grey(levels)
    weights = _without_noise(levels)
    _refuse_ground(weights)
    return weights


def _plane_of(picture: Image.Image) -> Pixels:
    """The brightness of a mask's samples, 0..255, numbers and depths above 8 bits scaled.

    Raises Failure mask_unclear for samples that are not finite.
    """
    if picture.mode.startswith(("I", "F")):
        return _scaled(np.asarray(picture))
    coloured_palette = picture.mode == "P" and not _is_grey(picture)
    if picture.has_transparency_data:
        rgba = np.asarray(picture.convert("RGBA"))
        plane, alpha = _brightest_channel(rgba), rgba[:, :, 3]
        if alpha.min() < alpha.max():
            visible = rgba[alpha > 0][:, :3]
            if (visible == visible[0]).all():
                return np.ascontiguousarray(alpha)
            plane = (plane.astype(np.uint16) * alpha // 255).astype(np.uint8)
    elif picture.mode in ("1", "L"):
        plane = np.asarray(picture.convert("L"))
    else:
        plane = _brightest_channel(np.asarray(picture.convert("RGB")))
    return _all_marked(plane) if coloured_palette or plane.max() < NUMBERS_BELOW else plane


def _scaled(samples: npt.NDArray[Any]) -> Pixels:
    """Samples of more than 8 bits as 0..255, the largest as 255; numbers become 0 and 255."""
    if not np.isfinite(samples).all():
        raise Failure("mask_unclear", "the mask has samples that are not finite")
    largest = float(samples.max())
    if largest <= 0:
        return np.zeros(samples.shape, np.uint8)
    if largest < NUMBERS_BELOW and samples.dtype.kind != "f":
        return _all_marked(samples)
    scaled: Pixels = np.rint(samples.astype(np.float32) * np.float32(255 / largest)).clip(0, 255).astype(np.uint8)
    return scaled


def _all_marked(samples: npt.NDArray[Any]) -> Pixels:
    """255 where a sample is above 0."""
    return np.where(samples > 0, np.uint8(255), np.uint8(0))


def _brightest_channel(pixels: Pixels) -> Pixels:
    """The largest of red, green and blue, height x width."""
    largest: Pixels = np.maximum(np.maximum(pixels[:, :, 0], pixels[:, :, 1]), pixels[:, :, 2])
    return largest


def _is_grey(picture: Image.Image) -> bool:
    """Whether all colours that a palette picture shows are greys."""
    rgb = np.asarray(picture.convert("RGB"))
    return bool((rgb[:, :, 0] == rgb[:, :, 1]).all() and (rgb[:, :, 1] == rgb[:, :, 2]).all())


def _without_noise(levels: Pixels) -> Pixels:
    """Levels as weights, without the noise of the ground, of the marks and of hard edges.

    Marks with hard edges that have noise beside them get the full weight to their edge. Elsewhere
    a fade of as many levels again joins both ends to the greys in between without a step.
    """
    body = (levels >= BODY).astype(np.uint8)
    near = dilated(body, 1) > 0
    outline = int(near.sum()) - int(body.sum())
    beside = int(((levels > 0) & (levels < EDGE) & ~near).sum())
    if beside and ((levels > BLACK) & (levels < WHITE)).sum() <= HARD_EDGE * outline:
        return np.where(near & (levels >= EDGE), np.uint8(255), np.uint8(0))
    level = np.arange(256)
    faded = np.where(level < 2 * BLACK, np.maximum(2 * (level - BLACK), 0), level)
    above = np.minimum(2 * level - (2 * WHITE - 255), 255)
    weights: Pixels = np.where(level > 2 * WHITE - 255, above, faded).astype(np.uint8)[levels]
    return weights


def _refuse_grey(levels: Pixels) -> None:
    """Raise Failure mask_unclear for a picture that is greyer than soft edges make it."""
    grey = float(((levels > BLACK) & (levels < WHITE)).mean())
    white = float((levels >= WHITE).mean())
    if grey > 0.5 or (grey > MOST_GREY and grey > GREY_PER_WHITE * white):
        raise Failure("mask_unclear", f"{grey:.0%} of the mask is grey, as in a photograph")


def _refuse_ground(weights: Pixels) -> None:
    """Raise Failure mask_unclear if the mask seems to mark the ground instead of marks on it."""
    marked = weights > 0
    share = float(marked.mean())
    if share > MOST_MARKED:
        raise Failure("mask_unclear", f"{share:.0%} of the picture is marked")
    border = np.concatenate([marked[0], marked[-1], marked[:, 0], marked[:, -1]])
    if share > MOST_GROUND and border.mean() > MOST_MARKED:
        raise Failure(
            "mask_unclear", f"{share:.0%} of the picture is marked, its border included: the mask seems to be inverted"
        )
