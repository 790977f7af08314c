"""What tests share: pictures with and without text, the command line, an S3 server, a Ray
instance, a finished run.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

BIN = Path(sys.executable).parent
LOCAL_CPUS = 8
"""Logical CPUs of the Ray instance that tests share; every shipped layout fits."""
MOST_SECONDS = 180
"""After this long a command is taken for hung: Ray waits in silence for CPUs that are not there.
"""

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@dataclass(frozen=True)
class Pictures:
    """Makes small pictures; the same arguments give the same pixels."""

    size: tuple[int, int] = (320, 240)

    def plain(self, seed: int = 0, size: tuple[int, int] | None = None) -> Image.Image:
        """A smooth slope of colours that holds nothing to find."""
        width, height = size or self.size
        down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        base = np.array([150 + 13 * (seed % 5), 190, 215 - 11 * (seed % 7)])
        pixels = base + 35 * across[:, :, None] * [1, -1, 0.5] + 20 * down[:, :, None] * [-0.5, 1, 1]
        return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))

    def photo(self, name: str = "chelsea", size: tuple[int, int] | None = None) -> Image.Image:
        """One of scikit-image's pictures, cut to the size from its middle."""
        picture = Image.fromarray(getattr(data, name)()).convert("RGB")
        width, height = size or self.size
        scale = max(width / picture.width, height / picture.height)
        picture = picture.resize(
            (round(picture.width * scale + 0.5), round(picture.height * scale + 0.5)), Image.Resampling.BICUBIC
        )
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        return picture.crop((left, top, left + width, top + height))

    def written(self, picture: Image.Image, text: str = "CLEAN PLATE", points: int = 44) -> Image.Image:
        """The picture with large black text in its middle."""
        picture = picture.copy()
        font = ImageFont.load_default(points)
        black = {1: 0, 2: (0, 255), 3: (0, 0, 0), 4: (0, 0, 0, 255)}[len(picture.getbands())]
        place = (picture.width / 2, picture.height / 2)
        ImageDraw.Draw(picture).text(place, text, fill=black, font=font, anchor="mm")
        return picture

    def strip(self, seed: int, text: str | None = None) -> Image.Image:
        """A low, wide picture, which the detector reads fastest, with text unless it is None."""
        picture = self.plain(seed, (480, 64))
        return picture if text is None else self.written(picture, text, 40)

    def folder(self, root: Path) -> Path:
        """A folder of three levels: texts on two photos and on a smooth background, and a picture
        without text.
        """
        (root / "deep" / "er").mkdir(parents=True)
        self.written(self.photo("moon"), "MOON").save(root / "moon.png")
        self.written(self.photo("rocket"), "LAUNCH").save(root / "deep" / "rocket.jpg", quality=92)
        self.written(self.plain(1), "REMOVE ME").save(root / "deep" / "er" / "smooth.png")
        self.plain(3).save(root / "nothing.png")
        return root


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    return Pictures()


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """A picture as the bytes of a file in a format."""
    return encoded


@pytest.fixture(scope="session")
def index_rows() -> Callable[..., pa.Table]:
    """Files as the index rows that `Flow.run` starts from."""

    def rows(*files: Path) -> pa.Table:
        return pa.table(
            {
                "image_id": [hashlib.sha256(str(file).encode()).hexdigest()[:32] for file in files],
                "uri": [str(file) for file in files],
                "path": [file.name for file in files],
                "shard": pa.array([0] * len(files), pa.int32()),
                "size": [file.stat().st_size for file in files],
                "etag": ["1"] * len(files),
            }
        )

    return rows


@pytest.fixture(scope="session")
def sums() -> Callable[[Path], dict[str, str]]:
    """SHA-256 of every file under a folder by its relative path."""

    def of(folder: Path) -> dict[str, str]:
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    return of


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, what it printed, and whether it started Ray."""

    code: int
    out: str
    err: str
    used_ray: bool


@dataclass(frozen=True)
class Command:
    """Runs `cleanplate` as a user does, each time in a process and a Ray instance of its own."""

    def start(
        self, *arguments: object, ray_folder: str, environment: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(BIN / "cleanplate"), *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"RAY_TMPDIR": ray_folder, "COLUMNS": "200"} | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(
        self,
        *arguments: object,
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
        most_seconds: float = MOST_SECONDS,
    ) -> Ended:
        ray_folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
        process = self.start(*arguments, ray_folder=ray_folder, environment=environment, cwd=cwd)
        try:
            out, err = process.communicate(timeout=most_seconds)
            return Ended(process.returncode, out, err, bool(os.listdir(ray_folder)))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            shutil.rmtree(ray_folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cleanplate() -> Command:
    """The command line: `cleanplate("erase", source, dest)`."""
    return Command()


@dataclass(frozen=True)
class S3:
    """A running S3 server. The environment holds its owner's keys; a guest may only read the
    bucket `open`.
    """

    owner: dict[str, str]
    guest: dict[str, str]
    temporary: dict[str, str]
    """Keys whose rights `grant` changes; they begin with all of them."""
    process: int
    """The server's process, the leader of a group of its own."""
    settings: Path
    """The server's identities, which it reads again when it is told to."""

    def grant(self, *actions: str) -> None:
        """Give the temporary keys these rights, such as `Read` or `Write:bucket`, and no others."""
        content = json.loads(self.settings.read_text())
        (identity,) = [identity for identity in content["identities"] if identity["name"] == "temporary"]
        identity["actions"] = list(actions)
        self.settings.write_text(json.dumps(content))
        os.killpg(self.process, signal.SIGHUP)

    def stop(self) -> None:
        """Stop the server where it stands: connections are taken and nothing answers."""
        os.killpg(self.process, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a stopped server go on."""
        os.killpg(self.process, signal.SIGCONT)

    def files(self) -> object:
        import s3fs

        return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)


def free_ports(count: int) -> list[int]:
    """Free ports whose ten-thousand-higher neighbours, which the server takes for its own calls,
    are free too.
    """
    found: list[int] = []
    candidate = 20000 + os.getpid() % 5000
    while len(found) < count:
        candidate += 1
        try:
            for port in (candidate, candidate + 10000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        found.append(candidate)
    return found


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real S3 server (SeaweedFS) on 127.0.0.1, and the environment in which every S3 client
    finds it.
    """
    folder = tmp_path_factory.mktemp("s3")
    (folder / "data").mkdir()

    def identity(name: str, actions: list[str]) -> dict[str, object]:
        return {"name": name, "credentials": [{"accessKey": name, "secretKey": f"{name}-secret"}], "actions": actions}

    identities = [
        identity("owner", ["Admin", "Read", "List", "Tagging", "Write"]),
        identity("guest", ["Read:open", "List:open"]),
        identity("temporary", ["Read", "List", "Write"]),
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    port, master, volume, filer, admin = free_ports(5)
    command = [
        str(BIN / "weed"),
        "mini",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.port={port}",
        f"-s3.config={folder / 's3.json'}",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-master.port={master}",
        "-master.telemetry=false",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        f"-admin.port={admin}",
        "-admin.ui=false",
        "-webdav=false",
    ]
    keys = {
        name: {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": f"{name}-secret"} for name in ("owner", "guest", "temporary")
    }
    endpoint = f"http://127.0.0.1:{port}"
    settings = keys["owner"] | {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1"}
    before = {name: os.environ.get(name) for name in settings}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    os.environ.update(settings)
    try:
        _wait_for(endpoint, server, folder / "log")
        yield S3(keys["owner"], keys["guest"], keys["temporary"], server.pid, folder / "s3.json")
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_for(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    import s3fs

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            opener.open(endpoint, timeout=2)
        except urllib.error.HTTPError:
            break
        except OSError:
            time.sleep(0.1)
            continue
        break
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(Exception):
            files.mkdir("ready")
            files.pipe_file("ready/ready", b"1")
            return
        time.sleep(0.2)
    raise RuntimeError(f"the S3 server did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """One Ray instance for all runs of this process."""
    import ray

    from cluster.profile import Profile
    from flows.engine.session import connect
    from flows.flow import Flow

    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    before = os.environ.get("RAY_TMPDIR")
    os.environ["RAY_TMPDIR"] = folder
    try:
        connect(Flow(()), Profile(name="tests", placement="fused", local_cpus=LOCAL_CPUS, stages={}))
        yield
    finally:
        ray.shutdown()
        if before is None:
            os.environ.pop("RAY_TMPDIR")
        else:
            os.environ["RAY_TMPDIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Finished:
    """A run that has ended: where from, where to, and its summary."""

    source: Path
    dest: Path
    summary: object


@pytest.fixture(scope="session")
def finished(ray_here: None, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """`Pictures.folder` and one unreadable file, run through the ladder patchmatch, telea on two
    fused workers.
    """
    from cluster.profile import laptop
    from flows.engine.run import run
    from flows.erase_text import erase_text
    from flows.ladder import PRESETS, Fills

    root = tmp_path_factory.mktemp("finished")
    source = pictures.folder(root / "in")
    (source / "broken.jpg").write_bytes(b"these are words")
    summary = run(erase_text(Fills(PRESETS["quality"])), str(source), str(root / "out"), laptop().with_workers(2))
    return Finished(source, root / "out", summary)


def _model_folder(root: Path, fill: float = 0.5, variant: str = "", pipeline: str = "StableDiffusionInpaintPipeline") -> Path:
    """A folder in diffusers' format, with what such folders hold beside what a pipeline loads."""
    from safetensors.numpy import save_file

    components = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "scheduler": "DDIMScheduler"}
    index = {"_class_name": pipeline, "safety_checker": [None, None], "tokenizer": ["transformers", "CLIPTokenizer"]}
    index |= {name: ["diffusers", kind] for name, kind in components.items()}
    for name in (*components, "tokenizer"):
        (root / name).mkdir(parents=True)
    (root / "model_index.json").write_text(json.dumps(index))
    (root / "unet" / "config.json").write_text(json.dumps({"sample_size": 64}))
    (root / "vae" / "config.json").write_text(json.dumps({"block_out_channels": [8, 8, 8, 8]}))
    (root / "scheduler" / "scheduler_config.json").write_text("{}")
    (root / "tokenizer" / "vocab.json").write_text("{}")
    (root / "tokenizer" / "merges.txt").write_text("a b\n")
    for name in ("unet", "vae"):
        file = ".".join(filter(None, ["diffusion_pytorch_model", variant, "safetensors"]))
        save_file({"weight": np.full((64, 64), fill, np.float32), "bias": np.zeros(3, np.float32)}, root / name / file)
        (root / name / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (root / "README.md").write_text("# A model")
    (root / "everything.ckpt").write_bytes(b"a pickle")
    save_file({"weight": np.zeros(9, np.float32)}, root / "everything.safetensors")
    return root


@pytest.fixture(scope="session")
def model_folder() -> Callable[..., Path]:
    """Writes a small folder in diffusers' format; `fill` is the value of its weights."""
    return _model_folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of pulled models that is the tests' own, not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEANPLATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture()
def model_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of pulled models that is this test's own."""
    monkeypatch.setenv("CLEANPLATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in diffusers' layout whose autoencoder has random weights and halves the
    picture once.
    """
    import torch
    from diffusers import AutoencoderKL

    folder = tmp_path_factory.mktemp("tiny-model")
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    AutoencoderKL(block_out_channels=(8, 16), norm_num_groups=4, mid_block_add_attention=False, **blocks).save_pretrained(
        folder / "vae"
    )
    return folder
