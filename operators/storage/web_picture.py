"""Fetch what a stranger names by a web address, without being led to a private place.

Only allowed places are asked. A name is resolved once, all its addresses must be public, and the
connection goes to exactly these addresses, so that a second answer of the name server changes
nothing. Each redirect is checked like the first address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

from operators.rows.failure import Failure
from operators.storage.allowed import is_allowed

MOST_REDIRECTS = 5
SECONDS = 30.0
REDIRECTS = (301, 302, 303, 307, 308)
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public_address(text: str) -> bool:
    """Whether an address is one of the public internet, also where one family wraps another."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in NAT64:
            inner = ipaddress.ip_address(int(address) & 0xFFFFFFFF)  # type: ignore[assignment]
        if inner is not None and not inner.is_global:
            return False
    return address.is_global and not address.is_multicast


async def fetch(url: str, places: Sequence[str], most_bytes: int) -> bytes:
    """The bytes at a web address that lies in one of the places.

    A private address is asked only if a place names it in figures. Raises Failure
    source_not_allowed, bytes_over_limit, key_missing, access_denied or storage_error.
    """
    import aiohttp

    connector = aiohttp.TCPConnector(resolver=_public_resolver(), use_dns_cache=False)
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
            for _ in range(MOST_REDIRECTS + 1):
                await asyncio.to_thread(_check, url, places)
                async with session.get(url, allow_redirects=False) as response:
                    if response.status in REDIRECTS:
                        url = urljoin(url, response.headers.get("Location", ""))
                        continue
                    return await _body(response, url, most_bytes)
    except Failure:
        raise
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, Failure):
                raise cause from None
            cause = getattr(cause, "os_error", None) or cause.__cause__ or cause.__context__
        raise Failure("storage_error", f"{_shown(url)}: {type(error).__name__}") from None
    raise Failure("source_not_allowed", f"{_shown(url)}: more than {MOST_REDIRECTS} redirects")


async def _body(response: Any, url: str, most_bytes: int) -> bytes:
    if response.status != 200:
        code = {404: "key_missing", 410: "key_missing", 401: "access_denied", 403: "access_denied"}.get(response.status)
        raise Failure(code or "storage_error", f"{_shown(url)} answers {response.status}")
    body = bytearray()
    async for piece in response.content.iter_chunked(1 << 16):
        body += piece
        if len(body) > most_bytes:
            raise Failure("bytes_over_limit", f"{_shown(url)} has more than {most_bytes} bytes")
    return bytes(body)


def _check(url: str, places: Sequence[str]) -> None:
    """Raise Failure source_not_allowed for an address that may not be asked."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise Failure("source_not_allowed", "no web address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Failure("source_not_allowed", "only http:// and https:// addresses are fetched")
    if not places or not is_allowed(url, places):
        raise Failure("source_not_allowed", f"{_shown(url)}: this service may not fetch from there")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not is_public_address(host) and host not in {urlsplit(place).hostname for place in places}:
        raise Failure("source_not_allowed", f"{host} is no public address")


def _public_resolver() -> Any:
    from aiohttp.abc import AbstractResolver

    class PublicResolver(AbstractResolver):
        """Resolves names of which every address is public."""

        async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[Any]:
            """The addresses to connect to. Raises Failure source_not_allowed."""
            loop = asyncio.get_running_loop()
            infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
            if not infos or not all(is_public_address(str(info[4][0])) for info in infos):
                raise Failure("source_not_allowed", f"{host} is no public address")
            return [
                {
                    "hostname": host,
                    "host": str(info[4][0]),
                    "port": port,
                    "family": info[0],
                    "proto": info[2],
                    "flags": socket.AI_NUMERICHOST,
                }
                for info in infos
            ]

        async def close(self) -> None:
            """Nothing to close."""

    return PublicResolver()


def _shown(url: str) -> str:
    """An address without its query, which may hold secrets."""
    return url.partition("?")[0][:200]
