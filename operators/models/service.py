"""The card of a model that is asked over HTTP, from its address."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from operators.models.card import ModelCard, Service
from operators.rows.failure import RunError

PROMPT = "Continue the picture in the masked area so that nothing shows where it was: {intent}. No text, no letters, no logos."
"""The instruction that goes with each crop. Without its last sentence many models draw letters."""
SECRETS = re.compile(r"key|token|secret|password|sig|auth|credential", re.IGNORECASE)
"""Names of query parameters that hold what must not reach run.json."""
HABITS: tuple[tuple[str, dict[str, object]], ...] = (
    ("gpt-image", {"asks_for_base64": False}),
    ("dall-e", {"sizes": ((1024, 1024),)}),
)
"""What models whose names begin like this take or refuse, by OpenAI's reference of the request."""


def is_service(reference: str) -> bool:
    """Whether a reference names a model behind an address: `https://host/v1/images/edits#MODEL`."""
    return reference.startswith(("http://", "https://")) and ("#" in reference or reference.endswith("/images/edits"))


def card_of_service(reference: str) -> ModelCard:
    """The card of a model behind an address.

    Its alias is the model and the host, so that it never is that of a shipped model. Raises
    RunError option_invalid for an address without a host or with a secret in it: addresses are
    recorded, keys are not.
    """
    address, _, model = reference.partition("#")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise RunError("option_invalid", "the address of the model is no URL") from None
    if not parts.hostname or not model:
        raise RunError("option_invalid", f"model {reference}: expected https://host/v1/images/edits#MODEL")
    if parts.username is not None or any(SECRETS.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise RunError("option_invalid", f"the address of {model} at {parts.hostname} holds a secret; set CLEANPLATE_MODEL_KEY")
    habits = next((habits for beginning, habits in HABITS if model.startswith(beginning)), {})
    name = f"{model}@{parts.hostname}" + ("" if port is None else f"-{port}")
    return ModelCard(
        alias=re.sub(r"[^A-Za-z0-9._@-]+", "-", name),
        family="http_model",
        licence="that of the service",
        service=Service.model_validate({"address": address, "model": model, **habits}),
        prompt=PROMPT,
        note="An outside model may change at any time, so another run may give other fills.",
    )
