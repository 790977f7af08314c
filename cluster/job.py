"""Run a command line as a job of a Ray cluster and follow it to its end.

A lost connection does not end the job, and is restored.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.auth import offer_token

KEY = "cleanplate"
"""The key of a job's metadata that holds the fingerprint of its command line."""
SILENCE_SECONDS = 45.0
"""After this long without output the connection counts as dead and is restored."""
ANSWER_SECONDS = 30.0
"""How long a request waits for its answer."""
LONGEST_PAUSE_SECONDS = 15.0
"""The longest pause between two attempts to reconnect."""
RECONNECT_SECONDS = 900.0
"""After this long without an answer the job server is given up; the job may still be running."""


class JobError(RuntimeError):
    """A job server that cannot be reached or does not know the job."""


@dataclass(frozen=True)
class JobEnd:
    """How a job ended."""

    exit_code: int | None
    """Of its command; None if it has none, because it was stopped, killed or lost with its node.
    """
    message: str
    """The reason; empty after success."""


def _connect() -> Any:
    """Connect to the job server that RAY_API_SERVER_ADDRESS or RAY_ADDRESS names.

    Raises whatever Ray and the network raise.
    """
    offer_token()
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):  # type: ignore[misc]
        """Ray's client with a time limit; by itself it waits without end for a lost answer."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, **{"timeout": ANSWER_SECONDS, **options})

    # These log every upload and every connection that closes.
    for name in ("dashboard.modules.job.sdk", "dashboard.modules.dashboard_sdk", "_private.runtime_env.packaging"):
        logging.getLogger(f"ray.{name}").setLevel(logging.ERROR)
    return Client()


def fingerprint(entrypoint: str) -> str:
    """Eight hexadecimal digits that identify a command line."""
    return hashlib.sha256(entrypoint.encode()).hexdigest()[:8]


def find_running(entrypoint: str) -> str | None:
    """The name of the job that already runs this command line, if there is one. Raises JobError."""
    try:
        jobs = _connect().list_jobs()
    except Exception as error:
        raise JobError(_one_line(error)) from error
    same_command = [job for job in jobs if (job.metadata or {}).get(KEY) == fingerprint(entrypoint)]
    return next((str(job.submission_id) for job in same_command if not job.status.is_terminal()), None)


def submit(entrypoint: str, folder: Path, environment: dict[str, str]) -> str:
    """Upload a folder to the cluster and start a command line in it; return the job's name.

    Raises JobError.
    """
    try:
        client = _connect()
        earlier = sum((job.metadata or {}).get(KEY) == fingerprint(entrypoint) for job in client.list_jobs())
        name: str = client.submit_job(
            entrypoint=entrypoint,
            submission_id=f"cleanplate-{fingerprint(entrypoint)}-{earlier + 1}",
            runtime_env={"working_dir": str(folder), "env_vars": environment},
            metadata={KEY: fingerprint(entrypoint)},
        )
    except Exception as error:
        raise JobError(_one_line(error)) from error
    return name


def follow(job: str, show: Callable[[str], None], note: Callable[[str], None]) -> JobEnd:
    """Show a job's log from its beginning, as it grows, until the job has ended.

    A lost connection is restored, and the log continues without a gap; each loss is reported once
    to `note`. Raises JobError if the server does not know the job, or does not answer for
    RECONNECT_SECONDS.
    """
    shown = WithoutPreamble(show)
    characters_shown, lost_since, pause = 0, 0.0, 1.0

    def show_rest(log: str, position: int) -> None:
        nonlocal characters_shown
        if position + len(log) > characters_shown:
            shown(log[max(0, characters_shown - position) :])
            characters_shown = position + len(log)

    while True:
        try:
            client = _connect()
            before = characters_shown
            asyncio.run(_tail(client, job, show_rest))
            details = client.get_job_info(job)
            if details.status.is_terminal():
                show_rest(client.get_job_logs(job), 0)
                shown.end()
                return _job_end(details)
            lost_since = 0.0
            if characters_shown > before:
                pause = 1.0
        except Exception as error:
            if "404" in str(error):
                raise JobError(f"the cluster no longer knows job {job}") from error
            if not lost_since:
                lost_since = time.monotonic()
                note(f"connection lost ({_one_line(error)}); {job} continues, reconnecting")
            if time.monotonic() - lost_since > RECONNECT_SECONDS:
                raise JobError(f"no answer for {RECONNECT_SECONDS:g} s: {_one_line(error)}") from error
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


PREAMBLE = re.compile(r"[-0-9]+ [:,0-9]+\s+INFO job_manager\.py:\d+ -- |Running entrypoint for job ")
"""How the lines begin that Ray writes at the start of a job's log."""


class WithoutPreamble:
    """Shows a log that comes in pieces, without the lines that Ray writes before the command."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show, self._begun, self._held = show, False, ""

    def __call__(self, text: str) -> None:
        """Show the next piece of the log; what may still be a line of Ray's is held back."""
        self._held += text
        while not self._begun and "\n" in self._held:
            self._begun = PREAMBLE.match(self._held) is None
            self._held = self._held if self._begun else self._held.partition("\n")[2]
        if self._begun:
            self.end()

    def end(self) -> None:
        """Show what is held back."""
        if self._held:
            self._show(self._held)
        self._held = ""


async def _tail(client: Any, job: str, show_rest: Callable[[str, int], None]) -> None:
    """Pass each part of the log and its position on, until the log ends or is silent too long."""
    chunks, position = client.tail_job_logs(job), 0
    while True:
        try:
            chunk = await asyncio.wait_for(anext(chunks), SILENCE_SECONDS)
        except (StopAsyncIteration, TimeoutError):
            return
        show_rest(chunk, position)
        position += len(chunk)


def _job_end(details: Any) -> JobEnd:
    if details.status == "SUCCEEDED":
        return JobEnd(0, "")
    code = details.driver_exit_code
    ended_by_itself = details.status == "FAILED" and code is not None and code > 0
    return JobEnd(code if ended_by_itself else None, _one_line(details.message or str(details.status)))


def _one_line(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."
