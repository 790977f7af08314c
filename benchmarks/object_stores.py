"""Measures clients of S3 on a real server: ours (s3fs), obstore and pyarrow.

    python -m benchmarks.object_stores [--small 200] [--large 8] [--milliseconds 0 20]

A SeaweedFS on this machine answers, through a relay that delays each direction by half of so many
milliseconds. Each client is a fresh process with eight threads, as a worker has. The processor time
is that of the client alone. Last, each client is asked for what a run relies on: any key, a put
that fails if the object exists, a copy on the server, and an error that tells a missing object from
a denied one. obstore is no dependency: `pip install obstore`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
THREADS = 8
SMALL, LARGE = 64 * 1024, 16 * 1024**2
"""Bytes of the objects."""
BUCKET = "measured"


@dataclass(frozen=True)
class Client:
    """A client of one bucket; `create` and `copy` are None if it has no such call."""

    put: Callable[[str, bytes], Any]
    get: Callable[[str], Any]
    create: Callable[[str, bytes], Any] | None
    copy: Callable[[str, str], Any] | None


def ours(endpoint: str) -> Client:
    """The storage rooms of cleanplate, which use s3fs."""
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    from operators.storage import files

    def uri(key: str) -> str:
        return f"s3://{BUCKET}/{key}"

    return Client(
        lambda key, data: files.write(uri(key), data),
        lambda key: files.read(uri(key)),
        lambda key, data: None if files.create(uri(key), data) else _refuse(key),
        lambda key, target: files.copy(uri(key), uri(target)),
    )


def _refuse(key: str) -> None:
    raise FileExistsError(key)


def obstore(endpoint: str) -> Client:
    """The Rust crate object_store."""
    import obstore as library
    from obstore.store import S3Store

    store = S3Store(
        BUCKET, endpoint=endpoint, region="us-east-1", virtual_hosted_style_request=False, client_options={"allow_http": True}
    )
    return Client(
        lambda key, data: library.put(store, key, data),
        lambda key: bytes(library.get(store, key).bytes()),
        lambda key, data: library.put(store, key, data, mode="create"),
        lambda key, target: library.copy(store, key, target),
    )


def pyarrow(endpoint: str) -> Client:
    """Arrow's own S3, from the C++ SDK of AWS."""
    from pyarrow import fs

    files = fs.S3FileSystem(endpoint_override=endpoint, region="us-east-1")

    def put(key: str, data: bytes) -> None:
        with files.open_output_stream(f"{BUCKET}/{key}") as stream:
            stream.write(data)

    def get(key: str) -> bytes:
        with files.open_input_file(f"{BUCKET}/{key}") as stream:
            data: bytes = stream.read()
            return data

    return Client(put, get, None, lambda key, target: files.copy_file(f"{BUCKET}/{key}", f"{BUCKET}/{target}"))


CLIENTS: dict[str, Callable[[str], Client]] = {"s3fs": ours, "obstore": obstore, "pyarrow": pyarrow}


def measure(name: str, endpoint: str, size: int, count: int) -> dict[str, float]:
    """Requests a second, and milliseconds of processor time of one, for puts and gets."""
    client = CLIENTS[name](endpoint)
    data = os.urandom(size)
    keys = [f"{name}/{size}/{number}" for number in range(count)]
    figures = {}
    with ThreadPoolExecutor(THREADS) as pool:
        client.put("first", data)
        for kind, call in (("put", lambda key: client.put(key, data)), ("get", client.get)):
            processor, start = time.process_time(), time.perf_counter()
            list(pool.map(call, keys))
            figures[f"{kind}s_per_second"] = count / (time.perf_counter() - start)
            figures[f"{kind}_processor_milliseconds"] = 1000 * (time.process_time() - processor) / count
    return figures


def promises(name: str, endpoint: str) -> dict[str, str]:
    """What each client does where a run relies on it."""
    client = CLIENTS[name](endpoint)
    client.put("there", b"first")

    def outcome(call: Callable[..., Any] | None, *arguments: Any) -> str:
        if call is None:
            return "no such call"
        try:
            call(*arguments)
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0][:80]
        return "done"

    odd = "odd//a?versionId=3#b%41"
    return {
        "a key with // and ?": outcome(client.put, odd, b"odd"),
        "keys that this wrote": ", ".join(_keys(endpoint, "odd")),
        "create over an object": outcome(client.create, "there", b"second"),
        "the object is still": bytes(client.get("there")).decode(),
        "copy": outcome(client.copy, "there", "copied"),
        "get of a missing object": outcome(client.get, "missing"),
        "get with wrong keys": _denied(name, endpoint),
    }


def _keys(endpoint: str, prefix: str) -> list[str]:
    """The keys of a prefix as the protocol has them; they are removed."""
    from botocore.session import Session

    service = Session().create_client("s3", endpoint_url=endpoint)
    keys = [entry["Key"] for entry in service.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]
    for key in keys:
        service.delete_object(Bucket=BUCKET, Key=key)
    return keys


def _denied(name: str, endpoint: str) -> str:
    code = (
        f"from benchmarks.object_stores import CLIENTS\ntry:\n CLIENTS[{name!r}]({endpoint!r}).get('there')\n"
        "except Exception as error:\n print(f'{type(error).__name__}: {error}'.splitlines()[0][:80])"
    )
    keys = {"AWS_SECRET_ACCESS_KEY": "wrong"}
    ended = subprocess.run([sys.executable, "-c", code], env=os.environ | keys, capture_output=True, text=True, check=False)
    return ended.stdout.strip() or ended.stderr.strip().splitlines()[-1][:80]


async def _relay(port: int, target: int, seconds: float) -> None:
    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)

        async def deliver() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

        task = asyncio.create_task(deliver())
        with suppress(ConnectionError):
            while data := await reader.read(256 * 1024):
                await waiting.put((time.monotonic() + seconds, data))
        await waiting.put((time.monotonic() + seconds, b""))
        with suppress(ConnectionError):
            await task

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer))

    async with await asyncio.start_server(accept, "127.0.0.1", port) as server:
        await server.serve_forever()


def relay(port: int, target: int, seconds: float) -> None:
    """Pass connections to a port on to another one, each direction later by so many seconds."""
    asyncio.run(_relay(port, target, seconds))


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """A SeaweedFS; the port of its S3."""
    port = 28333
    command = [f"{Path(sys.executable).parent}/weed", "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-s3.port={port}", "-master.port=29333", "-volume.port=28080", "-filer.port=28888", "-admin.port=28646"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-master.telemetry=false", "-volume.max=1000"]
    os.environ.update(
        AWS_ACCESS_KEY_ID="owner", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1", NO_PROXY="127.0.0.1"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        import s3fs

        for _ in range(240):
            time.sleep(0.5)
            with suppress(Exception):
                files = s3fs.S3FileSystem(endpoint_url=f"http://127.0.0.1:{port}", skip_instance_cache=True)
                files.mkdir(BUCKET)
                files.pipe_file(f"{BUCKET}/probe", b"x")
                break
        yield port
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Print the figures and save them as JSON in `results`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=200)
    parser.add_argument("--large", type=int, default=8)
    parser.add_argument("--milliseconds", type=int, nargs="+", default=[0, 20])
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="cleanplate-stores-") as folder, server(Path(folder)) as port:
        for number, delay in enumerate(arguments.milliseconds):
            delayed = spawn.Process(target=relay, args=(28400 + number, port, delay / 2000), daemon=True)
            delayed.start()
            time.sleep(3)
            for size, count in ((SMALL, arguments.small), (LARGE, arguments.large)):
                for name in CLIENTS:
                    with spawn.Pool(1) as pool:
                        figures = pool.apply(measure, (name, f"http://127.0.0.1:{28400 + number}", size, count))
                    rows.append({"client": name, "milliseconds": delay, "bytes": size, **figures})
                    print(json.dumps(rows[-1]), flush=True)
            delayed.kill()
        kept = {}
        for name in CLIENTS:
            with spawn.Pool(1) as pool:
                kept[name] = pool.apply(promises, (name, f"http://127.0.0.1:{port}"))
            print(name, json.dumps(kept[name], indent=1), flush=True)
    content = {"load": os.getloadavg()[0], "rows": rows, "promises": kept}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "object_stores.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
