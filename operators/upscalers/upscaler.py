"""The interface of every upscaler: data about it, and a function that enlarges a small picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from operators.models.in_process import load_once
from operators.rows.records import ModelRecord

Colour = npt.NDArray[np.float32]
"""Colour values 0..1, height x width x 3, in the picture's own transfer curve."""

Upscale = Callable[[Colour], Colour]
"""Enlarges a picture to `scale` times its width and height; values 0..1."""


@dataclass(frozen=True)
class Upscaler:
    """One upscaler at one scale: everything that tiling, reports and licences need to know."""

    alias: str
    scale: int
    licence: str
    load: Callable[[Upscaler], Upscale]
    """Loads the weights and returns the function."""
    overlap: int = 0
    """Source pixels around a tile that the upscaler must see to give the same result as for the
    whole picture.
    """
    feather: int = 0
    """Source pixels, within the overlap, over which neighbouring tiles are mixed."""
    multiple: int = 1
    """Source pixels of which both sides of a tile must be multiples."""
    weights: str = ""
    """Name of the weights in the package that holds them; empty for upscalers without weights."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file of the weights."""

    def identity(self) -> ModelRecord:
        """The upscaler's entry in run.json."""
        return {"alias": self.alias, "licence": self.licence, "sha256": dict(self.sha256)}

    def opened(self) -> Upscale:
        """The function of this upscaler, loaded once per process.

        Raises RunError model_changed if its weights have another checksum, and what `load` raises.
        """
        return load_once(self.alias, "|".join(self.sha256.values()), "cpu", lambda: self.load(self))
