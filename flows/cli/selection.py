"""The options by which the user says which of the found texts go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from flows.choose import Choice
from operators.rows.failure import RunError
from operators.selection.patterns import PATTERNS
from operators.selection.rule_file import Options, read_rules
from operators.selection.rules import KINDS
from operators.selection.scripts import SCRIPTS
from operators.storage.listing import manifest_files
from operators.storage.manifest import own_schema
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
            help=f"Erase only texts of these kinds ({', '.join(PATTERNS)}), or those that match a regular expression."
        ),
    ] = None
    keep: Annotated[Many, typer.Option(help="Keep texts of these kinds, or those that match a regular expression.")] = None
    kind: Annotated[Many, typer.Option(help=f"Erase only these kinds: {', '.join(KINDS)}.")] = None
    script: Annotated[Many, typer.Option(help=f"Erase only these scripts: {', '.join(SCRIPTS)}.")] = None
    zone: Annotated[
        Many,
        typer.Option(help="Erase only in this zone: bottom-right:30%x15% or 10,20:200x50. May be repeated."),
    ] = None
    not_zone: Annotated[Many, typer.Option("--not-zone", help="Keep what is in this zone. May be repeated.")] = None
    height: Annotated[str | None, typer.Option(help="Erase only lines this high: 10..40 pixels, ..5% of the picture.")] = None
    width: Annotated[str | None, typer.Option(help="Erase only lines this long, in pixels or as a share of the width.")] = None
    size: Annotated[str | None, typer.Option(help="Erase only texts of this area, in pixels or as a share.")] = None
    angle: Annotated[str | None, typer.Option(help="Erase only lines that rise by these degrees: -5..5.")] = None
    opacity: Annotated[str | None, typer.Option(help="Erase only known marks with this largest alpha: ..0.5")] = None
    score: Annotated[str | None, typer.Option(help="Erase only texts with this score of the detector: 0.7..")] = None
    most: Annotated[str | None, typer.Option(help="Keep all texts where more of the picture would go: 30%.")] = None
    rules: Annotated[
        str | None, typer.Option(help="YAML file of rules, also for each source of pictures, instead of the other options.")
    ] = None
    no_text: Annotated[bool, typer.Option("--no-text", help="Keep what is read to decide out of the ledger.")] = False

    regions: Annotated[
        Many,
        typer.Option(
            help="Boxes or polygons to erase as well: COCO JSON, a folder of YOLO text files, Parquet written by `find`, "
            "or column:NAME of the manifest. May be repeated."
        ),
    ] = None
    no_detect: Annotated[bool, typer.Option("--no-detect", help="Look for no text; take only what --regions gives.")] = False

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
        _check_columns(source, [*columns, *([] if selection is None else selection.columns)])
        return Choice(selection, not self.no_text, given, not self.no_detect)


def _check_columns(source: str, needed: list[str]) -> None:
    """Raise RunError column_missing unless SOURCE is a manifest with these columns."""
    known = own_schema(source, manifest_files(source)).names if needed else []
    missing = [name for name in needed if name not in known]
    if missing:
        raise RunError("column_missing", f"{source} has no column {', '.join(missing)}")
