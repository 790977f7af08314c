"""`cleanplate serve`: a service over HTTP, with a page for one picture or several."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Annotated, Any

import typer

from cluster.profile import LAPTOP, cores
from flows.cli.errors import one_line_errors
from flows.cli.listening import is_own, listen
from flows.cli.options import CallOptions, with_options
from operators.models.service import is_service
from operators.pictures.codec import Limits
from operators.rows.failure import RunError
from operators.storage.disposable import disposable_folder

TOKEN_VARIABLE = "CLEANPLATE_TOKEN"
Many = list[str] | None


@with_options
def serve(
    calls: CallOptions,
    host: Annotated[
        str, typer.Option(help=f"Address to listen on. One that other machines can reach needs {TOKEN_VARIABLE} to be set.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8766,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of pictures worked on at the same time, each in its own process. Without it, one per core."
        ),
    ] = None,
    queue: Annotated[int, typer.Option(min=0, help="Number of requests that may wait; further ones get the status 429.")] = 32,
    rate: Annotated[int, typer.Option(min=0, help="Most requests a minute from one address; 0 sets no limit.")] = 0,
    seconds: Annotated[
        float, typer.Option(min=1, help="Most seconds of work on one picture; after them it is rolled back.")
    ] = 120,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse pictures with more pixels than this.")] = 40_000_000,
    max_bytes: Annotated[int, typer.Option(min=1, help="Refuse files with more bytes than this.")] = 32 * 1024 * 1024,
    allow: Annotated[
        Many,
        typer.Option(help="Place from which pictures may be fetched by URL, such as https://host/photos. May be repeated."),
    ] = None,
    model: Annotated[
        Many,
        typer.Option(
            help="Model that requests may name besides the shipped ones: an alias, a folder or a URL. May be repeated."
        ),
    ] = None,
    calls_in: Annotated[
        str,
        typer.Option(
            help="Folder or URL in which the calls to models over HTTP are counted and their answers kept. "
            "Without it, they are forgotten when the service ends."
        ),
    ] = "",
    ray: Annotated[
        bool, typer.Option("--ray", help="Work by Ray Serve on the cluster that RAY_ADDRESS names, or on a Ray started here.")
    ] = False,
    profile: Annotated[
        str, typer.Option(help="With --ray: the profile whose stages say what a replica reserves, such as half a GPU.")
    ] = LAPTOP,
) -> None:
    """Serve erase, inpaint, enlarge and find over HTTP, with a page for the browser."""
    with one_line_errors():
        try:
            import uvicorn

            from flows.serve.app import Settings, application
            from flows.serve.pool import ProcessPool
        except ModuleNotFoundError as error:
            raise RunError("package_missing", f"{error.name}; install cleanplate[serve]") from None
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not is_own(host) and not token:
            raise RunError("option_invalid", f"--host {host} can be reached by others: set {TOKEN_VARIABLE}")
        if profile != LAPTOP and not ray:
            raise RunError("option_invalid", "--profile needs --ray")
        limits = Limits(max_pixels=max_pixels, max_bytes=max_bytes)
        call_limits = calls.limits(any(map(is_service, model or ())))
        listening = listen(host, port)
        port = listening.getsockname()[1]
        if ray:
            listening.close()
            named: dict[str, Any] = {"profile": profile, "workers": workers, "seconds": seconds, "queue": queue, "rate": rate}
            named |= {"max_pixels": max_pixels, "max_bytes": max_bytes, "allow": tuple(allow or ())}
            named |= {"model": tuple(model or ()), "calls": call_limits, "calls_in": calls_in}
            named |= {"needs_token": not is_own(host)}
            _serve_on_ray(named, host, port)
            return
        calls_in = calls_in or str(disposable_folder("cleanplate-calls-"))
        settings = Settings(limits, queue, rate, token, tuple(allow or ()), tuple(model or ()), call_limits, calls_in)
        print(_address(host, port), flush=True)
        problems: list[Exception] = []

        def give_up(error: Exception) -> None:
            problems.append(error)
            server.should_exit = True

        app = application(settings, ProcessPool(workers or cores(), seconds, limits), give_up)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=30, server_header=False))
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
        if problems:
            raise problems[0]


def _address(host: str, port: int) -> str:
    return f"http://{host}:{port}/ | Ctrl-C ends it"


def _serve_on_ray(named: dict[str, Any], host: str, port: int) -> None:
    """Serve on a cluster until SIGTERM or Ctrl-C. Raises RunError."""
    from flows.engine.session import check_address, reach_ray

    check_address()
    reach_ray(named["workers"] or cores())
    try:
        from flows.serve.on_ray import Options, serving
    except ModuleNotFoundError as error:
        raise RunError("package_missing", f"{error.name}; install cleanplate[serve]") from None
    with suppress(KeyboardInterrupt), serving(Options(**named), host, port):
        print(_address(host, port), flush=True)
        signal.pause()
