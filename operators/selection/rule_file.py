"""Rules from a YAML file or from options, checked before a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import yaml
from pydantic import ValidationError

from operators.rows.failure import Failure, RunError
from operators.selection.patterns import PATTERNS
from operators.selection.rules import Selection
from operators.storage import files as storage


@dataclass(frozen=True)
class Options:
    """A selection as the options of a command give it; an empty one asks for nothing."""

    only: Sequence[str] = ()
    keep: Sequence[str] = ()
    kind: Sequence[str] = ()
    script: Sequence[str] = ()
    zone: Sequence[str] = ()
    not_zone: Sequence[str] = ()
    height: str | None = None
    width: str | None = None
    size: str | None = None
    angle: str | None = None
    opacity: str | None = None
    score: str | None = None
    most: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return self == Options()

    def selection(self) -> Selection:
        """The rules: what an option names stays or goes, and what several name must meet all.

        `--keep` and `--not-zone` come first, because what is kept is kept whatever else is asked.
        Raises RunError option_invalid, naming the option.
        """
        rules: list[dict[str, Any]] = []
        for option, words in (("--keep", self.keep), ("--only", self.only)):
            for word in words if option == "--keep" else ():
                rules.append({"name": f"{option} {word}", "keep": _meaning(option, word)})
        rules += [{"name": f"--not-zone {zone}", "keep": {"zone": zone}} for zone in self.not_zone]
        for name in ("kind", "script", "zone"):
            values = [part for value in getattr(self, name) for part in _parts(name, value)]
            if values:
                rules.append({"name": f"--{name} {','.join(values)}", "keep": {"not": {name: values}}})
        for name in ("height", "width", "size", "angle", "opacity", "score"):
            value = getattr(self, name)
            if value is not None:
                rules.append({"name": f"--{name} {value}", "keep": {"not": {name: value}}})
        otherwise = "keep" if self.only else "erase"
        rules += [{"name": f"--only {word}", "erase": _meaning("--only", word)} for word in self.only]
        content: dict[str, Any] = {"rules": rules, "otherwise": otherwise}
        if self.most is not None:
            content["most"] = self.most
        try:
            return Selection.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = first["loc"]
            option = rules[int(place[1])]["name"] if place[0] == "rules" else f"--{place[0]} {self.most}"
            raise RunError("option_invalid", f"{option}: {_message(first)}") from None


def _parts(name: str, value: str) -> list[str]:
    """The entries of an option; a zone with a place `X,Y` holds a comma, so zones are one each."""
    return [value] if name == "zone" else [part.strip() for part in value.split(",")]


ALIKE = 0.8
"""How alike a word and the name of a kind are from which it is taken for the kind, misspelt."""


def _meaning(option: str, word: str) -> dict[str, Any]:
    """What --only and --keep mean: kinds of text by their names, or else a regular expression.

    Raises RunError option_invalid if it is empty, and if it looks like a misspelt kind, because an
    expression that nothing matches would be silent.
    """
    names = [name.strip() for name in word.split(",")]
    if set(names) <= set(PATTERNS):
        return {"kind": names}
    if not word.strip():
        raise RunError("option_invalid", f"{option}: the expression is empty")
    for name in set(names) - set(PATTERNS):
        likely = get_close_matches(name.lower(), PATTERNS, 1, ALIKE) if name.isalpha() else []
        if likely or set(names) & set(PATTERNS):
            hint = f"did you mean {likely[0]}?" if likely else f"choose from {', '.join(PATTERNS)}"
            raise RunError("option_invalid", f"{option} {word}: there is no {name!r}; {hint} As an expression, write ({word})")
    return {"text": word}


def read_rules(uri: str) -> Selection:
    """The selection of a YAML file. Raises RunError rules_invalid, with the place in the file."""
    try:
        content = yaml.safe_load(storage.read(uri))
    except Failure as failure:
        raise RunError("rules_invalid", f"{uri}: {failure.message}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError("rules_invalid", f"{uri}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise RunError("rules_invalid", f"{uri}: not a mapping with rules")
    try:
        return Selection.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError("rules_invalid", f"{uri}: {'.'.join(map(str, first['loc']))}: {_message(first)}") from None


def _message(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ").replace("\n", " ")
