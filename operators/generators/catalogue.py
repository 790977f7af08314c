"""Which generator a model card stands for: the families behind one small interface."""

from __future__ import annotations

from pathlib import Path

from operators.generators.classical import CLASSICAL, Classical
from operators.generators.generator import Generator
from operators.models.card import ModelCard
from operators.rows.failure import RunError


def generator_of(card: ModelCard, folder: Path | None) -> Generator:
    """The card's generator, its weights loaded from `folder` (None for models that are code) once
    per process.

    The folder is one that `registry.located` has verified. Raises RunError model_invalid if it
    does not hold what the card says, package_missing without the packages to run it.
    """
    return _made(card, folder, weights=True)


def check_model(card: ModelCard, folder: Path | None) -> None:
    """Raise what `generator_of` would, without reading or keeping weights: their names and shapes
    are in the files' headers.
    """
    _made(card, folder, weights=False)


def _made(card: ModelCard, folder: Path | None, weights: bool) -> Generator:
    if card.family == "classical":
        if card.alias not in CLASSICAL:
            raise RunError("model_invalid", f"{card.alias}: there is no such classical fill")
        return Classical(card.alias)
    if folder is not None and card.family == "pixel_diffusion":
        from operators.generators.pixel_diffusion import PixelDiffusion

        return PixelDiffusion.of(card.alias, folder, card.steps)
    if folder is None or card.family not in ("latent_diffusion", "token_transformer"):
        raise RunError("model_invalid", f"{card.alias}: no generator of family {card.family} can be made")
    from operators.generators.diffusers_pipeline import DiffusersPipeline
    from operators.generators.latent_diffusion import LatentDiffusion
    from operators.generators.loading import load, load_without_weights
    from operators.generators.token_transformer import TokenTransformer

    model = load(card, folder) if weights else load_without_weights(card, folder)
    if card.family == "token_transformer":
        return TokenTransformer(card, model)
    return LatentDiffusion(card, model) if LatentDiffusion.runs(model.pipeline) else DiffusersPipeline.of(card, model)
