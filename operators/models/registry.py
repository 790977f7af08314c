"""The models by their stable aliases: what a reference names, where its files lie, and what a run
records of it.

A model is data: a file `operators/models/cards/ALIAS.yaml` holds the alias and its revisions,
each a complete card without the alias. The first is what the alias names; earlier ones stay below
it, so that `alias@revision` keeps working.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from operators.models import pull
from operators.models.card import ModelCard
from operators.models.documents import read_mapping
from operators.models.folder import card_from, card_of_folder
from operators.rows.failure import RunError
from operators.rows.records import (
    ModelRecord,
)

CARDS = Path(__file__).parent / "cards"


def cards(folder: Path = CARDS) -> dict[str, ModelCard]:
    """The current card of every alias. Raises RunError model_card_invalid."""
    return {alias: revisions[0] for alias, revisions in histories(folder).items()}


def histories(folder: Path = CARDS) -> dict[str, tuple[ModelCard, ...]]:
    """All revisions of every alias, the current one first. Raises RunError model_card_invalid,
    naming file and field.
    """
    return {path.stem: tuple(_revisions(path)) for path in sorted(folder.glob("*.yaml"))}


def _revisions(path: Path) -> Iterator[ModelCard]:
    content = read_mapping(path.read_bytes(), path.name)
    alias, entries = content.get("alias"), content.get("revisions")
    if set(content) != {"alias", "revisions"} or alias != path.stem or not isinstance(entries, list) or not entries:
        raise RunError("model_card_invalid", f"{path.name}: needs alias ({path.stem}) and a list of revisions, nothing else")
    seen = set()
    for entry in entries:
        if not isinstance(entry, dict) or "alias" in entry:
            raise RunError("model_card_invalid", f"{path.name}: a revision is a mapping without alias")
        card = card_from({"alias": alias, **entry}, path.name)
        if card.revision in seen:
            raise RunError("model_card_invalid", f"{path.name}: revision {card.revision!r} twice")
        seen.add(card.revision)
        yield card


def resolve(reference: str, folder: Path = CARDS) -> ModelCard:
    """The card that a reference names; weights are not touched.

    A reference is an alias, `alias@revision`, a folder in diffusers' format, or an fsspec URL of
    one. An alias goes before a folder of the same name (write `./name` for that). Raises RunError
    model_unknown with what comes near, and whatever `card_of_folder` raises.
    """
    if "://" in reference and not reference.startswith("file://"):
        return card_of_folder(reference.rstrip("/"))
    known = histories(folder)
    alias, at, revision = reference.partition("@")
    if alias in known:
        if not at:
            return known[alias][0]
        for card in known[alias]:
            if revision and card.revision == revision:
                return card
        revisions = ", ".join(card.revision for card in known[alias] if card.revision) or "none by name"
        raise RunError("model_unknown", f"{alias} has no revision {revision!r}; there are: {revisions}")
    path = os.path.expanduser(reference.removeprefix("file://"))
    if os.path.isdir(path):
        return card_of_folder(os.path.abspath(path))
    near = ", ".join(difflib.get_close_matches(alias, known, n=3)) or ", ".join(known)
    raise RunError("model_unknown", f"{reference!r} is no alias and no folder; there are: {near}")


def fetch_weights(card: ModelCard) -> Path:
    """The folder with the model's files on this machine, verified; pulled first if need be. See
    `pull.fetch_weights`.
    """
    return pull.fetch_weights(card)


def pin_checksums(card: ModelCard) -> ModelCard:
    """The card with the checksums of the files that lie here, so that every other machine must
    get the same ones.
    """
    return card.model_copy(update={"files": pull.checksums(card)}) if card.source else card


def identity(card: ModelCard) -> ModelRecord:
    """What run.json says of the model: changed weights change it. Pulls the model if it is not
    here.

    `sha256` is the digest of what `sha256sum` prints of the files in the order of their names;
    empty for models that are code, whose versions run.json holds.
    """
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(pin_checksums(card).files.items()))
    return {
        "alias": card.alias,
        "revision": card.revision,
        "licence": card.licence,
        "source": card.source,
        "sha256": hashlib.sha256(lines.encode()).hexdigest() if card.source else "",
    }
