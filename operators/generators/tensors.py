"""Requests as tensors, and tensors as pictures: what the generators that run on torch share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from operators.generators.canvas import Canvas
from operators.generators.classical import navier_stokes
from operators.generators.generator import Request
from operators.masks.mask import hole_of
from operators.models.card import ModelCard
from operators.rows.arrays import Pixels
from operators.rows.failure import RunError

if TYPE_CHECKING:
    import torch


def canvas_of(request: Request, card: ModelCard) -> Canvas:
    """Where a request's crop lies on the model's sizes."""
    height, width = request.pixels.shape[:2]
    return Canvas.of(height, width, card.native_size, card.size_multiple)


def smooth_source(request: Request) -> Pixels:
    """The crop with its hole smoothly filled: what differential diffusion starts from, so that no
    letter shines through, not even by the kernel that resizes.
    """
    return navier_stokes(np.ascontiguousarray(request.pixels), hole_of(request.mask), 0)


def stacked(pictures: Sequence[Pixels]) -> torch.Tensor:
    """Pictures of one size (uint8, height x width x 3) as float32, batch x 3 x height x width,
    -1..1.
    """
    import torch

    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return pixels.to(torch.float32) / 127.5 - 1


def unstacked(batch: torch.Tensor) -> list[Pixels]:
    """The reverse of `stacked`, clipped and rounded."""
    pixels = ((batch.float().clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1)
    return list(pixels.cpu().numpy().astype(np.uint8))


def generators_of(requests: Sequence[Request]) -> list[torch.Generator]:
    """Each request's own random numbers, drawn on the host so that they are the same on every
    device.
    """
    import torch

    return [torch.Generator("cpu").manual_seed(request.seed) for request in requests]


def scheduler_class(card: ModelCard, own: Any) -> Any:
    """The class that the card names, or the one of the model's folder. Raises RunError
    model_invalid.
    """
    import diffusers

    if not card.scheduler:
        return type(own)
    found = getattr(diffusers, card.scheduler, None)
    if found is None or not hasattr(found, "set_timesteps"):
        raise RunError("model_invalid", f"{card.alias}: diffusers has no scheduler {card.scheduler!r}")
    return found
