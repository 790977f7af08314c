"""Model cards: everything that cleanplate knows about one generator or upscaler, read from YAML.

A model is data: to add one of a known family, add `operators/models/cards/ALIAS.yaml`. The file
holds the alias and a list of revisions, each a complete card without the alias. The first
revision is current; earlier ones stay below it, so that `alias@revision` keeps working.

    alias: my-inpainting
    revisions:
      - revision: 115134f363124c53c7d878647567d04daf26e41e
        family: latent_diffusion
        licence: CreativeML Open RAIL++-M
        note: The licence restricts use.
        source: owner/my-inpainting
        variant: fp16
        native_size: 1024
        size_multiple: 32
        dtype: float16
        memory_gib: 10.0
        microbatch: 2
        steps: 25
        guidance: 7.5
        prompt: "{intent}, sharp"
        negative_prompt: text, letters, watermark

`alias`, `family` and `licence` are required; every other field has a default. A folder in
diffusers' format needs no card, because `operators.models.folder` derives one from it. Its
`cleanplate.yaml` may override any field but `source`.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

Family = Literal["classical", "latent_diffusion", "token_transformer", "pixel_diffusion", "http_model", "upscaler"]


class Service(BaseModel):
    """Where a model of family `http_model` is asked, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    """The URL of `POST /v1/images/edits`, without a key in it."""
    model: str
    """The name of the model there."""
    sizes: tuple[tuple[int, int], ...] = ((1024, 1024), (1024, 1536), (1536, 1024))
    """The heights and widths in pixels of the pictures that the model takes."""
    asks_for_base64: bool = True
    """Whether requests have `response_format`, which some models refuse."""

    @property
    def reference(self) -> str:
        """The address and the model, as the command line names both."""
        return f"{self.address}#{self.model}"

    @property
    def host(self) -> str:
        """The host, with its port if the address has one."""
        return urlsplit(self.address).netloc


class ModelCard(BaseModel):
    """One revision of one model under its stable alias.

    Unknown keys are an error, so that a typing mistake does not go unnoticed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    alias: str
    """Name of the model in flows, ledgers and on the command line; the name of the card's file."""
    family: Family
    """Which code runs the model, see `operators.generators.catalogue`.

    `upscaler` enlarges pictures and fills nothing; the other families fill regions.
    """
    licence: str
    """SPDX identifier, or the licence's name if it has none."""
    service: Service | None = None
    """Where the model is asked; only for family `http_model`."""
    source: str = ""
    """Where the files come from; empty for models that are code or are asked over HTTP.

    A hub id (`owner/name`), a folder (`/path`, `~/path`, `file://...`; `./name` lies under
    `operators/models/weights`) or an fsspec URL.
    """
    revision: str = ""
    """A commit, a tag or a date, which `alias@revision` names.

    A hub pulls this revision, or its default branch if the revision is empty.
    """
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 (hexadecimal) of each file to pull, by its path within the source.

    Empty: the files that a pipeline loads; the first pull on a machine fixes their checksums.
    """
    variant: str = ""
    """Which set of weights to use if the source has several, as in diffusers' `from_pretrained`.

    `fp16` stands for `model.fp16.safetensors`, empty for the weights without a variant.
    """
    native_size: int = Field(default=512, gt=0)
    """Side in pixels at which the model was trained.

    Crops are scaled to about this side squared, see `operators.generators.canvas`. Only latent
    diffusion and token transformers use it.
    """
    size_multiple: int = Field(default=8, gt=0)
    """Pixels of which both sides of the model's input must be multiples."""
    scale: int = Field(default=1, ge=1)
    """How many times as wide and high the output is as the input; above 1 for upscalers only."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Type of the weights on an accelerator; on a CPU they are always float32."""
    memory_gib: float = Field(default=0.5, gt=0)
    """Memory in GiB that one worker needs for the weights and one microbatch; not enforced."""
    microbatch: int = Field(default=1, ge=1)
    """Regions per call.

    Fewer are padded to this number, so that a region's pixels never depend on its neighbours.
    """
    steps: int = Field(default=1, ge=1)
    """Sampling steps per fill."""
    scheduler: str = ""
    """Class name of a diffusers scheduler; empty for the one that the model's folder names."""
    stochasticity: float = Field(default=0.0, ge=0)
    """Noise added during sampling: `eta` of DDIM, temperature of a token transformer.

    0 adds none. Every value is reproducible, because noise is drawn from the region's seed.
    """
    guidance: float = Field(default=1.0, ge=0)
    """Classifier-free guidance scale; 1 switches it off."""
    prompt: str = "{intent}"
    """Template of the prompt; `{intent}` is replaced by the region's intent."""
    negative_prompt: str = ""
    """What the model must not show. Only models with guidance use it."""
    note: str = ""
    """What users of the model must know: limits of its licence, access, peculiarities."""


def reads_prompt(card: ModelCard) -> bool:
    """Whether a model gets a prompt that differs with the user's words."""
    return card.family in ("latent_diffusion", "token_transformer", "http_model") and "{intent}" in card.prompt
