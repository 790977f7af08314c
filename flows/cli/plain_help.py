"""Help that names the types of values in words that need no knowledge of Python.

Typer shows `<bool>` after a flag, as if it took a value, `<list[str]>` after an option that may be
repeated, and `<int range>` before a range that it shows as well.
"""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def plain_types(parameters: list[Any], context: typer.Context) -> list[Any]:
    """The parameters of a command, whose options show plain types and whose flags show none."""
    for parameter in parameters:
        if parameter.param_type_name == "option" and parameter.metavar is None:
            shown = "" if parameter.is_flag else parameter.display_type(context)
            parameter.metavar = re.sub(r"list\[(\w+)\]| range", r"\1", shown)
    return parameters


class PlainCommand(TyperCommand):
    """A command with plain types in its help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters of the command and `--help`."""
        return plain_types(super().get_params(ctx), ctx)


class PlainGroup(TyperGroup):
    """A group of commands with plain types in its help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters of the group and `--help`."""
        return plain_types(super().get_params(ctx), ctx)
