"""What stored samples mean as colours: from any space a file may be in to the 8-bit sRGB that
operators see, and back.

Profiles are followed by LittleCMS, relative colorimetric with black point compensation both ways,
at 8 bits a channel: for a deeper picture the fill comes back in steps of 1/255 of its own space;
what is not edited never passes through here. Colours beyond sRGB are clipped to it in what
operators see. A profile that moves no colour of a coarse grid by more than one step of 8 bits is
taken for sRGB, and nothing is converted.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from operators.rows.arrays import LUMA_WEIGHTS, Pixels

Samples = npt.NDArray[Any]
"""Samples as a file stores them, height x width x channels, uint8 or uint16."""
Floats = npt.NDArray[np.float32]
Model = Literal["grey", "rgb", "cmyk"]

COLOURS: dict[Model, int] = {"grey": 1, "rgb": 3, "cmyk": 4}
MODES: dict[Model, str] = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}
LUMA = np.array(LUMA_WEIGHTS, np.float32)[:, None]
"""Rec. 601: what a grey picture without a profile takes of a fill."""


@dataclass(frozen=True)
class Space:
    """The meaning of a picture's samples; samples beyond the model's own are alpha or others, and
    no concern of an edit.

    CMYK without a profile is red = (1 - cyan) (1 - black) and so on; back, black = `black` (1 -
    max(red, green, blue)), then cyan = 1 - red / (1 - black) and so on.
    """

    model: Model
    peak: int = 255
    """The largest sample: 1, 3, 15, 255 or 65535."""
    profile: bytes | None = None
    """The embedded ICC profile; None where there is none to follow."""
    inverted: bool = False
    """Whether 0 is white (grey) or full ink (CMYK)."""
    premultiplied: bool = False
    """Whether colours are stored multiplied by the alpha that follows them."""
    black: float = 1.0
    """Share of the grey in a colour that is printed by black ink, see `black_generation`; only
    CMYK without a profile.
    """

    @property
    def colours(self) -> int:
        """How many of a pixel's samples are its colour."""
        return COLOURS[self.model]

    def shown(self, samples: Samples) -> Pixels:
        """Samples (height x width x channels) as uint8 sRGB, height x width x 3; alpha is
        dropped, grey is repeated.
        """
        colour = samples[:, :, : self.colours]
        if self.premultiplied:
            alpha = np.maximum(samples[:, :, self.colours, None], 1).astype(np.float32)
            colour = np.minimum(colour * (np.float32(255) / alpha), 255).round().astype(np.uint8)
        elif self.peak != 255:
            colour = _eight_bits(colour, self.peak)
        if self.inverted:
            colour = 255 - colour
        if self.profile is not None:
            return _converted(colour, _transforms(self.profile, self.model)[0])
        if self.model == "cmyk":
            ink = colour.astype(np.float32)
            return np.rint((255 - ink[:, :, :3]) * (255 - ink[:, :, 3:]) / 255).astype(np.uint8)
        return np.repeat(colour, 3, axis=2) if self.model == "grey" else np.ascontiguousarray(colour, np.uint8)

    def stored(self, fill: Pixels, samples: Samples) -> Floats:
        """A fill (uint8 sRGB, height x width x 3) as samples of this space, 0..peak, not rounded.

        `samples` are those it replaces: their alpha counts where colours are premultiplied.
        """
        if self.profile is not None:
            colour = _converted(fill, _transforms(self.profile, self.model)[1]).astype(np.float32)
        elif self.model == "cmyk":
            colour = self._inks(fill.astype(np.float32) / np.float32(255)) * 255
        else:
            colour = fill.astype(np.float32) @ LUMA if self.model == "grey" else fill.astype(np.float32)
        colour *= np.float32(self.peak / 255)
        if self.inverted:
            colour = self.peak - colour
        if self.premultiplied:
            colour *= samples[:, :, self.colours, None] / np.float32(self.peak)
        return colour

    def _inks(self, rgb: Floats) -> Floats:
        black = np.float32(self.black) * (1 - rgb.max(axis=2, keepdims=True))
        return np.concatenate([1 - rgb / np.maximum(1 - black, 1e-6), black], axis=2).clip(0, 1)


def black_generation(inks: Pixels) -> float:
    """The share of grey that a picture prints by black ink, from its own pixels (uint8, height x
    width x 4, 255 is full ink).

    An edit that split grey into inks otherwise than its surroundings would show where the two are
    mixed.
    """
    step = max(1, round((inks.shape[0] * inks.shape[1] / 250_000) ** 0.5))
    few = inks[::step, ::step].astype(np.float32) / 255
    grey = 1 - (1 - few[:, :, :3].min(axis=2)) * (1 - few[:, :, 3])
    dark = grey > 0.1
    return float(np.clip(np.median(few[:, :, 3][dark] / grey[dark]), 0, 1)) if dark.any() else 1.0


def followed(profile: bytes | None, model: Model) -> tuple[bytes | None, str | None]:
    """The profile if its colours have to be converted, else None; and why a profile that is there
    cannot be followed.
    """
    if not profile:
        return None, None
    try:
        there, back = _transforms(profile, model)
        steps = np.linspace(0, 255, {"grey": 256, "rgb": 9, "cmyk": 3}[model]).round().astype(np.uint8)
        grid = np.stack(np.meshgrid(*[steps] * COLOURS[model]), axis=-1).reshape(1, -1, COLOURS[model])
        seen = _converted(grid, there)
        _converted(seen, back)
    except Exception as error:
        return None, f"the colour profile cannot be followed: {type(error).__name__}: {error}"
    same = model != "cmyk" and np.abs(seen.astype(int) - grid).max() <= 1
    return (None if same else profile), None


@lru_cache(maxsize=16)
def _transforms(profile: bytes, model: Model) -> tuple[Any, Any]:
    """LittleCMS transforms from the profile to sRGB and back. Raises PyCMSError or OSError for a
    broken or unfit profile.
    """
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC
    mode = MODES[model]
    there = ImageCms.buildTransform(opened, srgb, mode, "RGB", intent, flags)
    return there, ImageCms.buildTransform(srgb, opened, "RGB", mode, intent, flags)


def _converted(pixels: Pixels, transform: Any) -> Pixels:
    """Uint8 pixels (height x width x channels) taken through a transform."""
    contiguous = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[pixels.shape[2]]
    image = Image.frombuffer(mode, contiguous.shape[1::-1], contiguous.tobytes(), "raw", mode, 0, 1)
    result = ImageCms.applyTransform(image, transform)
    converted = np.asarray(result)
    return converted[:, :, None] if converted.ndim == 2 else converted


def _eight_bits(samples: Samples, peak: int) -> Pixels:
    """Samples of 0..peak scaled to 0..255, rounded."""
    scaled: Pixels = cv2.convertScaleAbs(np.ascontiguousarray(samples), alpha=255 / peak)
    return scaled.reshape(samples.shape)
