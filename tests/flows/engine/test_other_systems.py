"""One picture in process needs nothing that only Linux has.

The system is Linux all the same; it is only made to look like macOS, as far as Python can see it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fixtures.cli import Command
    from tests.fixtures.pictures import Pictures

LIKE_MACOS = '''
"""Imported at the start of every Python process: takes away what macOS does not have."""
import ctypes, multiprocessing, os, resource, sys, sysconfig, urllib.request, zoneinfo

import cv2, jpeglib, mozjpeg_lossless_optimization, numpy, onnxruntime, psutil, pyarrow
from PIL import Image

LINUX_ONLY = ("sched_getaffinity", "sched_setaffinity", "memfd_create", "pidfd_open")
sysconfig.get_config_vars()
for name in LINUX_ONLY:
    delattr(os, name)
sys.platform = "darwin"
stat, CDLL = os.stat, ctypes.CDLL


def without_proc(path, *arguments, **options):
    if str(path).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return stat(path, *arguments, **options)


def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/proc"):
        if f"{os.sep}psutil{os.sep}" not in sys._getframe(1).f_code.co_filename:
            raise FileNotFoundError(2, "No such file or directory", arguments[0])
    if event == "ctypes.dlsym" and arguments[1] == "prctl":
        raise AttributeError("prctl")


os.stat = without_proc
sys.addaudithook(refuse)
with open(os.environ["STARTED"], "a") as started:
    started.write(f"{os.getpid()}\\n")
'''
"""Only psutil may still read `/proc`, because it supports each system by itself."""

IN_PYTHON = """
import sys
from pathlib import Path

import cleanplate

edit = cleanplate.erase(sys.argv[1], preset="fast")
Path(sys.argv[2]).write_bytes(edit.data)
print(edit.verdict)
"""


@pytest.fixture
def like_macos(tmp_path: Path) -> dict[str, str]:
    """The environment of processes that find neither `sched_getaffinity`, `/proc` nor `prctl`."""
    folder = tmp_path / "like-macos"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(LIKE_MACOS)
    (tmp_path / "started").touch()
    return {"PYTHONPATH": str(folder), "STARTED": str(tmp_path / "started")}


@pytest.fixture
def poster(tmp_path: Path, pictures: Pictures) -> Path:
    path = tmp_path / "poster.jpg"
    pictures.strip(1, "CLEAN PLATE").save(path, quality=92)
    return path


def test_a_run_over_one_picture_delivers_what_it_delivers_on_linux(
    like_macos: dict[str, str], poster: Path, tmp_path: Path, cleanplate: Command
) -> None:
    ended = cleanplate("erase", poster, tmp_path / "out", "--preset", "fast", environment=like_macos, most_seconds=400)
    assert ended.code == 0, ended.err
    assert "1 edited" in ended.out
    assert not ended.used_ray
    assert len(set(Path(like_macos["STARTED"]).read_text().split())) >= 2, "the worker is a process of its own"
    cleanplate("erase", poster, tmp_path / "linux", "--preset", "fast", most_seconds=400)
    delivered, on_linux = (tmp_path / dest / "images" / "poster.jpg" for dest in ("out", "linux"))
    assert delivered.read_bytes() == on_linux.read_bytes() != poster.read_bytes()


def test_a_picture_in_python_is_edited(like_macos: dict[str, str], poster: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", IN_PYTHON, str(poster), str(tmp_path / "clean.jpg")]
    ended = subprocess.run(command, env=os.environ | like_macos, capture_output=True, text=True, timeout=400, check=False)
    assert (ended.returncode, ended.stdout) == (0, "edited\n"), ended.stderr
    assert (tmp_path / "clean.jpg").read_bytes() != poster.read_bytes()
