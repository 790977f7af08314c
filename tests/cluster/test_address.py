"""Which address of a cluster is meant, told within five seconds."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster.address import AddressError, NoAnswerError, check_cluster_address, check_job_server


class Version(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    """The port of a web server, as the dashboard is one."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Version) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def other() -> Iterator[int]:
    """The port of a server that speaks no HTTP, as the cluster's own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"\0\0\x12\4\0\0\0\0\0")

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 5


def test_the_dashboard_is_no_cluster_with_and_without_a_scheme(web: int) -> None:
    for address in (f"http://127.0.0.1:{web}", f"127.0.0.1:{web}", f"localhost:{web}"):
        with pytest.raises(AddressError, match=r"is the address of the dashboard; a run needs .*:6379 or ray://.*:10001"):
            check_cluster_address(address)


def test_an_address_of_a_cluster_passes(other: int, silent: int) -> None:
    for address in (f"127.0.0.1:{other}", f"ray://127.0.0.1:{other}", f"127.0.0.1:{silent}", "auto", "local", ""):
        check_cluster_address(address)


def test_an_address_where_nobody_listens_is_told(closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (f"127.0.0.1:{closed}", f"ray://127.0.0.1:{closed}", "no-such-host.invalid:6379"):
        with pytest.raises(NoAnswerError, match="nothing answers there; is the cluster up"):
            check_cluster_address(address)
    monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{closed}")
    with pytest.raises(NoAnswerError, match="nothing answers there; is the dashboard up"):
        check_job_server()


def test_a_job_server_needs_a_scheme_and_the_line_names_it(web: int, closed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for address, advice in {
        f"localhost:{web}": f"has no scheme; .*such as http://localhost:{web}$",
        f"localhost:{closed}": "has no scheme; .*such as http://localhost:8265$",
        "auto": "has no scheme",
        f"ray://head:{closed}": r"is no address of a job server \(ray://\); .*such as http://head:8265$",
    }.items():
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(AddressError, match=advice):
            check_job_server()


def test_a_job_server_passes_and_the_cluster_under_its_scheme_does_not(
    web: int, other: int, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for port in (web, silent):
        monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{port}")
        check_job_server()
    monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{other}")
    with pytest.raises(AddressError, match="answers, but is no dashboard"):
        check_job_server()


def test_the_address_for_jobs_comes_before_the_cluster_s(web: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{web}")
    check_job_server()
