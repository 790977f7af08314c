"""End a command in an orderly way when a signal asks for it: one line, and exit code 3."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

ENDED_EARLY = 3
"""The exit code of a command that ended early and can go on."""
_signals_received: list[int] = []


def catch_signals() -> None:
    """Let SIGTERM and SIGINT raise KeyboardInterrupt; a second one ends the process at once.

    A signal that the process was started to ignore stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _signals_received.append(number)
    if len(_signals_received) > 1:
        leave(ENDED_EARLY)
    raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Whether a signal has ended the command."""
    return bool(_signals_received)


def leave(code: int) -> NoReturn:
    """End the process without running what libraries do at the end of Python.

    Ray's threads go on reading until then, start it again, or abort the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
