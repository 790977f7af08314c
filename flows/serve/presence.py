"""A request is worked only while its client waits for the answer, and as long as it may take."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

Result = TypeVar("Result")


class ClientGone(Exception):
    """The client has closed its connection, so nobody would read an answer."""


async def while_connected(request: Request, work: Coroutine[Any, Any, Result], seconds: float | None = None) -> Result:
    """The result of the work, which is cancelled if the client of a read request goes away.

    It is also cancelled after `seconds`, if they are given. Raises ClientGone, TimeoutError, and
    what the work raises.
    """
    worked, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnection(request))
    try:
        await asyncio.wait({worked, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if worked.done():
            return worked.result()
        raise ClientGone if gone.done() else TimeoutError
    finally:
        worked.cancel()
        gone.cancel()


async def _disconnection(request: Request) -> None:
    """Return when the client has gone away; before that, the server has nothing more to say."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
