"""A known mark: its alpha matte and its colour, from a picture file and back."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from PIL import Image, ImageOps

from operators.masks.membrane import membrane
from operators.pictures.formats.header import open_image
from operators.rows.arrays import Pixels
from operators.rows.failure import RunError
from operators.rows.overlay import Overlay, Plane

LEAST_ALPHA = 0.003
"""Alpha below which a pixel of a mark's file is empty: less than one step of 8 bits."""
LARGEST_SIDE = 4096
"""Longer side in pixels of a mark's file."""
FLAT = 10.0
"""Grey levels by which the border of a mark's picture may differ from a smooth ground."""
LEAST_SHOWN = 0.08
"""Alpha below which a pixel of such a picture is noise of the ground."""
LEAST_ISLAND = 0.3
"""Alpha that a connected part of the mark must reach somewhere."""
LEAST_CONTRAST = 24.0
"""Grey levels by which a mark must stand out from the ground of its picture."""


@dataclass(frozen=True)
class Search:
    """Where and how a mark is looked for."""

    zone: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Left, top, right and bottom of the part of the picture that holds the mark, as shares of the
    picture's width and height.
    """
    scale: tuple[float, float] = (0.3, 3.0)
    """Smallest and largest size, as a multiple of the mark's file."""
    width: tuple[float, float] | None = None
    """Smallest and largest width of the mark, as a share of the picture's; in place of `scale`."""
    opacity: tuple[float, float] = (0.1, 1.0)
    """Smallest and largest alpha of the mark's strongest pixels."""
    turn: float = 6.0
    """Degrees by which the mark may be turned either way."""

    def scales(self, mark_width: int, picture_width: int) -> tuple[float, float]:
        """The smallest and the largest size in a picture, as a multiple of the mark's file."""
        if self.width is None:
            return self.scale
        return self.width[0] * picture_width / mark_width, self.width[1] * picture_width / mark_width


@dataclass(frozen=True, eq=False)
class Mark:
    """A mark that is known before the picture is seen."""

    name: str
    alpha: Plane
    """float32 height x width, 0..1, with the opacity that the file gives it."""
    colour: Plane
    """float32 height x width x 3, sRGB 0..255."""
    certain: bool = True
    """Whether the colours are known. A picture of a mark on an opaque ground does not tell them
    from the opacity.
    """
    search: Search = field(default=Search())

    @property
    def overlay(self) -> Overlay:
        """The mark as an overlay of its own size."""
        return Overlay(self.alpha, self.colour)

    @cached_property
    def premultiplied(self) -> Plane:
        """Alpha, and the colours weighed by it; float32 height x width x 4."""
        planes: Plane = np.dstack([self.alpha, self.colour * self.alpha[:, :, None]])
        return planes

    @cached_property
    def strongest(self) -> float:
        """The alpha of its strongest pixels."""
        return float(np.percentile(self.alpha[self.alpha > LEAST_ALPHA], 98))


def read_mark(data: bytes, name: str, search: Search = Search()) -> Mark:
    """The mark that a picture file shows.

    A file with an alpha channel is the mark itself. A file without one shows the mark on a ground
    of its own: what differs from the smooth ground of its border is the mark, the strongest
    difference counts as opaque, and its colours are not `certain`.

    Raises RunError mark_unreadable for a file that cannot be decoded, that is too large, that is
    empty, or in which no mark stands out from the ground.
    """
    try:
        picture = ImageOps.exif_transpose(open_image(data))
        if max(picture.size) > LARGEST_SIDE:
            raise RunError(
                "mark_unreadable", f"{name}: {picture.width} x {picture.height} pixels; at most {LARGEST_SIDE} a side"
            )
        rgba = np.asarray(picture.convert("RGBA"))
    except RunError:
        raise
    except Exception as error:
        raise RunError("mark_unreadable", f"{name}: {' '.join(str(error).split())}") from error
    alpha: Plane = (rgba[:, :, 3] / 255).astype(np.float32)
    colour: Plane = rgba[:, :, :3].astype(np.float32)
    if alpha.min() > 1 - LEAST_ALPHA:
        return _on_ground(np.ascontiguousarray(rgba[:, :, :3]), name, search)
    if alpha.max() <= LEAST_ALPHA:
        raise RunError("mark_unreadable", f"{name}: every pixel is transparent")
    return Mark(name, *_trimmed(alpha, colour), certain=True, search=search)


def write_mark(mark: Mark) -> bytes:
    """The mark as a PNG file with alpha."""
    alpha = np.rint(mark.alpha * 255)
    rgba = np.dstack([np.clip(np.rint(mark.colour), 0, 255), alpha]).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _on_ground(rgb: Pixels, name: str, search: Search) -> Mark:
    """The mark of a picture without alpha, on a ground that is smooth at its border."""
    height, width = rgb.shape[:2]
    edge = max(1, round(0.03 * min(height, width)))
    border = np.ones((height, width), bool)
    border[edge:-edge, edge:-edge] = False
    values = rgb.astype(np.float32)
    ground = membrane(values, np.ones((height, width), np.float32), border)
    middle = cv2.GaussianBlur(values, (0, 0), 3)
    if np.percentile(np.abs(values - middle)[border], 90) > FLAT:
        raise RunError("mark_unreadable", f"{name}: the mark has no alpha, and the ground at its border is not smooth")
    difference = np.sqrt(((values - ground) ** 2).sum(axis=2))
    strongest = float(np.percentile(difference, 99.5))
    if strongest < LEAST_CONTRAST:
        raise RunError("mark_unreadable", f"{name}: no mark stands out from the ground")
    noise = float(np.percentile(difference[border], 95))
    alpha = np.clip((difference - noise) / max(strongest - noise, 1), 0, 1)
    count, labels = cv2.connectedComponents((alpha >= LEAST_SHOWN).astype(np.uint8), connectivity=8)
    highest = np.zeros(count)
    np.maximum.at(highest, labels.ravel(), alpha.ravel())
    # Ringing of JPEG makes faint islands around the mark.
    alpha[(labels == 0) | (highest < LEAST_ISLAND)[labels]] = 0
    colour: Plane = np.broadcast_to(np.median(values[alpha > 0.8], axis=0), rgb.shape).astype(np.float32)
    return Mark(name, *_trimmed(alpha.astype(np.float32), colour), certain=False, search=search)


def _trimmed(alpha: Plane, colour: Plane) -> tuple[Plane, Plane]:
    """Alpha and colour without the empty margins, the colours continued where alpha is zero."""
    used = alpha > LEAST_ALPHA
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    alpha, colour = np.where(used, alpha, 0)[part].astype(np.float32), colour[part].astype(np.float32)
    return alpha, membrane(colour * alpha[:, :, None], alpha, alpha > LEAST_ALPHA)
