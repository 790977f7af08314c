"""Which regions of one picture are meant, as Python says it: the options of the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any, TypedDict

from flows.choose import Choice
from operators.rows.failure import RunError
from operators.selection.rule_file import Options, read_rules
from operators.storage.region_files import COLUMN

REGIONS = "given_regions"
"""The column of a row that holds the regions given for one picture, as JSON."""
Words = str | Sequence[str]
LISTS = ("only", "keep", "kind", "script", "zone", "not_zone")


class ChoiceOptions(TypedDict, total=False):
    """Which texts are meant; the names and values are those of docs/selection.md."""

    only: Words
    keep: Words
    kind: Words
    script: Words
    zone: Words
    not_zone: Words
    height: str
    width: str
    size: str
    angle: str
    opacity: str
    score: str
    most: str
    rules: str | PathLike[str]
    """YAML file of rules, instead of the options above."""
    detect: bool
    """Whether texts are looked for; else only the regions that are given with a picture."""


def choose(options: ChoiceOptions) -> Choice:
    """Turn options into a choice; regions may be given with each picture.

    Raises RunError option_invalid and rules_invalid, and TypeError for a name that is no option.
    """
    values: dict[str, Any] = dict(options)
    rules, detects = values.pop("rules", None), values.pop("detect", True)
    unknown = [name for name in values if name not in ChoiceOptions.__annotations__]
    if unknown:
        raise TypeError(f"there is no option {unknown[0]!r}; there are {', '.join(ChoiceOptions.__annotations__)}")
    words = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in values.items() if name in LISTS}
    asked = Options(**{**values, **words})
    if rules is not None and not asked.is_empty:
        raise RunError("option_invalid", "give either rules or the options that select texts")
    selection = None if asked.is_empty else asked.selection()
    if rules is not None:
        selection = read_rules(fspath(rules))
        if selection.sources:
            raise RunError("option_invalid", f"{fspath(rules)}: sources are those of a run; one picture has none")
    return Choice(selection, given=(f"{COLUMN}{REGIONS}",), detects=detects)


def own_columns_of(regions: Any) -> dict[str, str]:
    """The columns of a picture with these boxes, polygons or arrays of them; none for None."""
    if regions is None:
        return {}
    return {REGIONS: json.dumps(regions, default=lambda value: value.tolist())}
