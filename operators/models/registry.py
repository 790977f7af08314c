"""Look up models by alias, folder or URL, and identify them for a run's records.

The shipped models are the files `operators/models/cards/ALIAS.yaml`; `operators.models.card`
describes their format.
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
from operators.models.service import card_of_service, is_service
from operators.rows.failure import RunError
from operators.rows.records import ModelRecord

CARDS = Path(__file__).parent / "cards"


def cards(folder: Path = CARDS) -> dict[str, ModelCard]:
    """The current card of every alias. Raises RunError model_card_invalid."""
    return {alias: revisions[0] for alias, revisions in histories(folder).items()}


def histories(folder: Path = CARDS) -> dict[str, tuple[ModelCard, ...]]:
    """All revisions of every alias, the current one first.

    Raises RunError model_card_invalid, naming the file and the field.
    """
    return {path.stem: tuple(_revisions(path)) for path in sorted(folder.glob("*.yaml"))}


def _revisions(path: Path) -> Iterator[ModelCard]:
    content = read_mapping(path.read_bytes(), path.name)
    alias, entries = content.get("alias"), content.get("revisions")
    if set(content) != {"alias", "revisions"} or alias != path.stem or not isinstance(entries, list) or not entries:
        raise RunError("model_card_invalid", f"{path.name}: needs alias ({path.stem}) and a list of revisions, nothing else")
    names = set()
    for entry in entries:
        if not isinstance(entry, dict) or "alias" in entry:
            raise RunError("model_card_invalid", f"{path.name}: a revision is a mapping without alias")
        card = card_from({"alias": alias, **entry}, path.name)
        if card.revision in names:
            raise RunError("model_card_invalid", f"{path.name}: revision {card.revision!r} appears twice")
        names.add(card.revision)
        yield card


def resolve(reference: str, folder: Path = CARDS) -> ModelCard:
    """The card that a reference names; no weights are read.

    A reference is an alias, `alias@revision`, a folder in diffusers' format, an fsspec URL of one,
    or the address of a model that is asked over HTTP (`service.is_service`). An alias takes
    precedence over a folder of the same name; write `./name` for the folder. Raises RunError
    model_unknown, which lists similar aliases, and what `card_of_folder` and `card_of_service`
    raise.
    """
    if is_service(reference):
        return card_of_service(reference)
    if "://" in reference and not reference.startswith("file://"):
        return card_of_folder(reference.rstrip("/"))
    known = histories(folder)
    alias, separator, revision = reference.partition("@")
    if alias in known:
        if not separator:
            return known[alias][0]
        for card in known[alias]:
            if revision and card.revision == revision:
                return card
        revisions = ", ".join(card.revision for card in known[alias] if card.revision) or "none by name"
        raise RunError("model_unknown", f"{alias} has no revision {revision!r}; there are: {revisions}")
    path = os.path.expanduser(reference.removeprefix("file://"))
    if os.path.isdir(path):
        return card_of_folder(os.path.abspath(path))
    similar = ", ".join(difflib.get_close_matches(alias, known, n=3)) or ", ".join(known)
    raise RunError("model_unknown", f"{reference!r} is neither an alias nor a folder; there are: {similar}")


def fetch_weights(card: ModelCard) -> Path:
    """The folder with the model's verified files on this machine, pulled first if necessary.

    See `pull.fetch_weights`.
    """
    return pull.fetch_weights(card)


def pin_checksums(card: ModelCard) -> ModelCard:
    """The card with the checksums of this machine's files, so that all machines use the same.

    Pulls the model if necessary. The card of a model that is code comes back unchanged.
    """
    return card.model_copy(update={"files": pull.checksums(card)}) if card.source else card


def identity(card: ModelCard) -> ModelRecord:
    """The model's entry in run.json, which changes when the weights change.

    Pulls the model if necessary. `sha256` is the digest of the output of `sha256sum` for the
    files in the order of their names. It is empty for models that are code; run.json holds their
    packages' versions. It is empty for a model that is asked over HTTP too: nobody here can say
    which weights answer. The revision is then the model's name there.
    """
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(pin_checksums(card).files.items()))
    return {
        "alias": card.alias,
        "revision": card.service.model if card.service else card.revision,
        "licence": card.licence,
        "source": card.service.address if card.service else card.source,
        "sha256": hashlib.sha256(lines.encode()).hexdigest() if card.source else "",
    }
