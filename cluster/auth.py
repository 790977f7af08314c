"""The token by which a Ray cluster knows its own people."""

from __future__ import annotations

import os
from pathlib import Path


def offer_token() -> None:
    """Let the client of a job server show the token that lies here, if one does; to be called
    before Ray is imported.

    A server that was started where a token lies insists on it, while a client shows it only if
    RAY_AUTH_MODE says so. Only for clients: a driver that says so asks every process of the
    cluster for the token too, and one without loses its actors.
    """
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
