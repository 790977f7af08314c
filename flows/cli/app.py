"""The `cleanplate` command line, with every command registered by its name."""

from __future__ import annotations

import sys

import typer
from typer.exceptions import TyperException

from flows.cli.edit import enlarge, erase, find, inpaint, run_file
from flows.cli.errors import errors
from flows.cli.evaluation import audit_boundaries, calibrate_gate, compare_evaluations, evaluate_suite
from flows.cli.models import models
from flows.cli.plan import plan
from flows.cli.submit import submit

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Remove text and marks from millions of images.",
)
app.command("erase")(erase)
app.command("find")(find)
app.command("inpaint")(inpaint)
app.command("enlarge")(enlarge)
app.command("run")(run_file)
app.command("evaluate")(evaluate_suite)
app.command("calibrate")(calibrate_gate)
app.command("compare")(compare_evaluations)
app.command("audit")(audit_boundaries)
app.command("plan")(plan)
app.command("submit", context_settings={"allow_interspersed_args": False})(submit)
app.add_typer(models, name="models")


def main() -> None:
    """Run the command line and exit with its code.

    Wrong usage prints one line and exits with code 2, like every other error.
    """
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
        errors.print(f"error: option_invalid: {message}", markup=False)
        code = 2
    except typer.Abort:
        errors.print("error: interrupted: run the same command again to continue")
        code = 3
    sys.exit(code or 0)
