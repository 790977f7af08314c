"""The `cleanplate` command line, with every command registered by its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import TyperException

from flows.cli.edit import enlarge, erase, find, inpaint, run_file
from flows.cli.errors import INTERRUPTED, errors
from flows.cli.evaluation import audit_boundaries, calibrate_gate, compare_evaluations, evaluate_suite
from flows.cli.interruption import catch_signals, leave, was_interrupted
from flows.cli.marks import marks
from flows.cli.models import models
from flows.cli.plain_help import PlainCommand, PlainGroup
from flows.cli.plan import plan
from flows.cli.preview import preview
from flows.cli.report import report
from flows.cli.review import apply, review
from flows.cli.serve import serve
from flows.cli.submit import submit

WRONG_USE = 2


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"cleanplate {version('cleanplate')}")
        raise typer.Exit


app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "erase": erase,
    "find": find,
    "preview": preview,
    "inpaint": inpaint,
    "enlarge": enlarge,
    "marks": marks,
    "review": review,
    "apply": apply,
    "run": run_file,
    "report": report,
    "evaluate": evaluate_suite,
    "calibrate": calibrate_gate,
    "compare": compare_evaluations,
    "audit": audit_boundaries,
    "plan": plan,
    "serve": serve,
}
for name, command in COMMANDS.items():
    app.command(name, cls=PlainCommand)(command)
# What follows the submitted command belongs to that command.
app.command("submit", cls=PlainCommand, context_settings={"allow_interspersed_args": False})(submit)
app.add_typer(models, name="models")


TRACEBACK_VARIABLE = "CLEANPLATE_TRACEBACK"
"""Environment variable that lets an unexpected error print its traceback."""


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Remove text and marks from millions of images."""


def main() -> None:
    """Run the command line and exit with its code.

    Every error, also wrong usage and what nobody expected, is one line with a code.
    """
    catch_signals()
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
        if message:  # empty if the command line was, and the help has been printed
            errors.print(f"error: option_invalid: {' '.join(message.split())}", markup=False)
        code = WRONG_USE
    except (typer.Abort, KeyboardInterrupt):
        errors.print(INTERRUPTED, markup=False)
        code = 3
    except BrokenPipeError:
        # The reader of the output has gone; the interpreter must not try to flush it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        errors.print(f"error: unexpected: {line[:300]} (set {TRACEBACK_VARIABLE}=1 to see where)", markup=False)
        code = 1
    if was_interrupted():
        leave(code or 0)
    sys.exit(code or 0)
