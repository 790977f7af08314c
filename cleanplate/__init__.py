"""cleanplate in Python: erase, inpaint, enlarge and find on one picture, in this process.

    import cleanplate

    edit = cleanplate.erase("poster.jpg")
    edit.save("clean.jpg")
    print(edit.verdict, edit.reasons)

A picture is a path or URL, the bytes of a file, a Pillow image, or a uint8 array. `Eraser` keeps
the models open for many pictures. Millions of pictures are the work of the `cleanplate` command.

`Flow`, `Operator`, `Row`, `map_rows`, `Generator` and `Request` are for those who extend
cleanplate. Nothing is loaded before a name is used.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.flow import Flow, FlowError
    from flows.one_picture import Edit, Eraser, Picture, Region, enlarge, erase, find, inpaint
    from operators.generators.generator import Generator, Request
    from operators.operator import Operator
    from operators.rows.failure import Failure, RunError
    from operators.rows.table import Row, map_rows

__all__ = [
    "Edit",
    "Eraser",
    "Failure",
    "Flow",
    "FlowError",
    "Generator",
    "Operator",
    "Picture",
    "Region",
    "Request",
    "Row",
    "RunError",
    "enlarge",
    "erase",
    "find",
    "inpaint",
    "map_rows",
]

_HOMES = {
    "flows.flow": ("Flow", "FlowError"),
    "flows.one_picture": ("Edit", "Eraser", "Picture", "Region", "enlarge", "erase", "find", "inpaint"),
    "operators.generators.generator": ("Generator", "Request"),
    "operators.operator": ("Operator",),
    "operators.rows.failure": ("Failure", "RunError"),
    "operators.rows.table": ("Row", "map_rows"),
}
"""The module in which each exported name is defined."""
_MODULES = {name: module for module, names in _HOMES.items() for name in names}
PACKAGES = ("flows", "operators", "cluster")
"""The import packages beside this one."""
INTERRUPTED = "error: interrupted: run the same command again to continue where this run stopped"


def __getattr__(name: str) -> Any:
    """Import an exported name when it is first used. Raises ImportError as `check_packages`."""
    if name == "__version__":
        from importlib.metadata import version

        return version("cleanplate")
    if name not in _MODULES:
        raise AttributeError(f"module 'cleanplate' has no attribute {name!r}")
    check_packages()
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The exported names, also those that are not imported yet."""
    return sorted([*__all__, "__version__"])


def check_packages() -> None:
    """Raise ImportError if another package shadows one of ours.

    The names `flows`, `operators` and `cluster` are common; a folder of that name beside a script
    comes before an installed package.
    """
    home = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        module = importlib.import_module(name)
        place = module.__file__ and Path(module.__file__).resolve().parent
        if place != home / name:
            where = place or next(iter(getattr(module, "__path__", ["an unknown place"])))
            raise ImportError(f"package_shadowed: {where} hides the package {name!r} of cleanplate; rename or move it")


def main() -> None:
    """The `cleanplate` command; an interrupt during the imports ends in one line as well."""
    try:
        if sys.argv[1:] == ["--version"]:
            print(f"cleanplate {__getattr__('__version__')}")
            return
        try:
            check_packages()
        except ImportError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        from flows.cli.app import main as run_command_line

        run_command_line()
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(3)
