"""Diffusion upscalers as upscalers like any other: a card of family `upscaler`, run by the
pipeline that its folder names.
"""

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
"""What pipelines that are told something are told of every picture."""
OVERLAP, FEATHER = 16, 12
"""Source pixels. These networks see everything in a tile, so that tiles agree only roughly and
are mixed over a wide band.
"""


@functools.cache
def diffusion_upscaler(reference: str) -> Upscaler:
    """The upscaler of a card: an alias, a folder in diffusers' format, or a URL of one.

    Scale, multiple and licence are the card's. Its weights are held to the checksums found now (a
    model on a hub is pulled). Raises RunError option_invalid if the model is no upscaler, and
    what `registry.resolve` and `registry.pin_checksums` raise.
    """
    card = registry.resolve(reference)
    if card.family != "upscaler":
        raise RunError("option_invalid", f"{card.alias} is of family {card.family}, and no upscaler")
    card = registry.pin_checksums(card)
    return Upscaler(
        card.alias,
        card.scale,
        card.licence,
        lambda _: _session(card),
        overlap=OVERLAP,
        feather=FEATHER,
        multiple=card.size_multiple,
        weights=card.source,
        sha256=card.files,
    )


def _session(card: ModelCard) -> Upscale:
    """The pipeline on the accelerator if there is one; the noise it starts from depends on the
    picture alone.
    """
    folder = registry.fetch_weights(card)

    def upscale(picture: Colour) -> Colour:
        import torch

        from operators.generators.loading import load

        # Loaded here, since loading an upscaler holds the lock of the very cache that keeps
        # pipelines.
        pipeline = load(card, folder).pipeline
        known = inspect.signature(pipeline.__call__).parameters
        wanted: dict[str, Any] = {
            "prompt": card.prompt.replace("{intent}", INTENT),
            "negative_prompt": card.negative_prompt,
            "guidance_scale": card.guidance,
            "num_inference_steps": card.steps,
            "eta": card.stochasticity,
        }
        settings = {name: value for name, value in wanted.items() if name in known}
        seed = int.from_bytes(hashlib.sha256(np.ascontiguousarray(picture).tobytes()).digest()[:7], "big")
        image = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
        if not hasattr(pipeline, "image_processor"):
            image = image * 2 - 1  # pipelines with a processor do this themselves, but not to what has negative values
        generator = torch.Generator("cpu").manual_seed(seed)
        made = pipeline(image=image, generator=generator, output_type="np", **settings).images[0]
        return np.clip(np.asarray(made, np.float32), 0, 1)

    return upscale
