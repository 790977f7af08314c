"""Amused (Patil et al. 2024, an open MUSE): a transformer over the tokens of a quantised picture.

Each round predicts all masked tokens at once and keeps the most probable of them, until none is
masked. This is masked token modelling with parallel decoding (MaskGIT, Chang et al. 2022). It is
not autoregressive: no token waits for its left neighbour.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from operators.generators.canvas import largest
from operators.generators.generator import Request
from operators.generators.loading import Loaded
from operators.generators.tensors import canvas_of, generators_of, smooth_source, stack, unstack
from operators.masks.mask import hole_of
from operators.models.card import ModelCard
from operators.rows.arrays import Pixels

if TYPE_CHECKING:
    import torch


class UnchangedMask:
    """Replaces the pipeline's mask processor, which would resize a mask of tokens.

    The processor rounds sides to multiples of a token's pixels, 13 to 8 for example.
    """

    def preprocess(self, mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """The mask itself."""
        return mask


@dataclass(frozen=True)
class TokenTransformer:
    """Amused as a generator, one region at a time.

    The pipeline derives how many tokens a round keeps from the masked share of the whole batch,
    so regions in one batch would change each other. Tokens are drawn from their probabilities
    with the region's random generator. `stochasticity` is the temperature that decides which of
    them are kept; it falls to 0. A token is either masked or not, so only the hole of a soft mask
    reaches the model.
    """

    card: ModelCard
    loaded: Loaded

    def __post_init__(self) -> None:
        self.loaded.pipeline.mask_processor = UnchangedMask()

    def shape(self, request: Request) -> Hashable:
        """The bucket: height and width in pixels."""
        canvas = canvas_of(request, self.card)
        return canvas.height, canvas.width

    def microbatch(self, request: Request) -> int:
        """One, whatever the card's `microbatch` is."""
        return 1

    def fill(self, requests: Sequence[Request]) -> list[Pixels]:
        """Regenerate each crop, see `Generator.fill`."""
        return [self._fill(request) for request in requests]

    def tokens(self, request: Request) -> torch.Tensor:
        """Which tokens are masked: every token that the hole touches.

        float32 0 or 1, 1 x 1 x rows x columns of tokens.
        """
        import torch

        canvas, cell = canvas_of(request, self.card), self.loaded.pipeline.vae_scale_factor
        cells = largest(canvas.weights(hole_of(request.mask)), canvas.height // cell, canvas.width // cell)
        return torch.from_numpy((cells > 0).astype(np.float32))[None, None]

    def _fill(self, request: Request) -> Pixels:
        import torch

        canvas = canvas_of(request, self.card)
        with torch.inference_mode():
            output = self.loaded.pipeline(
                prompt=request.prompt,
                negative_prompt=self.card.negative_prompt,
                image=(stack([canvas.picture(smooth_source(request))]) + 1) / 2,
                mask_image=self.tokens(request),
                num_inference_steps=self.card.steps,
                guidance_scale=self.card.guidance,
                temperature=(self.card.stochasticity, 0),
                generator=generators_of([request])[0],
                output_type="pt",
            )
            return canvas.returned(unstack(output.images * 2 - 1)[0])
