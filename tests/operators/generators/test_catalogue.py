"""Which generator a model card gets, by its family and its pipeline."""

import pytest

from operators.generators.catalogue import check_model, generator_of
from operators.generators.classical import CLASSICAL, Classical
from operators.generators.diffusers_pipeline import DiffusersPipeline
from operators.generators.latent_diffusion import LatentDiffusion
from operators.generators.token_transformer import TokenTransformer
from operators.models.card import ModelCard
from operators.models.registry import resolve
from operators.rows.failure import RunError


@pytest.mark.parametrize("alias", CLASSICAL)
def test_a_classical_alias_gives_its_fill(alias):
    assert generator_of(resolve(alias), None) == Classical(alias)


@pytest.mark.parametrize(
    ("kind", "expected"), [("sd9", LatentDiffusion), ("flux_fill", DiffusersPipeline), ("amused", TokenTransformer)]
)
def test_a_folder_gives_the_generator_of_its_family_and_pipeline(generator, kind, expected):
    assert isinstance(generator(kind), expected)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (ModelCard(alias="x", family="classical", licence=""), "no such classical fill"),
        (ModelCard(alias="x", family="latent_diffusion", licence=""), "no generator of family latent_diffusion"),
    ],
)
@pytest.mark.parametrize("find", [generator_of, check_model])
def test_a_card_without_a_generator_is_refused_with_one_line(card, message, find):
    with pytest.raises(RunError, match=message) as refusal:
        find(card, None)
    assert refusal.value.code == "model_invalid" and "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["flux_fill", "flux"])
def test_flux_runs_by_its_own_diffusers_pipeline(generator, kind):
    chosen = generator(kind)
    assert isinstance(chosen, DiffusersPipeline)
    assert type(chosen.loaded.pipeline).__name__ == ("FluxFillPipeline" if kind == "flux_fill" else "FluxInpaintPipeline")
