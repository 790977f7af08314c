"""Run models by their own diffusers pipeline (Flux Fill, and all that AutoPipelineForInpainting
loads).

cleanplate still does the crops, the masks and the paste-back. If the pipeline does flow matching
in its latents, differential diffusion is added between its steps. Otherwise the mask alone
decides what may change.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from operators.generators.batch_invariance import invariant_microbatch
from operators.generators.canvas import largest
from operators.generators.generator import Request
from operators.generators.loading import Loaded
from operators.generators.strength import latent_cells, strength_of, threshold
from operators.generators.tensors import canvas_of, generators_of, scheduler_class, smooth_source, stack, to_device, unstack
from operators.masks.mask import hole_of
from operators.models.card import ModelCard
from operators.rows.arrays import Pixels
from operators.rows.failure import RunError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DiffusersPipeline:
    """A diffusers pipeline as a generator.

    It is called with crops of fixed sizes, masks that survive its resampling, and one random
    generator per region.
    """

    card: ModelCard
    loaded: Loaded

    @classmethod
    def of(cls, card: ModelCard, loaded: Loaded) -> DiffusersPipeline:
        """A generator for the loaded pipeline.

        If the pipeline does not inpaint, diffusers' inpainting pipeline for its networks is used.
        Raises RunError model_invalid if there is none, if the card sets `stochasticity`, and for
        an unknown scheduler.
        """
        from diffusers import AutoPipelineForInpainting

        if card.stochasticity:
            raise RunError("model_invalid", f"{card.alias}: its pipeline has no stochasticity to set")
        pipeline = loaded.pipeline
        if "mask_image" not in inspect.signature(pipeline.__call__).parameters:
            try:
                pipeline = AutoPipelineForInpainting.from_pipe(pipeline)
            except ValueError as error:
                raise RunError("model_invalid", f"{card.alias}: {type(pipeline).__name__} cannot inpaint") from error
            pipeline.set_progress_bar_config(disable=True)
        scheduler_class(card, pipeline.scheduler)
        return cls(card, replace(loaded, pipeline=pipeline))

    def shape(self, request: Request) -> Hashable:
        """The bucket: height and width in pixels."""
        canvas = canvas_of(request, self.card)
        return canvas.height, canvas.width

    def microbatch(self, request: Request) -> int:
        """The card's `microbatch`, or one if places in it change pixels on this machine."""
        kind = (self.shape(request), self.card.guidance > 1)
        return invariant_microbatch(self.loaded, self.card.microbatch, kind, request, self.pictures)

    def fill(self, requests: Sequence[Request]) -> list[Pixels]:
        """Regenerate each crop, see `Generator.fill`."""
        pictures = unstack(self.pictures(requests))
        return [canvas_of(request, self.card).returned(picture) for request, picture in zip(requests, pictures, strict=True)]

    def pictures(self, requests: Sequence[Request]) -> torch.Tensor:
        """The requests' regenerated canvases, -1..1, batch x 3 x height x width."""
        import torch

        pipeline, canvases = self.loaded.pipeline, [canvas_of(request, self.card) for request in requests]
        previous = pipeline.scheduler
        pipeline.scheduler = scheduler_class(self.card, previous).from_config(previous.config)
        pictures = [canvas.picture(smooth_source(request)) for canvas, request in zip(canvases, requests, strict=True)]
        arguments = {
            "prompt": [request.prompt for request in requests],
            "negative_prompt": [self.card.negative_prompt] * len(requests) if self.card.negative_prompt else None,
            "image": (stack(pictures) + 1) / 2,
            "mask_image": self.masks(requests),
            "height": canvases[0].height,
            "width": canvases[0].width,
            "num_inference_steps": self.card.steps,
            "guidance_scale": self.card.guidance,
            "strength": 1.0,
            "generator": generators_of(requests),
            "output_type": "pt",
        }
        with torch.inference_mode():
            if self._matches_flows():
                callback = self._differential_callback(requests)
                arguments |= {"callback_on_step_end": callback, "callback_on_step_end_tensor_inputs": ["latents"]}
            accepted = inspect.signature(pipeline.__call__).parameters
            output = pipeline(**{name: value for name, value in arguments.items() if name in accepted})
        regenerated: torch.Tensor = output.images * 2 - 1
        return regenerated

    def masks(self, requests: Sequence[Request]) -> torch.Tensor:
        """The holes for the pipeline: float32 0 or 1, batch x 1 x canvas height x width.

        All pipelines except Flux Fill keep every n-th pixel of a mask, where n is the side of a
        latent cell. For them each cell of the mask is uniform.
        """
        import torch

        pipeline = self.loaded.pipeline
        cell = 1 if type(pipeline).__name__ == "FluxFillPipeline" else getattr(pipeline, "vae_scale_factor", 1)
        holes = []
        for request in requests:
            canvas = canvas_of(request, self.card)
            cells = largest(canvas.weights(hole_of(request.mask)), canvas.height // cell, canvas.width // cell)
            holes.append(np.kron(cells > 0, np.ones((cell, cell), bool)))
        return torch.from_numpy(np.stack(holes)[:, None].astype(np.float32))

    def _matches_flows(self) -> bool:
        pipeline = self.loaded.pipeline
        return (
            hasattr(pipeline.scheduler, "scale_noise")
            and hasattr(pipeline, "_encode_vae_image")
            and "callback_on_step_end" in inspect.signature(pipeline.__call__).parameters
        )

    def _differential_callback(self, requests: Sequence[Request]) -> Any:
        """A callback that resets every cell that is not free yet to the smooth source.

        The source has the next step's noise.
        """
        import torch

        pipeline, device = self.loaded.pipeline, self.loaded.device
        canvases = [canvas_of(request, self.card) for request in requests]
        smooth = stack([canvas.picture(smooth_source(request)) for canvas, request in zip(canvases, requests, strict=True)])
        random = generators_of(requests)
        latents = pipeline._encode_vae_image(to_device(smooth, device).to(pipeline.vae.dtype), random)
        maps = [
            latent_cells(strength_of(request.mask), canvas, pipeline.vae_scale_factor)
            for canvas, request in zip(canvases, requests, strict=True)
        ]
        strength = to_device(torch.from_numpy(np.stack(maps)[:, None]), device).expand(-1, latents.shape[1], -1, -1)
        drawn = torch.cat([torch.randn((1, *latents.shape[1:]), generator=generator) for generator in random])
        noise = to_device(drawn, device)
        source, noise, strength = (self._pack(values) for values in (latents, noise, strength))

        def hold(pipeline: Any, step: int, time: torch.Tensor, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            current, steps, sigmas = values["latents"], len(pipeline.scheduler.timesteps), pipeline.scheduler.sigmas
            sigma = float(sigmas[step + 1])
            noised_source = ((1 - sigma) * source.float() + sigma * noise.float()).to(current.dtype)
            last = step + 1 == steps
            free = strength >= threshold(step if last else step + 1, steps)
            return {"latents": torch.where(free, current, noised_source)}

        return hold

    def _pack(self, values: torch.Tensor) -> torch.Tensor:
        """Values in the layout of the pipeline's loop: Flux pipelines pack two by two cells."""
        pack = getattr(self.loaded.pipeline, "_pack_latents", None)
        return values if pack is None else pack(values.contiguous(), *values.shape)
