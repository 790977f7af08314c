"""Models of full size with random weights, as folders in diffusers' format.

Their networks have the shapes of Stable Diffusion 1.5 and SDXL for inpainting, so they take the
time and the memory of those, but what they paint is noise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.operators.generators.tiny import clip_tokenizer


def unet_sd15() -> Any:
    """The U-Net of Stable Diffusion 1.5 for inpainting."""
    return UNet2DConditionModel(sample_size=64, in_channels=9, cross_attention_dim=768, attention_head_dim=8)


def unet_sdxl() -> Any:
    """The U-Net of SDXL for inpainting."""
    return UNet2DConditionModel(
        sample_size=128,
        in_channels=9,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def autoencoder(side: int, scaling_factor: float, force_upcast: bool) -> Any:
    """The autoencoder of both, for pictures of `side` pixels a side."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=side,
        scaling_factor=scaling_factor,
        force_upcast=force_upcast,
    )


def text_encoder(width: int, layers: int, heads: int, projected: bool) -> Any:
    """CLIP's text encoder: that of ViT-L/14 or of ViT-bigG/14."""
    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        hidden_act="gelu" if projected else "quick_gelu",
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _scheduler() -> Any:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def _sd15() -> Any:
    return StableDiffusionInpaintPipeline(
        vae=autoencoder(512, 0.18215, False).half(),
        text_encoder=text_encoder(768, 12, 12, False).half(),
        tokenizer=clip_tokenizer(),
        unet=unet_sd15().half(),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl() -> Any:
    return StableDiffusionXLInpaintPipeline(
        vae=autoencoder(1024, 0.13025, True).half(),
        text_encoder=text_encoder(768, 12, 12, False).half(),
        text_encoder_2=text_encoder(1280, 32, 20, True).half(),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet_sdxl().half(),
        scheduler=_scheduler(),
        add_watermarker=False,
    )


MAKERS: dict[str, Callable[[], Any]] = {"sd15": _sd15, "sdxl": _sdxl}


def saved(name: str, folder: Path) -> Path:
    """The folder of a model, made if it is missing: 2.1 GB (`sd15`) or 7 GB (`sdxl`).

    The weights are the same every time, and float16 as such models are published. So float32
    starts from the same weights.
    """
    if not (folder / "model_index.json").exists():
        torch.manual_seed(0)
        MAKERS[name]().save_pretrained(folder, safe_serialization=True)
    return folder
