"""The commands for people: review a run, and carry out what was decided."""

from __future__ import annotations

import getpass
import secrets
import socket
from contextlib import suppress
from typing import Annotated
from urllib.parse import quote

import typer
from rich.progress import Progress

from flows.cli.errors import errors, one_line_errors
from flows.cli.listening import is_own, listen
from flows.cli.options import SigningOptions, with_options
from operators.decisions.acceptance_sampling import TARGET
from operators.ledger.lease import Lease
from operators.rows.counted import counted
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage
from operators.storage.names import given

Run = Annotated[str, typer.Argument(metavar="DEST", callback=given, help="Folder or URL of a run that has ended.")]


def review(
    dest: Run,
    host: Annotated[
        str, typer.Option(help="Address to listen on. With 0.0.0.0, other machines can reach it too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    sample: Annotated[
        bool,
        typer.Option("--sample", help="Draw a random sample of the edits, and say after each decision what the sample proves."),
    ] = False,
    target: Annotated[
        float,
        typer.Option(min=0.0001, max=0.5, help="With --sample: show that a smaller share of the edits than this is bad."),
    ] = TARGET,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --sample: number of edits to draw. Without it, as many as show --target if none is bad."
        ),
    ] = None,
) -> None:
    """Look at the edits of a run in a browser, and accept them, reject them or have them redone."""
    with one_line_errors():
        if size is not None and not sample:
            raise RunError("option_invalid", "--size needs --sample")
        dest = storage.absolute(dest)
        try:
            _review(dest, host, port, (target, size) if sample else None)
        except Failure as failure:
            raise RunError(failure.code, failure.message, exit_code=3) from failure


def _review(dest: str, host: str, port: int, sampling: tuple[float, int | None] | None) -> None:
    try:
        import uvicorn

        from flows.review.server import application
    except ModuleNotFoundError as error:
        raise RunError("package_missing", f"{error.name}; install cleanplate[serve]") from None
    from flows.reports.proven import read_sample
    from flows.review.desk import Desk
    from flows.review.pictures import Pictures
    from flows.review.sample import open_sample

    if not storage.exists(storage.join(dest, "run.json")):
        raise RunError("run_missing", f"{dest} holds no run")
    # One server at a time: it alone knows who looks at what.
    with Lease(storage.join(dest, "review")).hold():
        pictures = Pictures(dest)
        if not set(pictures.facets["verdict"]) - {"found", "nothing_found", "failed"}:
            raise RunError("nothing_to_review", f"{dest} has no delivered pictures")
        desk = Desk(dest, open_sample(dest, pictures, *sampling) if sampling else read_sample(dest), pictures)
        listening = listen(host, port)
        port = listening.getsockname()[1]
        token = "" if is_own(host) else secrets.token_urlsafe(24)
        hosts = ["localhost", "127.0.0.1", "[::1]", host] if is_own(host) else ["*"]
        # Others would decide under the name of whoever has sent them the address.
        who = f"who={quote(_user())}" if is_own(host) else ""
        shown = "localhost" if is_own(host) else socket.gethostname() if host in ("0.0.0.0", "::") else host
        query = "&".join(filter(None, (f"token={token}" if token else "", who, "sampled=1" if sampling else "")))
        address = f"http://{shown}:{port}/?{query}"
        print(f"{counted(len(pictures), 'picture')} | {address} | Ctrl-C ends it", flush=True)
        server = uvicorn.Server(uvicorn.Config(application(desk, hosts, token), log_level="error", timeout_graceful_shutdown=5))
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def _user() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return ""


@with_options
def apply(dest: Run, sign: SigningOptions) -> None:
    """Carry out what was decided in a review: deliver originals again, and fill again.

    The exit code is 3 if a decision could not be carried out. Run the same command again to go on.
    """
    with one_line_errors():
        from flows.review.apply import apply_decisions

        with Progress(console=errors, disable=not errors.is_terminal, transient=True) as bar:
            task = bar.add_task("pictures", total=None)
            applied = apply_decisions(dest, sign.signing, lambda state: bar.update(task, completed=state.done))
        for path, failure in applied.failures:
            errors.print(f"{path}: {failure.code}: {failure.message}", markup=False)
        print(applied.line())
        if applied.failures:
            raise typer.Exit(3)
