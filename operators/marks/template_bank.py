"""The edges that one mark draws at several sizes and turns, as frequencies, each made once."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from operators.marks.rendering import Pose
from operators.marks.spectra import Spectrum, spectrum_of
from operators.marks.view import View, template
from operators.marks.whitening import whitening
from operators.rows.box import Box
from operators.rows.overlay import Plane

Look = tuple[float, float]
"""Size and turn of a mark on a reduced copy."""


@dataclass(frozen=True, eq=False)
class TemplateBank:
    """The templates of one mark before one picture."""

    view: View
    canvas: Box
    """The pixels around its origin that a template may cover."""
    drawn: dict[Look, tuple[Plane, Box]] = field(default_factory=dict)
    spectra: dict[tuple[Look, tuple[int, int]], Spectrum] = field(default_factory=dict)

    @staticmethod
    def of(view: View, looks: Iterable[Look]) -> TemplateBank:
        """A bank for templates of at most these sizes and turns."""
        height, width = view.mark.alpha.shape
        boxes = (Pose(0.0, 0.0, size, turn).box(width, height) for size, turn in looks)
        return TemplateBank(view, functools.reduce(Box.union, boxes))

    def box(self, look: Look) -> Box:
        """The pixels around its origin that a template covers."""
        height, width = self.view.mark.alpha.shape
        return Pose(0.0, 0.0, *look).box(width, height)

    def spectrum(self, look: Look, size: tuple[int, int]) -> Spectrum:
        """The frequencies of a template on tiles of a size; see `transformed`."""
        if (look, size) not in self.spectra:
            if look not in self.drawn:
                self.drawn[look] = template(self.view, *look, blurred=True)
            self.spectra[look, size] = transformed(*self.drawn[look], self.canvas, size)
        return self.spectra[look, size]


def transformed(edges: Plane, box: Box, canvas: Box, size: tuple[int, int]) -> Spectrum:
    """The conjugate frequencies of edges on `box`, with the canvas at the top left of a tile of a
    size; planes x rows x columns. Whitened, they have the energy 1.
    """
    tile = np.zeros((edges.shape[2], *size), np.float32)
    top, left = box.y - canvas.y, box.x - canvas.x
    tile[:, top : top + box.height, left : left + box.width] = edges.transpose(2, 0, 1)
    spectra: Spectrum = np.stack([spectrum_of(plane, canvas.height) for plane in tile])
    energy = 2 * float(np.vdot(spectra, spectra * whitening(size)[:, 1:-1]).real) / (size[0] * size[1])
    return spectra.conj() / np.float32(math.sqrt(max(energy, 1e-9)))
