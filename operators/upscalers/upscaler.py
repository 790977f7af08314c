"""What an upscaler is: data about it, and a function from a small picture to a large one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from operators.models.in_process import load_once
from operators.rows.records import (
    ModelRecord,
)

Colour = npt.NDArray[np.float32]
"""Colour values 0..1, height x width x 3, in the picture's own transfer curve."""

Upscale = Callable[[Colour], Colour]
"""A picture to one `scale` times as wide and high, values 0..1."""


@dataclass(frozen=True)
class Upscaler:
    """One upscaler at one scale: what tiling, reports and licences need to know of it."""

    alias: str
    scale: int
    licence: str
    load: Callable[[Upscaler], Upscale]
    """Loads the weights and returns the function."""
    overlap: int = 0
    """Source pixels round a tile that it must see for the tile to come out as in the whole
    picture.
    """
    feather: int = 0
    """Source pixels, within the overlap, over which neighbouring tiles are mixed."""
    multiple: int = 1
    """What both sides of a tile must be divisible by."""
    weights: str = ""
    """Name of its weights inside the package that carries them; empty where there are none."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file of the weights."""

    def identity(self) -> ModelRecord:
        """What run.json says of it."""
        return {"alias": self.alias, "licence": self.licence, "sha256": dict(self.sha256)}

    def opened(self) -> Upscale:
        """The process's function for this upscaler. Raises RunError model_changed if its weights
        are not those known.
        """
        return load_once(self.alias, "|".join(self.sha256.values()), "cpu", lambda: self.load(self))
