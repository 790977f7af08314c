"""Conversion of stored samples between a file's colour space and 8-bit sRGB.

LittleCMS applies profiles, relative colorimetric with black point compensation in both
directions, at 8 bits a channel; a deeper picture therefore receives a fill in steps of 1/255 of
its space. Unedited samples are never converted. Operators see colours beyond sRGB clipped to it.
A profile that moves no colour of a coarse grid by more than one 8-bit step counts as sRGB and is
ignored.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

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
"""Number of colour samples of a pixel."""
MODES: dict[Model, str] = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}
"""Pillow's mode of 8-bit samples."""
LUMA = np.array(LUMA_WEIGHTS, np.float32)[:, None]
"""Rec. 601 luma, which a grey picture without a profile takes from a fill."""


@dataclass(frozen=True)
class Space:
    """The meaning of a picture's samples.

    Samples that follow the model's colours are alpha or others; edits leave the others unchanged.
    CMYK without a profile is converted by red = (1 - cyan) (1 - black) and so on. The inverse is
    black = `black` (1 - max(red, green, blue)), then cyan = 1 - red / (1 - black) and so on.
    """

    model: Model
    peak: int = 255
    """The largest sample: 1, 3, 15, 255, 1023, 4095 or 65535."""
    profile: bytes | None = None
    """The embedded ICC profile; None if there is none to apply."""
    inverted: bool = False
    """Whether 0 is white (grey) or full ink (CMYK)."""
    premultiplied: bool = False
    """Whether colours are stored multiplied by the alpha that follows them."""
    alpha: bool = False
    """Whether the sample that follows the colours is alpha."""
    key: tuple[int, ...] | None = None
    """The stored colour that means full transparency; only pictures without alpha have one."""
    black: float = 1.0
    """Share of grey printed by black ink, see `black_generation`; only CMYK without a profile."""

    @property
    def colours(self) -> int:
        """How many of a pixel's samples are its colour."""
        return COLOURS[self.model]

    def opacity(self, samples: Samples) -> Floats | None:
        """The alpha of samples, 0..1, height x width; None if this space knows no transparency."""
        if self.alpha:
            opacity: Floats = samples[:, :, self.colours].astype(np.float32) / np.float32(self.peak)
            return opacity
        if self.key is not None:
            clear: npt.NDArray[np.bool_] = (samples == np.array(self.key, samples.dtype)).all(axis=2)
            return (~clear).astype(np.float32)
        return None

    def to_srgb(self, samples: Samples) -> Pixels:
        """Samples (height x width x channels) as uint8 sRGB, height x width x 3.

        Alpha is dropped and grey is repeated.
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
            return _converted(colour, _transforms(self.profile, self.model).to_srgb)
        if self.model == "cmyk":
            ink = colour.astype(np.float32)
            return np.rint((255 - ink[:, :, :3]) * (255 - ink[:, :, 3:]) / 255).astype(np.uint8)
        return np.repeat(colour, 3, axis=2) if self.model == "grey" else np.ascontiguousarray(colour, np.uint8)

    def from_srgb(self, fill: Pixels, samples: Samples) -> Floats:
        """A fill (uint8 sRGB, height x width x 3) as colour samples of this space.

        The result is height x width x colours, 0..peak, not rounded. `samples` are those that the
        fill replaces: premultiplied colours are multiplied by their alpha.
        """
        if self.profile is not None:
            colour = _converted(fill, _transforms(self.profile, self.model).from_srgb).astype(np.float32)
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
        """Red, green and blue (0..1) as cyan, magenta, yellow and black (0..1)."""
        black = np.float32(self.black) * (1 - rgb.max(axis=2, keepdims=True))
        return np.concatenate([1 - rgb / np.maximum(1 - black, 1e-6), black], axis=2).clip(0, 1)


def black_generation(inks: Pixels) -> float:
    """The share of grey (0..1) that a picture prints by black ink, measured on its pixels.

    `inks` are uint8, height x width x 4, where 255 is full ink. An edit that split grey into inks
    differently from its surroundings would be visible where the two are mixed.
    """
    step = max(1, round((inks.shape[0] * inks.shape[1] / 250_000) ** 0.5))
    sample = inks[::step, ::step].astype(np.float32) / 255
    grey = 1 - (1 - sample[:, :, :3].min(axis=2)) * (1 - sample[:, :, 3])
    dark = grey > 0.1
    return float(np.clip(np.median(sample[:, :, 3][dark] / grey[dark]), 0, 1)) if dark.any() else 1.0


def profile_to_apply(profile: bytes | None, model: Model) -> tuple[bytes | None, str | None]:
    """The profile if it has to be applied, else None; and why a profile cannot be applied.

    The second value is None for a usable profile, for none at all, and for one that equals sRGB.
    """
    if not profile:
        return None, None
    try:
        transforms = _transforms(profile, model)
        steps = np.linspace(0, 255, {"grey": 256, "rgb": 9, "cmyk": 3}[model]).round().astype(np.uint8)
        grid = np.stack(np.meshgrid(*[steps] * COLOURS[model]), axis=-1).reshape(1, -1, COLOURS[model])
        srgb = _converted(grid, transforms.to_srgb)
        _converted(srgb, transforms.from_srgb)
    except Exception as error:
        return None, f"the colour profile cannot be applied: {type(error).__name__}: {error}"
    same = model != "cmyk" and np.abs(srgb.astype(int) - grid).max() <= 1
    return (None if same else profile), None


class Transforms(NamedTuple):
    """The two LittleCMS transforms between a profile's space and sRGB."""

    to_srgb: Any
    from_srgb: Any


@lru_cache(maxsize=16)
def _transforms(profile: bytes, model: Model) -> Transforms:
    """Build the transforms of a profile.

    Raises PyCMSError or OSError for a profile that is broken or belongs to another colour model.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC
    mode = MODES[model]
    to_srgb = ImageCms.buildTransform(source, srgb, mode, "RGB", intent, flags)
    return Transforms(to_srgb, ImageCms.buildTransform(srgb, source, "RGB", mode, intent, flags))


def _converted(pixels: Pixels, transform: Any) -> Pixels:
    """Pixels (uint8, height x width x channels) converted by a LittleCMS transform."""
    contiguous = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[pixels.shape[2]]
    image = Image.frombuffer(mode, contiguous.shape[1::-1], contiguous.tobytes(), "raw", mode, 0, 1)
    result = ImageCms.applyTransform(image, transform)
    converted = np.asarray(result)
    return converted[:, :, None] if converted.ndim == 2 else converted


def _eight_bits(samples: Samples, peak: int) -> Pixels:
    """Samples of 0..peak scaled to 0..255 and rounded."""
    scaled: Pixels = cv2.convertScaleAbs(np.ascontiguousarray(samples), alpha=255 / peak)
    return scaled.reshape(samples.shape)
