"""Models are pulled from a hub, by the hub's client from a local server that speaks its protocol.

Several processes pull at once, and one is killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[3]
MODEL, COMMIT = "owner/tiny", "0123456789abcdef0123456789abcdef01234567"
UNET = "unet/diffusion_pytorch_model.safetensors"
Folder = Callable[..., Path]
Sums = Callable[[Path], dict[str, str]]

LOCATE = """
import sys
from operators.rows.failure import RunError
from operators.models.registry import fetch_weights, resolve
from pathlib import Path
try:
    print(fetch_weights(resolve(sys.argv[1], Path(sys.argv[2]))))
except RunError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@dataclass
class Hub:
    """One model behind the routes that huggingface_hub requests.

    The file named `stall` stops after its first half until `released` is set.
    """

    folder: Path
    downloads: Counter[str] = field(default_factory=Counter)
    refusal: tuple[int, str] | None = None
    lies: dict[str, str] = field(default_factory=dict)
    stall: str = ""
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def names(self) -> list[str]:
        return [path.relative_to(self.folder).as_posix() for path in sorted(self.folder.rglob("*")) if path.is_file()]

    def entry(self, name: str) -> dict[str, object]:
        data = (self.folder / name).read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        if not name.endswith((".safetensors", ".bin", ".ckpt")):
            return {"size": len(data), "oid": blob}
        sha256 = self.lies.get(name, hashlib.sha256(data).hexdigest())
        return {"size": len(data), "oid": blob, "lfs": {"oid": sha256, "size": len(data), "pointerSize": 130}}


class Routes(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        resolved = f"/{MODEL}/resolve/{COMMIT}/"
        if self.hub.refusal:
            status, kind = self.hub.refusal
            self.answer(b"{}", {"X-Error-Code": kind, "X-Error-Message": kind}, status)
        elif path.startswith(resolved):
            self.file(path.removeprefix(resolved))
        elif path.startswith(f"/api/models/{MODEL}/tree/"):
            self.json([{"type": "file", "path": name, **self.hub.entry(name)} for name in self.hub.names()])
        elif path.startswith(f"/api/models/{MODEL}"):
            siblings = []
            for name in self.hub.names():
                entry = self.hub.entry(name)
                lfs = entry.pop("lfs", None)
                part = {"lfs": {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": 130}} if lfs else {}
                siblings.append({"rfilename": name, "size": entry["size"], "blobId": entry["oid"], **part})
            self.json({"_id": "1", "id": MODEL, "modelId": MODEL, "sha": COMMIT, "siblings": siblings})
        else:
            self.answer(b"{}", {"X-Error-Code": "RepoNotFound"}, 404)

    def file(self, name: str) -> None:
        data, entry = (self.hub.folder / name).read_bytes(), self.hub.entry(name)
        lfs = entry.get("lfs")
        etag = lfs["oid"] if isinstance(lfs, dict) else entry["oid"]
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.command == "GET":
            self.hub.downloads[name] += 1
        self.answer(data[start:], headers, 206 if start else 200, halt=name == self.hub.stall and self.command == "GET")

    def json(self, content: object) -> None:
        self.answer(json.dumps(content).encode(), {"Content-Type": "application/json"})

    def answer(self, data: bytes, headers: dict[str, str], status: int = 200, halt: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(OSError):
            if halt:
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.hub.stalled.set()
                self.hub.released.wait(60)
                data = data[len(data) // 2 :]
            self.wfile.write(data)


@pytest.fixture()
def hub(model_folder: Folder, tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(model_folder(tmp_path / "hub"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Routes,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hub
    hub.released.set()
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Machine:
    """A machine with its own cache and cards, whose processes request the model `tiny`."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def card(self, **fields: object) -> None:
        """Write the model's card."""
        entry = {"revision": COMMIT, "family": "latent_diffusion", "licence": "MIT", "source": MODEL, **fields}
        (self.folder / "tiny.yaml").write_text(json.dumps({"alias": "tiny", "revisions": [entry]}))

    def start(self, endpoint: str, **environment: str) -> subprocess.Popen[str]:
        if not (self.folder / "tiny.yaml").exists():
            self.card()
        settings = {"CLEANPLATE_CACHE": str(self.cache), "HF_HOME": str(self.folder / "hf"), "HF_ENDPOINT": endpoint}
        settings |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
        return subprocess.Popen(
            [sys.executable, "-c", LOCATE, "tiny", str(self.folder)],
            cwd=ROOT,
            env=os.environ | settings | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def locate(self, endpoint: str, **environment: str) -> tuple[int, str]:
        """Pull the model; return the exit code, and the folder or the error."""
        return self.wait(self.start(endpoint, **environment))

    @staticmethod
    def wait(process: subprocess.Popen[str]) -> tuple[int, str]:
        out, err = process.communicate(timeout=100)
        assert "Traceback" not in err
        return process.returncode, out.strip()


@pytest.fixture()
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "machine").mkdir()
    return Machine(tmp_path / "machine")


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_a_model_is_pulled_from_the_hub_with_the_files_that_a_pipeline_loads(hub: Hub, machine: Machine, sums: Sums) -> None:
    code, folder = machine.locate(hub.url)
    assert code == 0, folder
    got = sums(Path(folder))
    assert got == {name: sums(hub.folder)[name] for name in got}
    assert len(got) == 8
    assert set(hub.downloads.values()) == {1}
    assert set(hub.downloads) == set(got)


def test_a_pulled_model_no_longer_needs_the_hub(hub: Hub, machine: Machine) -> None:
    first = machine.locate(hub.url)
    assert machine.locate(closed_port()) == first
    assert machine.locate(hub.url, HF_HUB_OFFLINE="1") == first


def test_processes_that_pull_at_once_download_once(hub: Hub, machine: Machine) -> None:
    hub.stall = UNET
    processes = [machine.start(hub.url) for _ in range(4)]
    assert hub.stalled.wait(60)
    time.sleep(1)
    hub.released.set()
    results = [machine.wait(process) for process in processes]
    assert len(set(results)) == 1
    assert results[0][0] == 0, results[0]
    assert set(hub.downloads.values()) == {1}


def test_a_killed_pull_leaves_no_model_and_the_next_pull_completes_it(hub: Hub, machine: Machine, sums: Sums) -> None:
    hub.stall = UNET
    process = machine.start(hub.url)
    assert hub.stalled.wait(60)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    left = {path.suffix for path in machine.cache.iterdir()}
    assert left == {".lock", ".partial"}
    hub.stall = ""
    hub.released.set()
    code, folder = machine.locate(hub.url)
    assert code == 0, folder
    assert sums(Path(folder))[UNET] == sums(hub.folder)[UNET]
    assert len(sums(Path(folder))) == 8
    assert {path.suffix for path in machine.cache.iterdir()} == {".lock", ".json", ""}


def test_a_file_that_differs_from_the_card_is_named(hub: Hub, machine: Machine, sums: Sums) -> None:
    actual = sums(hub.folder)[UNET]
    machine.card(files={UNET: "0" * 64})
    code, message = machine.locate(hub.url)
    assert code == 2
    assert message == (f"model_checksum: tiny: {UNET} has SHA-256 {actual}, expected {'0' * 64} as its card lists")
    assert [path.suffix for path in machine.cache.iterdir()] == [".lock"]


def test_a_file_that_differs_from_the_hubs_checksum_is_named(hub: Hub, machine: Machine) -> None:
    hub.lies[UNET] = "1" * 64
    code, message = machine.locate(hub.url)
    assert code == 2
    assert message.startswith(f"model_checksum: tiny: {UNET} has SHA-256 ")
    assert message.endswith(f"expected {'1' * 64} as the hub says")


def test_a_missing_network_is_reported_in_one_line_that_says_what_to_do(machine: Machine) -> None:
    code, message = machine.locate(closed_port())
    assert code == 2
    assert message.startswith("model_unavailable: tiny (owner/tiny): the hub cannot be reached (")
    assert message.endswith("pull it where there is a network and pass its folder instead of the alias")
    assert "\n" not in message


def test_offline_is_honoured(hub: Hub, machine: Machine) -> None:
    code, message = machine.locate(hub.url, HF_HUB_OFFLINE="1")
    assert (code, message.partition(";")[0]) == (2, "model_unavailable: tiny (owner/tiny): HF_HUB_OFFLINE is set")
    assert not hub.downloads


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (403, "GatedRepo", "accept its licence on the hub and set HF_TOKEN"),
        (404, "RevisionNotFound", f"the hub has no revision {COMMIT}"),
        (401, "RepoNotFound", "the hub has no such model, or requires HF_TOKEN"),
    ],
)
def test_a_refusal_of_the_hub_is_reported_in_one_line(hub: Hub, machine: Machine, status: int, kind: str, reason: str) -> None:
    hub.refusal = (status, kind)
    code, message = machine.locate(hub.url)
    assert (code, message.partition(";")[0]) == (2, f"model_unavailable: tiny (owner/tiny): {reason}")


def test_a_listed_file_that_the_hub_lacks_is_named(hub: Hub, machine: Machine) -> None:
    machine.card(files={"unet/other.safetensors": "0" * 64})
    assert machine.locate(hub.url) == (2, "model_unavailable: tiny: owner/tiny has no unet/other.safetensors")
