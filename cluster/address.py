"""Which of a cluster's addresses RAY_ADDRESS holds: the cluster's own, or the dashboard's.

A run connects to the cluster (`HOST:6379`, `ray://HOST:10001`), a submitted job goes to the
dashboard's job server (`http://HOST:8265`). With the wrong one, Ray waits for a minute and then
says that something timed out.
"""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

PROBE_SECONDS = 2.0
"""How long an address may take to accept a connection, and then to answer."""
JOB_SERVER_PORT, CLUSTER_PORT, CLIENT_PORT = 8265, 6379, 10001
"""Ray's usual ports."""
_WEB = ("http", "https")


class AddressError(ValueError):
    """An address that cannot be the one that is needed; the message says which to give."""


class NoAnswerError(AddressError):
    """An address at which nothing listens; the cluster may come up later."""


def check_cluster_address(address: str) -> None:
    """Raise AddressError if the address of a cluster is the dashboard's, or no address at all.

    An address that does not answer in PROBE_SECONDS is left to Ray.
    """
    scheme, host, port = _parts(address)
    if scheme in _WEB or (scheme != "ray" and host and port and _speaks_http(host, port)):
        raise AddressError(
            f"RAY_ADDRESS={address} is the address of the dashboard; a run needs the cluster's, such as "
            f"{host or 'HOST'}:{CLUSTER_PORT} or ray://{host or 'HOST'}:{CLIENT_PORT}, or `cleanplate submit`"
        )
    if host and port and _refuses(host, port):
        raise NoAnswerError(f"RAY_ADDRESS={address}: nothing answers there; is the cluster up?")


def check_job_server() -> None:
    """Raise AddressError if the address for `submit` is not one of a job server.

    RAY_API_SERVER_ADDRESS takes precedence, as in Ray.
    """
    name = "RAY_API_SERVER_ADDRESS" if os.environ.get("RAY_API_SERVER_ADDRESS") else "RAY_ADDRESS"
    address = os.environ.get(name, "")
    if not address:
        raise AddressError("RAY_ADDRESS must name the cluster's job server, such as http://127.0.0.1:8265")
    scheme, host, port = _parts(address)
    if scheme not in _WEB:
        server = f"http://{host or 'HOST'}:{port if port and _speaks_http(host, port) else JOB_SERVER_PORT}"
        missing = "has no scheme" if not scheme else f"is no address of a job server ({scheme}://)"
        raise AddressError(f"{name}={address} {missing}; `submit` needs the dashboard's address, such as {server}")
    if scheme == "http" and host and port:
        if _refuses(host, port):
            raise NoAnswerError(f"{name}={address}: nothing answers there; is the dashboard up?")
        if _speaks_http(host, port) is False:
            raise AddressError(
                f"{name}={address} answers, but is no dashboard; `submit` needs its address, such as "
                f"http://{host}:{JOB_SERVER_PORT}"
            )


def _parts(address: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address; empty or None for what it does not name."""
    scheme, separator, rest = address.partition("://")
    try:
        parts = urlsplit(f"//{rest if separator else address}")
        port = parts.port
    except ValueError:
        return (scheme.lower() if separator else "", "", None)
    if not separator and port is None:
        return "", "", None  # `auto`, `local`, or a name that Ray knows
    scheme = scheme.lower() if separator else ""
    return scheme, parts.hostname or "", port or {"http": 80, "https": 443, "ray": CLIENT_PORT}.get(scheme)


def _refuses(host: str, port: int) -> bool:
    """Whether nobody listens there, or no such host is known."""
    try:
        socket.create_connection((host, port), PROBE_SECONDS).close()
    except (ConnectionRefusedError, socket.gaierror):
        return True
    except OSError:
        return False
    return False


def _speaks_http(host: str, port: int) -> bool | None:
    """Whether a web server answers there; None if nobody answers in time."""
    request = f"GET /api/version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, port), PROBE_SECONDS) as connection:
            connection.settimeout(PROBE_SECONDS)
            connection.sendall(request.encode())
            answer = connection.recv(8)
    except TimeoutError:
        return None
    except OSError:
        return False
    return answer.startswith(b"HTTP/1")
