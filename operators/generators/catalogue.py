"""The generator for a model card, by its family.

A new family gets a name in `operators.models.card.Family` and a branch in `_create`. Modules that
need torch or ONNX Runtime are imported only when a card needs them.
"""

from __future__ import annotations

from pathlib import Path

from operators.generators.classical import CLASSICAL, Classical
from operators.generators.generator import Generator
from operators.generators.http_calls import model_key
from operators.models.card import ModelCard
from operators.rows.failure import RunError


def generator_of(card: ModelCard, folder: Path | None) -> Generator:
    """The card's generator, with its weights from `folder` (None for models that are code).

    The folder must be verified, see `registry.fetch_weights`. Weights are loaded once per process.
    Raises RunError model_invalid if the folder does not hold what the card says, model_unsafe for
    pickled weights, package_missing without the packages that run the model, option_invalid for
    a key of an outside model that no request can hold.
    """
    return _create(card, folder, weights=True)


def check_model(card: ModelCard, folder: Path | None) -> None:
    """Raise the RunError that `generator_of` would, without reading or keeping weights.

    The files' headers hold the names and shapes of the weights.
    """
    _create(card, folder, weights=False)


def _create(card: ModelCard, folder: Path | None, weights: bool) -> Generator:
    if card.family == "classical":
        if card.alias not in CLASSICAL:
            raise RunError("model_invalid", f"{card.alias}: no such classical fill")
        return Classical(card.alias)
    if card.family == "http_model" and card.service is not None:
        from operators.generators.http_model import HttpModel

        model_key()
        return HttpModel(card)
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
