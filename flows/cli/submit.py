"""`cleanplate submit`: any other command as a job on a cluster, by Ray's job server or by
Kubernetes.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.display import EVERY
from flows.cli.errors import errors, one_line_errors
from operators.rows.failure import RunError

ENVIRONMENT = {EVERY: "10", "PYTHONUNBUFFERED": "1"}
"""What a job is told: its lines are followed as they come."""


def submit(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="A command with its options: erase, inpaint, ...")],
    kubernetes: Annotated[bool, typer.Option("--kubernetes", help="Print a RayJob for KubeRay instead.")] = False,
    image: Annotated[str, typer.Option(help="With --kubernetes: name and version of the images, without -cpu or -cuda.")] = "",
    base: Annotated[
        Path | None, typer.Option(help="With --kubernetes: a rendered overlay with the RayJob to start from.")
    ] = None,
) -> None:
    """Run COMMAND as a job on the cluster that RAY_ADDRESS names; the same line again follows it,
    or takes it up.
    """
    with one_line_errors():
        parameters = _parsed(context, command)
        files = _own_files(parameters)
        if kubernetes:
            if files:
                raise RunError("option_invalid", f"{', '.join(files)}: a RayJob takes no files of this machine along")
            from cluster.job import fingerprint
            from cluster.rayjob import RayJobError, rayjob

            entrypoint = shlex.join(["cleanplate", *command])
            try:
                print(rayjob(f"cleanplate-{fingerprint(entrypoint)}", entrypoint, base, image, ENVIRONMENT), end="")
            except RayJobError as error:
                raise RunError("option_invalid", str(error)) from None
            return
        if image or base:
            raise RunError("option_invalid", "--image and --base belong to --kubernetes")
        raise typer.Exit(_as_job(command, files))


def _parsed(context: typer.Context, command: Sequence[str]) -> Mapping[str, Any]:
    """The command's own parameters, so that wrong usage is known before anything is sent. Raises
    RunError.
    """
    group: Any = context.find_root().command
    known = group.get_command(context, command[0])
    parameters = {} if known is None else {parameter.name for parameter in known.params}
    if "dest" not in parameters:
        raise RunError("option_invalid", f"{command[0]!r} is no command that can be submitted: it has no SOURCE and DEST")
    values: dict[str, Any] = known.make_context(command[0], list(command[1:]), parent=context).params
    for name in ("source", "dest", "masks", "model"):
        value = values.get(name)
        if value and "://" not in value and not os.path.isabs(value) and (name != "model" or os.path.isdir(value)):
            raise RunError(
                "option_invalid", f"{name} {value}: a cluster needs a URL, or an absolute path that all of its nodes share"
            )
    return values


def _own_files(values: Mapping[str, Any]) -> dict[str, Path]:
    """Files of this machine that the command reads, by how it names them: a profile, a flow of
    one's own.
    """
    named = {str(values.get("profile") or ""): None, str(values.get("flow") or "").rpartition(":")[0]: None}
    return {name: Path(name) for name in named if name and Path(name).is_file()}


def _as_job(command: Sequence[str], files: Mapping[str, Path]) -> int:
    try:
        from cluster import job as jobs
    except ImportError as error:
        raise RunError("package_missing", f"{error.name}; install cleanplate[cluster]") from None
    from cluster.working_dir import pack_working_dir, renamed

    if not jobs.has_address():
        raise RunError("option_invalid", "RAY_ADDRESS must name the cluster's job server, such as http://127.0.0.1:8265")
    names = {name: file.name for name, file in files.items()}
    flows = {
        f"{name}:{flow}": f"{names[name]}:{flow}"
        for name, flow in (a.rsplit(":", 1) for a in command if ":" in a)
        if name in names
    }
    entrypoint = shlex.join(["python", "-m", "flows.cli", *renamed(command, names | flows)])
    try:
        job = jobs.find_running(entrypoint)
        if job is None:
            with pack_working_dir({names[name]: file for name, file in files.items()}) as folder:
                job = jobs.submit(entrypoint, folder, ENVIRONMENT)
            errors.print(f"job {job}", markup=False)
        else:
            errors.print(f"job {job} is at work on this already; following it", markup=False)
        try:
            ended = jobs.follow(
                job, lambda text: print(text, end="", flush=True), lambda text: errors.print(text, markup=False)
            )
        except KeyboardInterrupt:
            raise RunError(
                "interrupted", f"{job} goes on; the same command follows it, `ray job stop {job}` ends it", 3
            ) from None
    except jobs.JobError as error:
        raise RunError("job_server", str(error), 3) from None
    if ended.exit_code is None:
        raise RunError("run_interrupted", f"{job}: {ended.message}; the same command takes up where it ended", 3)
    return ended.exit_code
