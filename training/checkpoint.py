"""The checkpoint of a training: what it needs to go on where it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of a network's weights."""
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


@dataclass(frozen=True)
class Checkpoint:
    """A file with the state of a network, its average and its optimiser."""

    path: Path
    network: nn.Module
    average: AveragedModel
    optimiser: torch.optim.Optimizer

    def load(self) -> tuple[int, float]:
        """Restore the state; the steps and minutes spent so far, which are 0 without a file."""
        if not self.path.exists():
            return 0, 0.0
        state = torch.load(self.path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        return state["step"], state["minutes"]

    def save(self, step: int, minutes: float) -> None:
        """Write the state."""
        parts = {"network": self.network, "average": self.average, "optimiser": self.optimiser}
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**state, "step": step, "minutes": minutes}, self.path)
