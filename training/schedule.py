"""The learning rate of a training: it warms up, and then falls along a cosine."""

from __future__ import annotations

import math

import torch

LOWEST = 0.01
"""The share of the rate at which a training ends."""


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float, step: int, warm_up: int, done: float) -> None:
    """Set the rate for a step, of which the first `warm_up` ones rise to `rate`.

    `done` is the share of the training's time that has passed, 0..1.
    """
    falling = max(LOWEST, 0.5 + 0.5 * math.cos(math.pi * done))
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1, (step + 1) / warm_up) * falling
