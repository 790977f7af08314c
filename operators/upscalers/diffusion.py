"""Diffusion upscalers: a card of family `upscaler`, run by the pipeline that its folder names."""

from __future__ import annotations

import functools
import hashlib
import inspect
from typing import Any

import numpy as np

from operators.models import registry
from operators.models.card import ModelCard
from operators.rows.failure import RunError
from operators.upscalers.upscaler import Colour, Upscale, Upscaler

INTENT = "a photograph"
"""The intent for every picture, for pipelines that take a prompt."""
OVERLAP, FEATHER = 16, 12
"""Source pixels.

These networks see everything in a tile, so tiles agree only roughly and are mixed over a wide
band.
"""


@functools.cache
def diffusion_upscaler(reference: str) -> Upscaler:
    """The upscaler for an alias, a folder in diffusers' format, or a URL of one.

    Scale, multiple and licence come from its card. The checksums of its weights are computed now
    and must hold from then on; a model on a hub is pulled. The result is cached for the process.
    Raises RunError option_invalid if the model is not an upscaler, and what `registry.resolve` and
    `registry.pin_checksums` raise.
    """
    card = registry.resolve(reference)
    if card.family != "upscaler":
        raise RunError("option_invalid", f"{card.alias} is of family {card.family}, not an upscaler")
    card = registry.pin_checksums(card)
    return Upscaler(
        card.alias,
        card.scale,
        card.licence,
        lambda _: _create_upscale(card),
        overlap=OVERLAP,
        feather=FEATHER,
        multiple=card.size_multiple,
        weights=card.source,
        sha256=card.files,
    )


def _create_upscale(card: ModelCard) -> Upscale:
    """The function that runs the card's pipeline, on the accelerator if there is one.

    The noise from which the pipeline starts depends on the picture alone.
    """
    folder = registry.fetch_weights(card)

    def upscale(picture: Colour) -> Colour:
        import torch

        from operators.generators.loading import load

        # Loaded here, because `load_once` holds its lock while it loads an upscaler, and pipelines
        # are loaded through `load_once` too.
        pipeline = load(card, folder).pipeline
        accepted = inspect.signature(pipeline.__call__).parameters
        settings: dict[str, Any] = {
            "prompt": card.prompt.replace("{intent}", INTENT),
            "negative_prompt": card.negative_prompt,
            "guidance_scale": card.guidance,
            "num_inference_steps": card.steps,
            "eta": card.stochasticity,
        }
        arguments = {name: value for name, value in settings.items() if name in accepted}
        seed = int.from_bytes(hashlib.sha256(np.ascontiguousarray(picture).tobytes()).digest()[:7], "big")
        image = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
        if not hasattr(pipeline, "image_processor"):
            image = image * 2 - 1  # pipelines with a processor do this themselves, unless a value is negative
        generator = torch.Generator("cpu").manual_seed(seed)
        result = pipeline(image=image, generator=generator, output_type="np", **arguments).images[0]
        return np.clip(np.asarray(result, np.float32), 0, 1)

    return upscale
