"""Report errors on the terminal as one line with a stable code, and exit with the matching code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer
from rich.console import Console

from cluster import profile as profiles
from flows.flow import FlowError
from operators.rows.failure import RunError

INTERRUPTED = "error: interrupted: run the same command again to continue where this run stopped"
OWN_PACKAGES = ("cleanplate", "cluster", "flows", "operators")
errors = Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an expected error as one line with its code, without a traceback, and exit."""
    try:
        yield
    except RunError as error:
        errors.print(f"error: {error}", markup=False)
        raise typer.Exit(error.exit_code) from None
    except (FlowError, profiles.ProfileError) as error:
        code = "flow_invalid" if isinstance(error, FlowError) else "profile_invalid"
        errors.print(f"error: {code}: {error}", markup=False)
        raise typer.Exit(2) from None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OWN_PACKAGES:
            raise  # no extra of this project has it
        errors.print(f"error: package_missing: {error.name}; install cleanplate[evaluation]", markup=False)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        errors.print(INTERRUPTED, markup=False)
        raise typer.Exit(3) from None
