import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.generators.prompt import CONTINUED, TRAITS, describe_surface, prompt_sha256, render_prompt
from operators.models.card import ModelCard


def card(**more):
    return ModelCard(alias="x", family="latent_diffusion", licence="", **more)


def test_without_figures_and_words_the_surface_continues():
    assert describe_surface({}) == CONTINUED


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"textured": 0.1}, "flat"),
        ({"textured": 0.9}, "textured"),
        ({"textured": 0.4}, None),
        ({"brightness": 20.0, "noise": 9.0}, "dark, grainy"),
        ({"brightness": 220.0, "blur": 0.7}, "bright, out of focus"),
        ({"straight_edges": 2.0}, "straight edges carried on"),
        ({"textured": 0.1, "seen": 0.0}, None),
        ({"something_else": 5.0}, None),
    ],
)
def test_figures_add_their_traits(figures, words):
    assert describe_surface(figures) == (CONTINUED if words is None else f"{CONTINUED}, {words}")


def test_the_users_words_are_added_last():
    assert describe_surface({"textured": 1.0}, " red bricks ") == f"{CONTINUED}, textured, red bricks"


FIGURES = st.dictionaries(st.sampled_from([trait.figure for trait in TRAITS] + ["seen"]), st.floats(allow_nan=True))


@given(FIGURES, st.text())
def test_an_intent_depends_on_figures_and_prompt_alone_and_always_starts_the_same(figures, prompt):
    assert describe_surface(figures, prompt) == describe_surface(dict(reversed(figures.items())), prompt)
    assert describe_surface(figures, prompt).startswith(CONTINUED)


@given(st.text(), st.sampled_from(["{intent}", "a photo of {intent}, high quality", "no place for it"]))
def test_switching_the_model_renders_the_same_intent_in_another_template(intent, template):
    before, _, after = template.partition("{intent}")
    assert render_prompt(intent, card(prompt=template)) == (before + intent + after if "{intent}" in template else template)


def test_the_hash_is_of_all_words_that_the_model_is_given():
    assert prompt_sha256("a wall", card()) == hashlib.sha256(b"a wall\0").hexdigest()
    hashes = {prompt_sha256(*words) for words in (("a", card()), ("b", card()), ("a", card(negative_prompt="b")))}
    assert len(hashes) == 3
