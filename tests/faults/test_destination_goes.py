"""A destination that refuses writes ends the run with a clear line.

Nothing is half written, and the same command resumes the run.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from operators.ledger import ledger
from operators.storage import files as storage
from tests.faults.cheap_flow import MASKS
from tests.fixtures.cli import CommandResult
from tests.fixtures.pictures import encoded

if TYPE_CHECKING:
    from tests.fixtures.cli import Command
    from tests.fixtures.s3 import S3

IMAGES = 40
FLOW = Path(__file__).parent / "cheap_flow.py"
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of noise, about 20 kB each, and a mask for each of them."""
    root = tmp_path_factory.mktemp("source")
    (root / "in").mkdir()
    (root / "masks").mkdir()
    mask = np.zeros((80, 80), np.uint8)
    mask[30:40, 20:60] = 255
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 80, 3), np.uint8)
        (root / "in" / f"{number:02d}.png").write_bytes(encoded(Image.fromarray(pixels), "PNG"))
        (root / "masks" / f"{number:02d}.png").write_bytes(encoded(Image.fromarray(mask), "PNG"))
    return root


@pytest.fixture
def run(cleanplate: Command, source: Path) -> Callable[..., CommandResult]:
    def of(dest: object, **environment: str) -> CommandResult:
        return cleanplate(
            *("run", f"{FLOW}:flow", source / "in", dest, "--workers", 1),
            environment={MASKS: str(source / "masks"), **environment},
            most_seconds=400,
        )

    return of


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small disk with the given options; a second call remounts it with new ones."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    folder, mounted = tmp_path / "disk", False
    folder.mkdir()

    def with_options(options: str) -> Path:
        nonlocal mounted
        options = f"remount,{options}" if mounted else options
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )
        if mount.returncode:
            pytest.skip(f"no disk can be mounted here: {mount.stderr.strip()}")
        mounted = True
        return folder

    yield with_options
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def assert_clear_end(ended: CommandResult, code: str) -> None:
    """Assert exit code 3 and a last line that names the fault."""
    assert (ended.code, ended.out) == (3, ""), ended
    assert ended.err.splitlines()[-1].startswith(f"error: {code}: "), ended.err
    assert "Traceback" not in ended.err


def whole(dest: str) -> set[str]:
    """Names of a destination's images, after opening every file in it."""
    names = storage.list_uris(dest)
    assert not [name for name in names if name.endswith(".partial")]
    for name in names:
        data = storage.read(name)
        if name.endswith(".png"):
            Image.open(io.BytesIO(data)).load()
        if name.endswith(".parquet"):
            pq.read_table(io.BytesIO(data))
    return {name.rpartition("/")[2] for name in names if name.endswith(".png")}


def assert_finished(dest: str) -> None:
    """Assert that every image is edited, recorded once and delivered."""
    rows = ledger.read(dest)
    assert rows["verdict"].to_pylist() == ["edited"] * IMAGES
    assert len(set(rows["path"].to_pylist())) == IMAGES
    assert len(whole(dest)) == IMAGES


def test_a_full_disk(disk: Callable[[str], Path], run: Callable[..., CommandResult]) -> None:
    dest = disk("size=600k") / "out"
    assert_clear_end(run(dest), "disk_full")
    before = whole(str(dest))
    assert 0 < len(before) < IMAGES
    disk("size=64m")
    ended = run(dest)
    assert ended.code == 0, ended.err
    assert_finished(str(dest))


def test_a_read_only_destination(disk: Callable[[str], Path], run: Callable[..., CommandResult]) -> None:
    dest = disk("size=64m,ro") / "out"
    ended = run(dest)
    assert_clear_end(ended, "access_denied")
    assert not ended.used_ray
    disk("size=64m,rw")
    assert run(dest).code == 0
    assert_finished(str(dest))


def test_credentials_that_are_revoked_during_the_run(
    s3: S3, cleanplate: Command, source: Path, run: Callable[..., CommandResult]
) -> None:
    files: Any = s3.files()
    files.mkdir("revoked")
    ray_folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    environment = {MASKS: str(source / "masks"), **s3.temporary}
    driver = cleanplate.start(
        *("run", f"{FLOW}:flow", source / "in", "s3://revoked/out", "--workers", 1),
        ray_folder=ray_folder,
        environment=environment,
    )
    try:
        deadline = time.monotonic() + 400
        while len(files.find("revoked/out/images")) < 3:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        s3.grant("Read:elsewhere")
        out, err = driver.communicate(timeout=400)
        assert_clear_end(CommandResult(driver.returncode, out, err, True), "access_denied")
        assert 3 <= len(whole("s3://revoked/out")) < IMAGES
    finally:
        s3.grant("Read", "List", "Write")
        driver.kill()
        shutil.rmtree(ray_folder, ignore_errors=True)
    ended = run("s3://revoked/out", **s3.temporary)
    assert ended.code == 0, ended.err
    assert_finished("s3://revoked/out")
