"""The socket of a command that serves pages."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

from operators.rows.failure import RunError


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises RunError address_unusable."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise RunError(
            "address_unusable", f"{host}, port {port}: {error.strerror or error}; --port 0 takes a free one"
        ) from None


def is_own(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
