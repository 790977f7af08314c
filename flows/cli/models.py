"""`cleanplate models`: which models there are, what is known of one, and pulling them to this
machine.
"""

from __future__ import annotations

import re
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from flows.cli.errors import one_line_errors
from operators.models import registry
from operators.models.card import ModelCard
from operators.models.pull import bytes_here, checksums, fetch_weights, known_checksums, place
from operators.models.sources import origin

models = typer.Typer(no_args_is_help=True, help="The models by their aliases, and their files on this machine.")
output = Console(highlight=False, soft_wrap=True)

Reference = Annotated[
    str, typer.Argument(metavar="MODEL", help="An alias, alias@revision, or a folder or URL in diffusers' format.")
]


def _here(card: ModelCard) -> str:
    count = bytes_here(card)
    return "code" if origin(card) == "code" else "no" if count is None else decimal(count)


def _revision(card: ModelCard) -> str:
    """The revision and what it is worth."""
    if not card.source:
        return "that of the installed package"
    named = card.revision or "none"
    if card.files:
        return f"{named} (pinned by the checksums of its card)"
    if origin(card) == "hub" and re.fullmatch(r"[0-9a-f]{40}", card.revision):
        return f"{named} (a commit)"
    return f"{named} (not pinned: its files may change)"


@models.command("list")
def list_models() -> None:
    """All aliases."""
    with one_line_errors():
        table = Table("alias", "family", "licence", "size", "here", box=None, pad_edge=False)
        for card in registry.cards().values():
            size = "any" if origin(card) == "code" else f"{card.native_size} px"
            table.add_row(card.alias, card.family, card.licence.replace("[", r"\["), size, _here(card))
        output.print(table)


@models.command("show")
def show(reference: Reference) -> None:
    """Everything known of a model, where its files lie, and their checksums."""
    with one_line_errors():
        card = registry.resolve(reference)
        hidden = {"files", "revision"} | ({name for name in type(card).model_fields if not getattr(card, name)})
        lines = {"alias": card.alias, "revision": _revision(card), **card.model_dump(exclude=hidden)}
        earlier = [old.revision for old in registry.histories().get(card.alias, ())]
        if len(earlier) > 1:
            lines["revisions"] = ", ".join(earlier)
        lines["here"] = _here(card)
        if (folder := place(card)) is not None:
            lines["folder"] = folder
        for name, value in lines.items():
            output.print(f"{name}: {value}", markup=False)
        if card.source:
            sums = checksums(card) if origin(card) == "folder" else known_checksums(card)
            output.print("sha256:" if sums else "sha256: unknown until it is pulled")
            for name, sha256 in sums.items():
                output.print(f"  {sha256}  {name}", markup=False)


@models.command("pull")
def pull(references: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Aliases, or URLs of folders.")]) -> None:
    """Bring models to this machine and verify them; a card without checksums gets them printed,
    ready to be pasted.
    """
    with one_line_errors():
        for reference in references:
            card = registry.resolve(reference)
            if not card.source:
                output.print(f"{card.alias}: code of an installed package, nothing to pull", markup=False)
                continue
            folder = fetch_weights(card)
            output.print(f"{card.alias}: {_here(card)} verified in {folder}", markup=False)
            if not card.files and origin(card) != "folder":
                output.print(yaml.safe_dump({"files": checksums(card)}).rstrip(), markup=False)
