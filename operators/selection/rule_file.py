"""Rules from a YAML file or from options, checked before a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

import yaml
from pydantic import ValidationError

from operators.rows.failure import Failure, RunError
from operators.selection.patterns import PATTERNS
from operators.selection.rules import Selection
from operators.storage import files as storage
from operators.storage.unreadable import why_unreadable


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
        limits = [rule["name"] for rule in rules if "not" in rule.get("keep", ())]
        if limits and not self.only:
            rules.append({"name": ", ".join(limits), "erase": {}})
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


class _Loader(yaml.SafeLoader):
    """YAML whose scalars are all texts, so that a supplier 007 or NO is not another value."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {"<": [("tag:yaml.org,2002:merge", re.compile("<<"))]}  # type: ignore[misc]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping. Raises ConstructorError for a repeated key: one value would be lost."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is one word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_rules(uri: str) -> Selection:
    """The selection of a YAML file. Raises RunError rules_invalid, with the place in the file.

    The code is option_invalid for an unknown kind of storage.
    """
    storage.check_scheme(uri)
    try:
        content = yaml.load(storage.read(uri), _Loader)
    except Failure as failure:
        raise RunError("rules_invalid", f"{uri}: {why_unreadable(failure)}; {EXPECTED}") from None
    except (yaml.reader.ReaderError, UnicodeDecodeError):
        raise RunError("rules_invalid", f"{uri}: not a text in UTF-8; {EXPECTED}") from None
    except yaml.YAMLError as error:
        raise RunError("rules_invalid", f"{uri}: {_place_of(error)}") from None
    if not content:
        raise RunError("rules_invalid", f"{uri}: it is empty; {EXPECTED}")
    if not isinstance(content, dict):
        raise RunError("rules_invalid", f"{uri}: not a mapping; {EXPECTED}")
    try:
        return Selection.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunError("rules_invalid", f"{uri}: {f'{place}: ' if place else ''}{_message(first)}") from None


EXPECTED = "--rules takes a YAML file such as: rules: [{erase: {kind: email}}]"
"""How to go on after a file that is none of rules."""


def _place_of(error: yaml.YAMLError) -> str:
    """The line and the problem of what is no YAML."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return problem if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


_PLAIN = {
    "extra_forbidden": "there is no such key here",
    "tuple_type": "a list is needed here",
    "model_type": "a mapping is needed here",
}
"""Plain words for pydantic's, by its types of errors."""


def _message(error: Any) -> str:
    if error["type"] in _PLAIN:
        return _PLAIN[error["type"]]
    return str(error["msg"]).removeprefix("Value error, ").replace("\n", " ")
