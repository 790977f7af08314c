"""The kernel ends a process that exceeds a deadline, even where Python cannot run."""

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import ctypes, sys, threading, time
from operators.rows.deadline import deadline, keep_deadlines
keep_deadlines({"slow": 30.0, "quick": 0.5}.get)
"""
HANG_WITH_THE_LOCK = "ctypes.PyDLL(None).sleep(60)"


def run(body):
    start = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", PROGRAM + body], capture_output=True, text=True, timeout=50, check=False)
    return ended.returncode, ended.stderr, time.monotonic() - start


@pytest.mark.parametrize("hang", ["time.sleep(60)", HANG_WITH_THE_LOCK], ids=["sleeps", "holds the interpreter's lock"])
def test_a_hang_is_ended_and_its_stack_is_written(hang):
    code, errors, seconds = run(f"with deadline('quick'):\n    {hang}")
    assert code == -signal.SIGALRM
    assert 'File "<string>", line 6 in <module>' in errors
    assert seconds < 25


def test_the_earliest_of_nested_deadlines_applies_and_the_later_one_afterwards():
    body = (
        "with deadline('slow'):\n    with deadline('quick'): time.sleep(0.1)\n    time.sleep(1)\nprint('well', file=sys.stderr)"
    )
    assert run(body)[:2] == (0, "well\n")


def test_a_hang_in_another_thread_is_ended_too():
    body = (
        "def hang():\n    with deadline('quick'): time.sleep(60)\n"
        "threading.Thread(target=hang, daemon=True).start()\nwith deadline('slow'): time.sleep(20)"
    )
    assert run(body)[0] == -signal.SIGALRM


def test_several_images_may_take_several_times_as_long():
    assert run("with deadline('quick', images=4): time.sleep(1)")[:2] == (0, "")


def test_after_the_work_nothing_is_ended():
    assert run("with deadline('quick'): pass\ntime.sleep(1)")[:2] == (0, "")


def test_without_deadlines_nothing_is_ended():
    assert run("keep_deadlines(None)\nwith deadline('quick'): time.sleep(1)")[:2] == (0, "")


def test_a_decoding_that_hangs_is_ended_in_a_process_that_can_be_lost():
    setup = "from operators.rows.deadline import decoding_deadline\n"
    hang = f"with decoding_deadline(0.5):\n    {HANG_WITH_THE_LOCK}"
    assert run(setup + hang)[0] == -signal.SIGALRM


def test_a_process_of_the_user_is_never_ended():
    setup = "from operators.rows.deadline import decoding_deadline\nkeep_deadlines(None)\n"
    assert run(setup + "with decoding_deadline(0.3): time.sleep(1)")[:2] == (0, "")
