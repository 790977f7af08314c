"""A real HTTP front before an S3 server, that passes requests on and misbehaves as stores and
networks do.
"""

from __future__ import annotations

import http.client
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, bytes]
SLOW_DOWN: Answer = (
    503,
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>',
)
TOO_MANY: Answer = (429, b"")
BROKEN: Answer = (500, b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We failed.</Message></Error>')
HANG_UP: Answer = (0, b"")
"""The connection is closed without a word."""
UNHEARD: Answer = (2, b"")
"""The request is passed on, and the connection closed in the answer's place."""
HALF: Answer = (1, b"")
"""The server's answer is passed on, and broken off in its middle."""


@dataclass
class Front:
    """What the front does: `misbehave` is asked before each request and gives an answer of its
    own, or None to pass it on.
    """

    server: str
    port: int = 0
    misbehave: Callable[[str, str], Answer | None] = lambda method, path: None
    delay: float = 0.0
    """Seconds before each answer, as to a store that is far away."""
    requests: list[tuple[float, str, str]] = field(default_factory=list)
    """When each request came, its method and its path."""
    received: int = 0
    """Bytes of the requests' bodies."""
    at_once: int = 0
    most_at_once: int = 0
    """The most requests that waited for their answers at the same time."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def first(self, times: int, answer: Answer, method: str = "") -> None:
        """Give an answer to the next requests (of one method, if it is named), and pass on those
        after them.
        """
        left = [times]

        def misbehave(asked: str, path: str) -> Answer | None:
            if left[0] and (not method or asked == method):
                left[0] -= 1
                return answer
            return None

        self.misbehave = misbehave

    def seen(self, method: str) -> list[str]:
        """The paths of all requests of a method."""
        return [path for _, asked, path in self.requests if asked == method]


def _handler(front: Front) -> type[BaseHTTPRequestHandler]:
    address = urllib.parse.urlsplit(front.server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            front.received += len(body)
            front.requests.append((time.monotonic(), self.command, self.path))
            with front.lock:
                front.at_once += 1
                front.most_at_once = max(front.most_at_once, front.at_once)
            time.sleep(front.delay)
            with front.lock:
                front.at_once -= 1
            answer = front.misbehave(self.command, self.path)
            if answer == HANG_UP:
                self.close_connection = True
                return
            if answer is not None and answer not in (HALF, UNHEARD):
                self.answer(answer[0], {"Content-Type": "application/xml"}, answer[1], len(answer[1]))
                return
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
                connection.request(self.command, self.path, body or None, headers)
                response = connection.getresponse()
                data = response.read()
            finally:
                connection.close()
            if answer == UNHEARD:
                self.close_connection = True
                return
            kept = {
                name: value
                for name, value in response.getheaders()
                if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server")
            }
            length = int(response.getheader("Content-Length") or len(data)) if self.command == "HEAD" else len(data)
            if answer == HALF:
                data, self.close_connection = data[: len(data) // 2], True
            self.answer(response.status, kept, data, length)

        def answer(self, status: int, headers: dict[str, str], data: bytes, length: int) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    return Handler


@contextmanager
def front_of(server: str) -> Iterator[Front]:
    """A front on a free port of 127.0.0.1 before the server at a URL."""
    front = Front(server)
    http_server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(front))
    http_server.daemon_threads = True
    front.port = http_server.server_address[1]
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield front
    finally:
        http_server.shutdown()
        http_server.server_close()
        thread.join()
