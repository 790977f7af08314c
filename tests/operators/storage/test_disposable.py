"""Temporary folders go with their process, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from operators.storage.disposable import temporary_folder

PROGRAM = """
import sys, time
from operators.storage.disposable import disposable_folder
folder = disposable_folder("cleanplate-test-")
(folder / "deep").mkdir()
(folder / "deep" / "file").write_text("x")
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None], ids=["killed", "terminated", "ended"])
def test_a_folder_is_removed_when_its_process_has_ended(number: signal.Signals | None) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        folder = Path(process.stdout.readline().strip())
        assert (folder / "deep" / "file").exists()
        if number is None:
            process.stdin.close()
        else:
            process.send_signal(number)
    end = time.monotonic() + 10
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not folder.exists()


def test_a_folder_of_a_block_is_removed_at_its_end() -> None:
    with temporary_folder("cleanplate-test-") as folder:
        (folder / "file").write_text("x")
    assert not folder.exists()
