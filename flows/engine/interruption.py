"""What ended a run, in one line: the failure itself, dug out of what the engine wraps round it."""

from __future__ import annotations

import re

from operators.rows.failure import CODES, RunError

LONGEST = 300
FAILURE = re.compile(r"^\s*(?:operators\.rows\.failure\.)?Failure: (\w+): (.*)$", re.MULTILINE)
ERROR = re.compile(r"^\s*((?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt): .*)$", re.MULTILINE)


def run_error_from(error: Exception) -> RunError:
    """The end of a run by an error of the engine or of a worker: with the code of the failure at
    its root, if there is one.

    An error that crosses processes keeps its cause as text only: the tracebacks, the innermost
    first.
    """
    text = str(error)
    for code, message in FAILURE.findall(text):
        if code in CODES:
            return RunError(code, message[:LONGEST], 3)
    told = ERROR.findall(text) or [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return RunError("run_interrupted", told[0][:LONGEST], 3)
