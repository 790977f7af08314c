"""A command line as a job of a Ray cluster, followed from here until it has ended, whatever
becomes of the connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.auth import offer_token

KEY = "cleanplate"
"""Under this name a job's metadata holds what tells its command line from all others."""
SILENCE_SECONDS = 45.0
"""When the log has said nothing for so long, the connection is taken for dead and made anew."""
ANSWER_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 15.0
RECONNECT_SECONDS = 900.0
"""A job server that has not answered for so long is given up; the job may still be at work."""


class JobError(RuntimeError):
    """A job server that cannot be reached, or does not know the job."""


@dataclass(frozen=True)
class JobEnd:
    """How a job ended: the exit code of its command, None where it has none (stopped, killed,
    lost with its node), and why.
    """

    exit_code: int | None
    message: str


def _connected() -> Any:
    """A connection to the job server that RAY_API_SERVER_ADDRESS or RAY_ADDRESS names. Raises
    what Ray and the network do.
    """
    offer_token()
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):  # type: ignore[misc]
        """Ray's client, which on its own would wait without end for an answer that got lost."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": ANSWER_SECONDS, **options})

    for name in ("dashboard.modules.job.sdk", "dashboard.modules.dashboard_sdk", "_private.runtime_env.packaging"):
        logging.getLogger(f"ray.{name}").setLevel(logging.ERROR)
    return Client()


def has_address() -> bool:
    """Whether the environment names a cluster."""
    return bool(os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS"))


def fingerprint(entrypoint: str) -> str:
    """Eight hexadecimal digits for a command line."""
    return hashlib.sha256(entrypoint.encode()).hexdigest()[:8]


def find_running(entrypoint: str) -> str | None:
    """The job that works on this command line already, if there is one. Raises JobError."""
    try:
        jobs = _connected().list_jobs()
    except Exception as error:
        raise JobError(_line(error)) from error
    own = [job for job in jobs if (job.metadata or {}).get(KEY) == fingerprint(entrypoint)]
    return next((str(job.submission_id) for job in own if not job.status.is_terminal()), None)


def submit(entrypoint: str, folder: Path, environment: dict[str, str]) -> str:
    """Bring a folder to the cluster and start a command line in it; the job's name. Raises
    JobError.
    """
    try:
        client = _connected()
        earlier = sum((job.metadata or {}).get(KEY) == fingerprint(entrypoint) for job in client.list_jobs())
        name: str = client.submit_job(
            entrypoint=entrypoint,
            submission_id=f"cleanplate-{fingerprint(entrypoint)}-{earlier + 1}",
            runtime_env={"working_dir": str(folder), "env_vars": environment},
            metadata={KEY: fingerprint(entrypoint)},
        )
    except Exception as error:
        raise JobError(_line(error)) from error
    return name


def follow(job: str, show: Callable[[str], None], note: Callable[[str], None]) -> JobEnd:
    """Show a job's log as it grows, from its beginning, until the job has ended.

    A connection that breaks is made anew, and the log goes on where it was; `note` is told once.
    Raises JobError if the server knows no such job, or has not answered for RECONNECT_SECONDS.
    """
    shown, lost_since, pause = 0, 0.0, 1.0

    def show_rest(log: str, position: int) -> None:
        nonlocal shown
        if position + len(log) > shown:
            show(log[max(0, shown - position) :])
            shown = position + len(log)

    while True:
        try:
            client = _connected()
            before = shown
            asyncio.run(_tail(client, job, show_rest))
            details = client.get_job_info(job)
            if details.status.is_terminal():
                show_rest(client.get_job_logs(job), 0)
                return _ended(details)
            lost_since, pause = 0.0, 1.0 if shown > before else pause
        except Exception as error:
            if "404" in str(error):
                raise JobError(f"the cluster knows no job {job} any more") from error
            if not lost_since:
                lost_since = time.monotonic()
                note(f"connection lost ({_line(error)}); {job} goes on, trying again")
            if time.monotonic() - lost_since > RECONNECT_SECONDS:
                raise JobError(f"no answer for {RECONNECT_SECONDS:g} s: {_line(error)}") from error
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _tail(client: Any, job: str, show_rest: Callable[[str, int], None]) -> None:
    """Show the log until the server ends it or is silent for too long."""
    chunks, position = client.tail_job_logs(job), 0
    while True:
        try:
            chunk = await asyncio.wait_for(anext(chunks), SILENCE_SECONDS)
        except (StopAsyncIteration, TimeoutError):
            return
        show_rest(chunk, position)
        position += len(chunk)


def _ended(details: Any) -> JobEnd:
    if details.status == "SUCCEEDED":
        return JobEnd(0, "")
    code = details.driver_exit_code
    done = details.status == "FAILED" and code is not None and code > 0
    return JobEnd(code if done else None, _line(details.message or str(details.status)))


def _line(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."
