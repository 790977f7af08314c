"""The options by which the user says which of the found texts go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from flows.choose import Choice
from operators.rows.failure import RunError
from operators.selection.patterns import PATTERNS
from operators.selection.rule_file import Options, read_rules
from operators.selection.rules import KINDS
from operators.selection.scripts import SCRIPTS
from operators.storage.listing import own_columns
from operators.storage.manifest import is_manifest
from operators.storage.region_files import COLUMN

Many = list[str] | None
LISTS = ("only", "keep", "kind", "script", "zone", "not_zone")
SINGLE = ("height", "width", "size", "angle", "opacity", "score", "most")


@dataclass(frozen=True)
class SelectOptions:
    """Options that select texts; a text goes if it meets all of them."""

    heading: ClassVar[str] = "Which texts go"
    only: Annotated[
        Many,
        typer.Option(
            help=f"Erase only texts of these kinds ({', '.join(PATTERNS)}), or those that match a regular expression. "
            "May be repeated."
        ),
    ] = None
    keep: Annotated[
        Many, typer.Option(help="Keep texts of these kinds, or those that match a regular expression. May be repeated.")
    ] = None
    kind: Annotated[Many, typer.Option(help=f"Erase only these kinds: {', '.join(KINDS)}. May be repeated.")] = None
    script: Annotated[Many, typer.Option(help=f"Erase only these scripts: {', '.join(SCRIPTS)}. May be repeated.")] = None
    zone: Annotated[
        Many,
        typer.Option(
            help="Erase only in this zone, such as bottom-right:30%x15% or 10,20:200x50 (left, top: width x height). "
            "May be repeated."
        ),
    ] = None
    not_zone: Annotated[Many, typer.Option("--not-zone", help="Keep what is in this zone. May be repeated.")] = None
    height: Annotated[
        str | None, typer.Option(help="Erase only lines of this height, such as 10..40 (pixels) or ..5% (of the picture).")
    ] = None
    width: Annotated[
        str | None, typer.Option(help="Erase only lines of this length, in pixels or as a share of the picture's width.")
    ] = None
    size: Annotated[str | None, typer.Option(help="Erase only texts of this area, in pixels or as a share of the picture.")] = (
        None
    )
    angle: Annotated[str | None, typer.Option(help="Erase only lines that rise by so many degrees, such as -5..5.")] = None
    opacity: Annotated[
        str | None, typer.Option(help="Erase only known marks whose largest alpha is in this range, such as ..0.5.")
    ] = None
    score: Annotated[
        str | None, typer.Option(help="Erase only texts to which the detector gives this score, such as 0.7..")
    ] = None
    most: Annotated[
        str | None,
        typer.Option(help="Erase nothing in a picture of which more than this share would go, such as 30%. Without it, 75%."),
    ] = None
    rules: Annotated[
        str | None,
        typer.Option(
            help="YAML file of rules, instead of the options above. It may have other rules for each folder or supplier."
        ),
    ] = None
    no_text: Annotated[bool, typer.Option("--no-text", help="Do not record in the ledger what the texts say.")] = False

    regions: Annotated[
        Many,
        typer.Option(
            help="Boxes or polygons to erase as well: COCO JSON, a folder of YOLO text files, Parquet that `find` has written, "
            "or column:NAME of the manifest. May be repeated."
        ),
    ] = None
    no_detect: Annotated[bool, typer.Option("--no-detect", help="Do not look for text; take only what --regions gives.")] = (
        False
    )

    def choice(self, source: str) -> Choice:
        """The regions and rules for a run over SOURCE.

        Raises RunError option_invalid, rules_invalid or column_missing, and as reading a manifest
        does.
        """
        lists: dict[str, Any] = {name: tuple(getattr(self, name) or ()) for name in LISTS}
        single = {name: getattr(self, name) for name in SINGLE}
        options = Options(**{**lists, **single})
        if self.rules is not None and not options.is_empty:
            raise RunError("option_invalid", "give either --rules or the options that select texts")
        selection = options.selection() if not options.is_empty else read_rules(self.rules) if self.rules else None
        given = tuple(self.regions or ())
        columns = [name.removeprefix(COLUMN) for name in given if name.startswith(COLUMN)]
        _check_patterns(source, () if selection is None else selection.absolute_patterns)
        _check_columns(source, [*columns, *([] if selection is None else selection.columns)])
        return Choice(selection, not self.no_text, given, not self.no_detect)


def _check_patterns(source: str, absolute: Sequence[str]) -> None:
    """Raise RunError rules_invalid for absolute patterns; only a manifest names absolute paths."""
    if absolute and not is_manifest(source):
        raise RunError("rules_invalid", f"path {absolute[0]}: a path below {source} is meant here, such as 'acme/*'")


def _check_columns(source: str, needed: list[str]) -> None:
    """Raise RunError column_missing unless SOURCE is a manifest with these columns."""
    known = own_columns(source).names if needed else []
    missing = [name for name in needed if name not in known]
    if missing:
        raise RunError("column_missing", f"{source} has no column {', '.join(missing)}")
