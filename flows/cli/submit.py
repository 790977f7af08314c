"""`cleanplate submit`: run another command as a job on a cluster, through Ray or Kubernetes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.display import SECONDS_VARIABLE
from flows.cli.errors import errors, one_line_errors
from operators.ledger.part import Part
from operators.rows.failure import RunError
from operators.storage.region_files import COLUMN

ENVIRONMENT = {SECONDS_VARIABLE: "10", "PYTHONUNBUFFERED": "1"}
"""Environment variables of a job, so that its output can be followed line by line."""
PLACES = ("source", "dest", "masks", "model", "mark", "regions", "detector", "c2pa_key", "c2pa_cert")
"""Parameters of commands that name places, which the nodes of a cluster must be able to read."""


def submit(
    context: typer.Context,
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND", help="Command with its arguments and options, such as: erase SOURCE DEST --preset fast"
        ),
    ],
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Print a RayJob manifest for KubeRay instead of submitting.")
    ] = False,
    image: Annotated[
        str, typer.Option(help="With --kubernetes: name and version of the container images, without -cpu or -cuda.")
    ] = "",
    base: Annotated[
        Path | None,
        typer.Option(help="With --kubernetes: YAML with the RayJob to start from, as `kubectl kustomize` prints it."),
    ] = None,
) -> None:
    """Run COMMAND as a job on the cluster that RAY_ADDRESS names.

    Submit the same command again to follow the running job, or to continue where it stopped.
    """
    with one_line_errors():
        parameters = _parse_command(context, command)
        files = _find_local_files(parameters)
        if parameters.get("part"):
            Part.parse(parameters["part"])
        if kubernetes:
            if files:
                raise RunError("option_invalid", f"{', '.join(files)}: a RayJob cannot include files of this machine")
            from cluster.job import fingerprint
            from cluster.rayjob import RayJobError, rayjob

            entrypoint = shlex.join(["cleanplate", *command])
            part = f"-{parameters['part'].replace('/', '-of-')}" if parameters.get("part") else ""
            try:
                print(rayjob(f"cleanplate-{fingerprint(entrypoint)}{part}", entrypoint, base, image, ENVIRONMENT), end="")
            except RayJobError as error:
                raise RunError("option_invalid", str(error)) from None
            return
        if image or base:
            raise RunError("option_invalid", "--image and --base require --kubernetes")
        raise typer.Exit(_run_as_job(command, files))


def _parse_command(context: typer.Context, command: Sequence[str]) -> Mapping[str, Any]:
    """Parse the parameters of a command, so that wrong usage is reported before it is sent.

    Raises RunError option_invalid for a command that cannot be submitted, and for a path that the
    nodes of a cluster cannot read.
    """
    group: Any = context.find_root().command
    subcommand = group.get_command(context, command[0])
    parameters = {} if subcommand is None else {parameter.name for parameter in subcommand.params}
    if "dest" not in parameters:
        raise RunError("option_invalid", f"{command[0]!r} cannot be submitted: it is not a command with SOURCE and DEST")
    values: dict[str, Any] = subcommand.make_context(command[0], list(command[1:]), parent=context).params
    for name in PLACES:
        given = values.get(name) or ()
        for value in [given] if isinstance(given, str) else given:
            if _is_here_only(value) and (name != "model" or os.path.isdir(value)):
                raise RunError(
                    "option_invalid", f"{name} {value}: a cluster needs a URL, or an absolute path that all its nodes share"
                )
    return values


def _is_here_only(value: str) -> bool:
    return "://" not in value and not os.path.isabs(value) and not value.startswith(COLUMN)


def _find_local_files(values: Mapping[str, Any]) -> dict[str, Path]:
    """Find the files of this machine that a command reads, by the name that it uses for each.

    They are the files of a profile, of a user's flow and of rules.
    """
    flow = str(values.get("flow") or "").rpartition(":")[0]
    names = dict.fromkeys((str(values.get("profile") or ""), flow, str(values.get("rules") or "")))
    return {name: Path(name) for name in names if name and Path(name).is_file()}


def _run_as_job(command: Sequence[str], files: Mapping[str, Path]) -> int:
    """Submit a command with its local files, follow its job, and return the command's exit code.

    Follows the job that already runs the same command if there is one. Raises RunError.
    """
    try:
        from cluster import job as jobs
    except ImportError as error:
        raise RunError("package_missing", f"{error.name}; install cleanplate[cluster]") from None
    from cluster.address import AddressError, NoAnswerError, check_job_server
    from cluster.working_dir import pack_working_dir, rename_values

    try:
        check_job_server()
    except NoAnswerError as error:
        raise RunError("job_server", str(error), 3) from None
    except AddressError as error:
        raise RunError("option_invalid", str(error)) from None
    names: dict[str, str] = {}
    for name, file in files.items():
        names[name] = f"{len(names)}-{file.name}" if file.name in names.values() else file.name
    flows = {
        f"{name}:{flow}": f"{names[name]}:{flow}"
        for name, flow in (argument.rsplit(":", 1) for argument in command if ":" in argument)
        if name in names
    }
    entrypoint = shlex.join(["python", "-m", "flows.cli", *rename_values(command, names | flows)])
    try:
        job = jobs.find_running(entrypoint)
        if job is None:
            with pack_working_dir({names[name]: file for name, file in files.items()}) as folder:
                job = jobs.submit(entrypoint, folder, ENVIRONMENT)
            errors.print(f"job {job}", markup=False)
        else:
            errors.print(f"job {job} already runs this command; following it", markup=False)
        try:
            ended = jobs.follow(
                job, lambda text: print(text, end="", flush=True), lambda text: errors.print(text, markup=False)
            )
        except KeyboardInterrupt:
            raise RunError(
                "interrupted", f"{job} keeps running; run the same command to follow it, or `ray job stop {job}` to stop it", 3
            ) from None
    except jobs.JobError as error:
        raise RunError("job_server", str(error), 3) from None
    if ended.exit_code is None:
        raise RunError("run_interrupted", f"{job}: {ended.message}; run the same command to continue where it stopped", 3)
    return ended.exit_code
