"""`cleanplate models`: list the models, show what is known of one, and download them."""

from __future__ import annotations

import re
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from flows.cli.errors import one_line_errors
from flows.cli.plain_help import PlainCommand, PlainGroup
from operators.models import registry
from operators.models.card import ModelCard
from operators.models.pull import bytes_here, checksums, fetch_weights, known_checksums, place
from operators.models.sources import origin

models = typer.Typer(cls=PlainGroup, no_args_is_help=True, help="List models, show their cards, and download their files.")
output = Console(highlight=False, soft_wrap=True)

Reference = Annotated[
    str, typer.Argument(metavar="MODEL", help="An alias, alias@revision, or a folder or URL in the format of diffusers.")
]


def _format_downloaded(card: ModelCard) -> str:
    """The size of a model's files on this machine, `no` without them, `code` for a package."""
    if card.service is not None:
        return "asked over HTTP"
    if origin(card) == "code":
        return "code"
    count = bytes_here(card)
    return "no" if count is None else decimal(count)


def _format_revision(card: ModelCard) -> str:
    """The revision of a model, and whether it pins the model's files."""
    if card.service is not None:
        return f"{card.service.model} (not pinned: the service may change it)"
    if not card.source:
        return "that of the installed package"
    revision = card.revision or "none"
    if card.files:
        return f"{revision} (pinned by the checksums in its card)"
    if origin(card) == "hub" and re.fullmatch(r"[0-9a-f]{40}", card.revision):
        return f"{revision} (a commit)"
    return f"{revision} (not pinned: its files may change)"


@models.command("list", cls=PlainCommand)
def list_models() -> None:
    """List all models by alias."""
    with one_line_errors():
        table = Table("alias", "family", "licence", "size", "downloaded", box=None, pad_edge=False)
        for card in registry.cards().values():
            size = "any" if origin(card) == "code" else f"{card.native_size} px"
            table.add_row(card.alias, card.family, card.licence.replace("[", r"\["), size, _format_downloaded(card))
        output.print(table)


@models.command("show", cls=PlainCommand)
def show(reference: Reference) -> None:
    """Show the card of a model, the folder of its files, and their checksums."""
    with one_line_errors():
        card = registry.resolve(reference)
        hidden = {"files", "revision"} | ({name for name in type(card).model_fields if not getattr(card, name)})
        lines = {"alias": card.alias, "revision": _format_revision(card), **card.model_dump(exclude=hidden)}
        earlier = [old.revision for old in registry.histories().get(card.alias, ())]
        if len(earlier) > 1:
            lines["revisions"] = ", ".join(earlier)
        lines["downloaded"] = _format_downloaded(card)
        if (folder := place(card)) is not None:
            lines["folder"] = folder
        for name, value in lines.items():
            output.print(f"{name}: {value}", markup=False)
        if card.source:
            sums = checksums(card) if origin(card) == "folder" else known_checksums(card)
            output.print("sha256:" if sums else "sha256: unknown until the model is downloaded")
            for name, sha256 in sums.items():
                output.print(f"  {sha256}  {name}", markup=False)


@models.command("pull", cls=PlainCommand)
def pull(
    references: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="Aliases, or folders or URLs in the format of diffusers.")
    ],
) -> None:
    """Download models to this machine and verify their files.

    For a card without checksums, prints them in the format of a card.
    """
    with one_line_errors():
        for reference in references:
            card = registry.resolve(reference)
            if card.service is not None:
                output.print(f"{card.alias}: asked over HTTP, nothing to download", markup=False)
                continue
            if not card.source:
                output.print(f"{card.alias}: code of an installed package, nothing to download", markup=False)
                continue
            folder = fetch_weights(card)
            output.print(f"{card.alias}: {_format_downloaded(card)} verified in {folder}", markup=False)
            if not card.files and origin(card) != "folder":
                output.print(yaml.safe_dump({"files": checksums(card)}).rstrip(), markup=False)
