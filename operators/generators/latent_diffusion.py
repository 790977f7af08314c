"""Latent diffusion over a U-Net (Stable Diffusion with four or nine channels, SDXL).

The pipelines of diffusers provide the networks, the tokenizers and the scheduler. cleanplate does
the cropping, the masks and the denoising loop itself, because those of diffusers harden soft
masks and drop strokes thinner than a latent cell.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from operators.generators.batch_invariance import invariant_microbatch
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

LATENTS = 4
"""Latent channels of every model that this loop runs."""
WITH_MASK = 9
"""Input channels of an inpainting U-Net: latents, mask, and latents of the picture with a hole."""


class Encoded(NamedTuple):
    """What the denoising loop starts from."""

    source: torch.Tensor
    """Latents of the smooth sources: float32, batch x 4 x rows x columns of cells."""
    strength: torch.Tensor
    """How strongly each cell may change: float32 0..1, batch x 1 x rows x columns."""
    mask_channels: torch.Tensor | None
    """The five other input channels of a nine-channel U-Net; None for a U-Net with four."""


@dataclass(frozen=True)
class LatentDiffusion:
    """Differential diffusion (Levin and Fried 2023) with classifier-free guidance over one U-Net.

    On one kind of machine a request always gives the same bytes. On others sums run in another
    order. `python -m benchmarks.generator_tolerance` measured the differences for small networks
    of random weights on one CPU: at most 1 grey level in 0.01 % of the values between one thread
    and two and between microbatch sizes; up to 12 grey levels in a quarter of the values between
    bfloat16 and float32 (44 in 58 % with Flux). Raises RunError model_invalid if the card sets
    `stochasticity` and its scheduler has none.
    """

    card: ModelCard
    loaded: Loaded

    def __post_init__(self) -> None:
        scheduler = self._scheduler()
        if self.card.stochasticity and not _takes_eta(scheduler):
            raise RunError("model_invalid", f"{self.card.alias}: {type(scheduler).__name__} has no stochasticity to set")

    @staticmethod
    def runs(pipeline: Any) -> bool:
        """Whether this loop can provide everything that the pipeline's U-Net is conditioned on."""
        unet = getattr(pipeline, "unet", None)
        return (
            unet is not None
            and unet.config.in_channels in (LATENTS, WITH_MASK)
            and pipeline.vae.config.latent_channels == LATENTS
            and unet.config.get("time_cond_proj_dim") is None
            and unet.config.get("addition_embed_type") in (None, "text_time")
            and getattr(pipeline, "text_encoder", None) is not None
            and not pipeline.config.get("requires_aesthetics_score", False)
        )

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

        with torch.inference_mode():
            latents = self.denoise(requests)
            vae = self.loaded.pipeline.vae
            decoded: torch.Tensor = vae.decode((latents / vae.config.scaling_factor).to(vae.dtype), return_dict=False)[0]
        return decoded

    def denoise(self, requests: Sequence[Request]) -> torch.Tensor:
        """The requests' finished latents: float32, batch x 4 x rows x columns of cells.

        A cell whose strength never reaches the threshold ends exactly as the source's cell.
        """
        import torch

        source, strength, mask_channels = self.encode(requests)
        scheduler, random = self._scheduler(), generators_of(requests)
        scheduler.set_timesteps(self.card.steps, device=self.loaded.device)
        drawn = torch.cat([torch.randn((1, *source.shape[1:]), generator=generator) for generator in random])
        noise = to_device(drawn, self.loaded.device)
        options: dict[str, Any] = {"eta": self.card.stochasticity} if _takes_eta(scheduler) else {}
        options |= {"generator": random} if "generator" in _parameters(scheduler) else {}
        conditions = self._encode_prompts(requests, source.shape[-2:])
        steps, latents = len(scheduler.timesteps), source
        for step, time in enumerate(scheduler.timesteps):
            noised_source = scheduler.add_noise(source, noise, time.reshape(1))
            latents = torch.where(strength >= threshold(step, steps), latents, noised_source) if step else noised_source
            predicted = self._predict_noise(scheduler.scale_model_input(latents, time), time, mask_channels, conditions)
            latents = scheduler.step(predicted, time, latents, **options, return_dict=False)[0]
        return torch.where(strength >= threshold(steps - 1, steps), latents, source)

    def encode(self, requests: Sequence[Request]) -> Encoded:
        """The requests' smooth sources and masks as latents and cells."""
        import torch

        canvases = [canvas_of(request, self.card) for request in requests]
        pairs = list(zip(canvases, requests, strict=True))
        factor = self.loaded.pipeline.vae_scale_factor
        device = self.loaded.device

        def cells(channels: Sequence[Pixels]) -> torch.Tensor:
            maps = [latent_cells(channel, canvas, factor) for canvas, channel in zip(canvases, channels, strict=True)]
            return to_device(torch.from_numpy(np.stack(maps)[:, None]), device)

        smooth = stack([canvas.picture(smooth_source(request)) for canvas, request in pairs])
        source = self._encode_pictures(smooth)
        strength = cells([strength_of(request.mask) for request in requests])
        if self.loaded.pipeline.unet.config.in_channels == LATENTS:
            return Encoded(source, strength, None)
        holes = np.stack([canvas.weights(hole_of(request.mask)) for canvas, request in pairs]) > 0
        hidden = self._encode_pictures(smooth * torch.from_numpy(~holes[:, None]))
        mask_channels = torch.cat([cells([hole_of(request.mask) for request in requests]), hidden], dim=1)
        return Encoded(source, strength, mask_channels)

    def _encode_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        """The mode of the VAE's distribution instead of a sample: no random numbers are drawn."""
        vae = self.loaded.pipeline.vae
        latents = vae.encode(to_device(pictures, self.loaded.device).to(vae.dtype)).latent_dist.mode()
        scaled: torch.Tensor = latents.float() * vae.config.scaling_factor
        return scaled

    def _predict_noise(
        self, latents: torch.Tensor, time: torch.Tensor, mask_channels: torch.Tensor | None, conditions: dict[str, Any]
    ) -> torch.Tensor:
        import torch

        unet = self.loaded.pipeline.unet
        inputs = latents if mask_channels is None else torch.cat([latents, mask_channels], dim=1)
        guided = self.card.guidance > 1
        inputs = torch.cat([inputs, inputs] if guided else [inputs]).to(unet.dtype)
        noise: torch.Tensor = unet(inputs, time, **conditions, return_dict=False)[0].float()
        if not guided:
            return noise
        without, with_prompt = noise.chunk(2)
        guidance: torch.Tensor = without + self.card.guidance * (with_prompt - without)
        return guidance

    def _encode_prompts(self, requests: Sequence[Request], latent_size: Sequence[int]) -> dict[str, Any]:
        """The prompts as keyword arguments of the U-Net.

        With guidance, the negative prompt's half of the batch comes first.
        """
        import torch

        pipeline, guided = self.loaded.pipeline, self.card.guidance > 1
        embedded = pipeline.encode_prompt(
            prompt=[request.prompt for request in requests],
            device=self.loaded.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            negative_prompt=[self.card.negative_prompt] * len(requests) if guided else None,
        )

        def both(positive: torch.Tensor, negative: torch.Tensor | None) -> torch.Tensor:
            return torch.cat([negative, positive]) if guided and negative is not None else positive

        conditions: dict[str, Any] = {"encoder_hidden_states": both(embedded[0], embedded[1])}
        if pipeline.unet.config.get("addition_embed_type") == "text_time":
            pooled = both(embedded[2], embedded[3])
            height, width = (side * pipeline.vae_scale_factor for side in latent_size)
            sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=pooled.dtype, device=pooled.device)
            conditions["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes.repeat(len(pooled), 1)}
        return conditions

    def _scheduler(self) -> Any:
        """A new scheduler for each call, because some keep state between steps."""
        default = self.loaded.pipeline.scheduler
        return scheduler_class(self.card, default).from_config(default.config)


def _parameters(scheduler: Any) -> set[str]:
    import inspect

    return set(inspect.signature(scheduler.step).parameters)


def _takes_eta(scheduler: Any) -> bool:
    return "eta" in _parameters(scheduler)
