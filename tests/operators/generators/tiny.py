"""Folders in diffusers' format with tiny networks: real classes, a few thousand random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = 77
"""Tokens of a prompt, as in CLIP."""


def clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyz,.-;:'0123456789"]
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(vocabulary)},
        merges=[],
        model_max_length=WORDS,
        pad_token="<|endoftext|>",
    )


def _t5_tokenizer() -> Any:
    from transformers import T5TokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz,.-"]
    return T5TokenizerFast(vocab=[(piece, -1.0) for piece in pieces], model_max_length=WORDS, extra_ids=0)


def _clip(projected: bool = False, width: int = 32) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=100,
        hidden_size=width,
        intermediate_size=37,
        projection_dim=width,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=WORDS,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def _vae(shift: float | None = None) -> Any:
    from diffusers import AutoencoderKL

    sides = [8, 8, 8, 8]
    return AutoencoderKL(
        block_out_channels=sides,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        shift_factor=shift,
    )


def _unet(channels: int, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    settings = {
        "sample_size": 8,
        "in_channels": channels,
        "out_channels": 4,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**(settings | more))


def _ddim() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False
    )


def stable_diffusion(channels: int) -> Any:
    from diffusers import StableDiffusionInpaintPipeline

    return StableDiffusionInpaintPipeline(
        vae=_vae(),
        text_encoder=_clip(),
        tokenizer=clip_tokenizer(),
        unet=_unet(channels),
        scheduler=_ddim(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl() -> Any:
    from diffusers import StableDiffusionXLInpaintPipeline

    unet = _unet(
        9,
        cross_attention_dim=64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )
    return StableDiffusionXLInpaintPipeline(
        vae=_vae(),
        text_encoder=_clip(),
        text_encoder_2=_clip(projected=True),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet,
        scheduler=_ddim(),
        add_watermarker=False,
    )


def flux(kind: str = "FluxFillPipeline") -> Any:
    import diffusers
    from transformers import T5Config, T5EncoderModel

    latents = 4
    given = latents * 4 if kind == "FluxPipeline" else latents * 4 * 2 + 64 * 4
    return getattr(diffusers, kind)(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_vae(0.1),
        text_encoder=_clip(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=100, d_model=32, d_ff=37, d_kv=8, num_layers=2, num_heads=4)).eval(),
        tokenizer_2=_t5_tokenizer(),
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=given,
            out_channels=latents * 4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=kind == "FluxFillPipeline",
        ),
    )


def amused() -> Any:
    from diffusers import AmusedInpaintPipeline, AmusedScheduler, UVit2DModel, VQModel

    codes = 32
    return AmusedInpaintPipeline(
        vqvae=VQModel(
            act_fn="silu",
            block_out_channels=[8, 8, 8, 8],
            down_block_types=["DownEncoderBlock2D"] * 4,
            in_channels=3,
            latent_channels=8,
            layers_per_block=1,
            norm_num_groups=4,
            num_vq_embeddings=codes,
            out_channels=3,
            sample_size=64,
            up_block_types=["UpDecoderBlock2D"] * 4,
            mid_block_add_attention=False,
            lookup_from_codebook=True,
        ),
        tokenizer=clip_tokenizer(),
        text_encoder=_clip(projected=True),
        transformer=UVit2DModel(
            hidden_size=32,
            use_bias=False,
            hidden_dropout=0.0,
            cond_embed_dim=32,
            micro_cond_encode_dim=4,
            micro_cond_embed_dim=20,
            encoder_hidden_size=32,
            vocab_size=codes + 1,
            codebook_size=codes,
            in_channels=32,
            block_out_channels=32,
            num_res_blocks=1,
            downsample=False,
            upsample=False,
            block_num_heads=2,
            num_hidden_layers=1,
            num_attention_heads=2,
            attention_dropout=0.0,
            intermediate_size=32,
            layer_norm_eps=1e-6,
            ln_elementwise_affine=True,
        ),
        scheduler=AmusedScheduler(mask_token_id=codes),
    )


def stable_diffusion_upscale() -> Any:
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionUpscalePipeline

    sides = [8, 8, 8]
    return StableDiffusionUpscalePipeline(
        vae=AutoencoderKL(
            block_out_channels=sides,
            down_block_types=["DownEncoderBlock2D"] * 3,
            up_block_types=["UpDecoderBlock2D"] * 3,
            latent_channels=4,
            norm_num_groups=4,
            scaling_factor=0.08333,
        ),
        text_encoder=_clip(),
        tokenizer=clip_tokenizer(),
        unet=_unet(7, num_class_embeds=1000),
        low_res_scheduler=DDPMScheduler(),
        scheduler=_ddim(),
    )


def latent_super_resolution() -> Any:
    from diffusers import LDMSuperResolutionPipeline, UNet2DModel, VQModel

    sides = (8, 8, 8)
    return LDMSuperResolutionPipeline(
        vqvae=VQModel(
            block_out_channels=sides,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=3,
            norm_num_groups=4,
        ),
        unet=UNet2DModel(
            sample_size=8,
            in_channels=6,
            out_channels=3,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        ),
        scheduler=_ddim(),
    )


MAKERS: dict[str, Callable[[], Any]] = {
    "sd9": lambda: stable_diffusion(9),
    "sd4": lambda: stable_diffusion(4),
    "sdxl": stable_diffusion_xl,
    "flux_fill": flux,
    "flux": lambda: flux("FluxPipeline"),
    "amused": amused,
    "upscale": stable_diffusion_upscale,
    "super_resolution": latent_super_resolution,
}


def saved(kind: str, folder: Path) -> Path:
    """The folder of a tiny model, made if it is missing, with the same weights every time."""
    if not folder.exists():
        import torch
        from diffusers.utils import logging
        from transformers.utils import logging as others

        for library in (logging, others):
            library.set_verbosity_error()
            library.disable_progress_bar()
        torch.manual_seed(0)
        MAKERS[kind]().save_pretrained(folder, safe_serialization=True)
    return folder
