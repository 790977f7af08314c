"""What is known of one generator: a card, read from YAML. A model is data, and adding one adds no
code.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Family = Literal["classical", "latent_diffusion", "token_transformer", "pixel_diffusion", "upscaler"]


class ModelCard(BaseModel):
    """One revision of one model under its stable alias; unknown keys are an error, so that a
    typing mistake is not ignored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alias: str
    family: Family
    licence: str
    """SPDX identifier, or the licence's name where it has none."""
    source: str = ""
    """A hub id (`owner/name`), a folder (`./name`: beside the card), or an fsspec URL; empty for
    models that are code.
    """
    revision: str = ""
    """A commit, a tag or a date: what `alias@revision` names after the alias has moved on."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each file that is pulled, by its path within the source; without it, the first
    pull on a node decides.
    """
    variant: str = ""
    """Which of several sets of weights in the source (`fp16` for `model.fp16.safetensors`); what
    `from_pretrained` wants.
    """
    native_size: int = Field(default=512, gt=0)
    """Side in pixels at which the model was trained; crops are brought to a multiple of
    `size_multiple` near it.
    """
    size_multiple: int = Field(default=8, gt=0)
    scale: int = Field(default=1, ge=1)
    """How many times as wide and high what it makes is: more than 1 for upscalers only."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Type of the weights on an accelerator; on a CPU it is always float32."""
    memory_gib: float = Field(default=0.5, gt=0)
    """Memory that one worker needs for the weights and one microbatch."""
    microbatch: int = Field(default=1, ge=1)
    """Regions worked at once; fewer are padded to it, so that a region's pixels never depend on
    its neighbours.
    """
    steps: int = Field(default=1, ge=1)
    scheduler: str = ""
    """Class name of a diffusers scheduler; empty for the one that the model's folder names."""
    stochasticity: float = Field(default=0.0, ge=0)
    """Noise added during sampling (`eta` of DDIM, temperature of a token transformer); 0 is
    deterministic.
    """
    guidance: float = Field(default=1.0, ge=0)
    """Classifier-free guidance scale; 1 switches it off."""
    prompt: str = "{intent}"
    """Template in which the intent is rendered; `{intent}` is replaced."""
    negative_prompt: str = ""
    note: str = ""
    """What whoever uses the model must know: limits of its licence, access, oddities."""
