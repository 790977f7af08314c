"""Conversions that the torch generators share: requests to tensors, tensors to pictures."""

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
    """How the request's crop lies on one of the model's sizes."""
    height, width = request.pixels.shape[:2]
    return Canvas.of(height, width, card.native_size, card.size_multiple)


def smooth_source(request: Request) -> Pixels:
    """The crop with its hole smoothly filled: the start of differential diffusion.

    No letter shows through, not even by way of the kernel that resizes.
    """
    return navier_stokes(np.ascontiguousarray(request.pixels), hole_of(request.mask), 0)


def stack(pictures: Sequence[Pixels]) -> torch.Tensor:
    """Stack pictures (uint8 height x width x 3): float32 -1..1, batch x 3 x height x width."""
    import torch

    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return pixels.to(torch.float32) / 127.5 - 1


def unstack(batch: torch.Tensor) -> list[Pixels]:
    """Pictures from a batch: the inverse of `stack`, clipped and rounded.

    They leave the device as bytes, a quarter of the floats.
    """
    import torch

    pixels = ((batch.float().clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1)
    return list(pixels.to(torch.uint8).cpu().numpy())


def to_device(values: torch.Tensor, device: str) -> torch.Tensor:
    """The values on the device, of the same type.

    A GPU copies from pinned memory, for which the host does not wait: it prepares the next values.
    torch keeps the pinned memory until the copy has ended.
    """
    if device != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def generators_of(requests: Sequence[Request]) -> list[torch.Generator]:
    """A random generator for each request, on the host: every device gets the same numbers."""
    import torch

    return [torch.Generator("cpu").manual_seed(request.seed) for request in requests]


def scheduler_class(card: ModelCard, default: Any) -> Any:
    """The scheduler class that the card names, or else the class of `default`.

    `default` is the scheduler from the model's folder. Raises RunError model_invalid if diffusers
    has no such scheduler.
    """
    import diffusers

    if not card.scheduler:
        return type(default)
    named = getattr(diffusers, card.scheduler, None)
    if named is None or not hasattr(named, "set_timesteps"):
        raise RunError("model_invalid", f"{card.alias}: diffusers has no scheduler {card.scheduler!r}")
    return named
