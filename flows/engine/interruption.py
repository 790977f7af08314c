"""The error that ended a run, in one line, extracted from the errors in which Ray wraps it."""

from __future__ import annotations

import re

from operators.rows.failure import CODES, RunError

LONGEST = 300
"""Characters of the message that are kept."""
FAILURE = re.compile(r"^\s*(?:operators\.rows\.failure\.)?Failure: (\w+): (.*)$", re.MULTILINE)
"""A Failure in a traceback, with the module path of its class."""
ERROR = re.compile(r"^\s*((?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt): .*)$", re.MULTILINE)
"""Any other error in a traceback."""


def run_error_from(error: Exception) -> RunError:
    """The RunError, exit code 3, for an error of Ray or of a worker.

    Its code is that of the Failure at the root, or run_interrupted if there is none. An error
    that crosses processes keeps its cause only as text: the tracebacks, innermost first.
    """
    text = str(error)
    for code, message in FAILURE.findall(text):
        if code in CODES:
            return RunError(code, message[:LONGEST], 3)
    lines = ERROR.findall(text) or [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return RunError("run_interrupted", lines[0][:LONGEST], 3)
