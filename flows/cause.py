"""What ended a run, in one line: the failure itself, dug out of what the engine wraps round it."""

from __future__ import annotations

from collections.abc import Iterator

from operators.failure import Failure, RunError

LONGEST = 300


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that it was raised from, also across processes, outermost first."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = (getattr(one, "cause", None), one.__cause__, one.__context__)
        waiting += [other for other in inner if isinstance(other, BaseException)]


def interrupted(error: BaseException) -> RunError:
    """The end of a run by an error of the engine or of a worker: with the code of the failure at its root, if there is one."""
    found = list(causes(error))
    for one in found:
        if isinstance(one, Failure):
            return RunError(one.code, one.message, 3)
    lines = [line.strip() for line in str(found[-1]).splitlines() if line.strip()]
    return RunError("run_interrupted", f"{type(found[-1]).__name__}: {lines[-1] if lines else ''}"[:LONGEST], 3)
