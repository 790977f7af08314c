"""Web requests that a public server cannot send on to a private address.

A manifest names public hosts; without this, one of them could answer with a redirect to a service
inside the network, which the run would read in its stead.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urljoin, urlsplit

from operators.rows.failure import Failure


def is_public(host: str) -> bool:
    """Whether every address of a host is one of the public internet; not if it has none."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ipaddress.ip_address(address.partition("%")[0]).is_global for address in found)


async def open_session(**settings: Any) -> Any:
    """The client session for fsspec's web storage.

    A redirect to another host must lead to a public address; otherwise the request raises Failure
    source_not_allowed.
    """
    import aiohttp

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_check_redirect)
    return aiohttp.ClientSession(trace_configs=[tracing], **settings)


async def _check_redirect(_session: Any, _context: Any, redirect: Any) -> None:
    before = str(redirect.url)
    location = urljoin(before, redirect.response.headers.get("Location", ""))
    host = urlsplit(location).hostname or ""
    if host != urlsplit(before).hostname and not is_public(host):
        raise Failure("source_not_allowed", f"{before} leads to {location}, which is no public address")
