"""Nobody sees half a file, and what a killed writer leaves is taken over by the next one."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from operators.storage import files as storage
from operators.storage.partial_file import partial_file, partial_path

KILLED = """
import os, signal, sys
from pathlib import Path
from operators.storage.partial_file import partial_file
with partial_file(Path(sys.argv[1])) as partial:
    partial.file.write(b"half")
    partial.file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_leaves_is_gone_when_the_file_is_written(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"half"]
    storage.write(str(target), b"whole")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.png": b"whole"}


def test_two_writers_of_one_file_do_not_share_a_partial_file(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    with partial_file(target) as first, partial_file(target) as second:
        assert first.path != second.path
        first.file.write(b"first")
        second.file.write(b"second")
        second.file.flush()
        assert second.path.read_bytes() == b"second"
    assert not list(tmp_path.iterdir())


def test_a_partial_file_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    with partial_path(target).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"other")
        other.flush()
        storage.write(str(target), b"mine")
        assert partial_path(target).read_bytes() == b"other"
    assert target.read_bytes() == b"mine"


def test_a_delivered_file_is_not_emptied_by_way_of_its_second_name(tmp_path: Path) -> None:
    target, kept = tmp_path / "a.png", tmp_path / "kept"
    target.write_bytes(b"delivered")
    os.link(target, partial_path(target))
    os.link(target, kept)
    storage.write(str(target), b"new")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.png": b"new", "kept": b"delivered"}


def test_the_longest_name_has_a_partial_file_too(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".png")
    storage.write(str(target), b"bytes")
    assert [file.name for file in tmp_path.iterdir()] == [target.name]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), partial_file(tmp_path / "a.png"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_writer_that_is_done_does_not_remove_what_the_next_one_has_begun(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    with ExitStack() as ends_first:
        first = ends_first.enter_context(partial_file(target))
        first.path.replace(target)
        with partial_file(target) as second:
            assert second.path == first.path
            ends_first.close()
            second.file.write(b"second")
            second.file.flush()
            second.path.replace(target)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.png": b"second"}
