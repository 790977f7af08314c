"""The Ray authentication token."""

from __future__ import annotations

import os
from pathlib import Path


def offer_token() -> None:
    """Make clients of a job server send this machine's token, if it has one.

    Call this before Ray is imported. A server that was started where a token exists requires it,
    while a client sends it only if RAY_AUTH_MODE says so. Use this for clients only: a driver
    with RAY_AUTH_MODE requires the token of every process in the cluster, and loses the actors of
    those without one.
    """
    in_environment = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if in_environment or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
