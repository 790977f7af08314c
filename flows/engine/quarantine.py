"""Images that may end their process, each worked alone in a process of its own, with bounded time
and memory.

A decoder that crashes, hangs or takes all memory ends the worker it runs in, and the engine would
give the same images to the next worker for ever. So a block whose first attempt did not end well
is worked here, image by image, in a child process whose end costs nothing: the image that was
worked when it ended is `fail_rows` for good, its neighbours are not harmed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

from cluster.bounds import Bounds
from flows.engine.memory_limit import computes_on_gpu, limit_memory
from operators.operator import Operator
from operators.rows.failure import Failure
from operators.rows.schema import SCHEMA, check_schema

OPENING_SECONDS = 1800.0
"""A child whose models are not loaded after this long is taken for hung."""
KILLS_BELIEVED = 2
"""So often in a row must the system kill a child at the same image to be believed to do so for
the image's memory.
"""
DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


@dataclass(frozen=True)
class ChildEnd:
    """The end of a child: in which operator, why, in a code and words; `again` where the image
    may be innocent.
    """

    operator: str
    code: str
    message: str
    again: bool = False


def work_isolated(operator: Operator, batch: pa.Table, bounds: Bounds) -> pa.Table:
    """The batch through the operator, each row in a child process; a row that ends its child
    becomes a failed one.

    Raises what the operator raises for a whole batch, and TimeoutError where a child's models
    cannot be loaded.
    """
    done = []
    with _children(operator, bounds) as child:
        for position in range(len(batch)):
            row = batch.slice(position, 1)
            if row["failure"].is_valid()[0].as_py():
                done.append(_passed_on(operator, row))
                continue
            for _ in range(KILLS_BELIEVED):
                result = child.work(row)
                if not (isinstance(result, ChildEnd) and result.again):
                    break
            done.append(_passed_on(operator, fail_rows(row, result)) if isinstance(result, ChildEnd) else result)
    return pa.concat_tables(done) if done else batch


def fail_rows(rows: pa.Table, ended: ChildEnd) -> pa.Table:
    """The rows with the end of their process as the failure of those that had none."""
    failure = {"operator": ended.operator, "code": Failure(ended.code, ended.message).code, "message": ended.message}
    failures = [earlier or failure for earlier in rows["failure"].to_pylist()]
    return rows.set_column(rows.schema.names.index("failure"), "failure", pa.array(failures, SCHEMA.field("failure").type))


def _passed_on(operator: Operator, row: pa.Table) -> pa.Table:
    """A failed row through the operator, which leaves it alone or records it."""
    result = operator.apply(row)
    check_schema(result, operator.name)
    return result


@contextmanager
def _children(operator: Operator, bounds: Bounds) -> Iterator[Child]:
    child = Child(operator, bounds)
    try:
        yield child
    finally:
        child.end()


class Child:
    """The process that works one row after the other; it is started when it is needed, and again
    after it ended.
    """

    def __init__(self, operator: Operator, bounds: Bounds) -> None:
        self._operator, self._bounds = operator, bounds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None

    def work(self, row: pa.Table) -> pa.Table | ChildEnd:
        """One row through all operators, or how it ended the process."""
        connection = self._connection or self._start()
        at = self._operator.name
        try:
            connection.send_bytes(_to_stream(row))
            while connection.poll(self._bounds.seconds_in(at)):
                kind, content = connection.recv()
                if kind == "at":
                    at = content
                elif kind == "raised":
                    self.end()
                    raise content
                else:
                    return _from_stream(content)
        except (EOFError, ConnectionError):
            return self._ended(at)
        self.end()
        return ChildEnd(at, "time_limit", f"longer than {self._bounds.seconds_in(at):g} s")

    def _start(self) -> Connection[Any, Any]:
        from ray import cloudpickle

        ours, its = Pipe()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.engine.quarantine", str(its.fileno())],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))},
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )
        self._connection = ours
        ours.send_bytes(cloudpickle.dumps((self._operator, self._bounds.memory_bytes)))
        kind, content = (
            ours.recv() if ours.poll(OPENING_SECONDS) else ("raised", TimeoutError("the models took too long to load"))
        )
        if kind == "raised":
            self.end()
            raise content
        return ours

    def _ended(self, at: str) -> ChildEnd:
        """What the end of the process says about the row that it was working."""
        assert self._process is not None
        status = self._process.wait()
        self.end()
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        if status == -signal.SIGKILL:
            return ChildEnd(at, "memory_limit", f"its process was killed ({name}), {KILLS_BELIEVED} times", again=True)
        return ChildEnd(at, "worker_crashed", f"its process ended ({name})")

    def end(self) -> None:
        """Kill the process, if there is one."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None


def _serve(connection: Connection[Any, Any]) -> None:
    """The child's side: open the operator, then work rows until the parent goes."""
    from ray import cloudpickle

    from operators.models.threads import use_one_thread

    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        operator, memory = cloudpickle.loads(connection.recv_bytes())
        use_one_thread()
        operator.open()
        limit_memory(memory)
        connection.send(("open", None))
        while True:
            row = _from_stream(connection.recv_bytes())
            for step in operator.steps:
                connection.send(("at", step.name))
                row = step.apply(row)
                check_schema(row, step.name)
            connection.send(("done", _to_stream(_memory_is_its_limit(row))))
    except EOFError:
        return
    except Exception as error:
        connection.send(("raised", error))


def _to_stream(table: pa.Table) -> bytes:
    """A table as an Arrow stream; pickling would send the whole block that a row is a slice of."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _from_stream(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()


def _memory_is_its_limit(row: pa.Table) -> pa.Table:
    """Out of memory all by itself is the image's own fault, unless the memory was a graphics
    card's.
    """
    (failure,) = row["failure"].to_pylist()
    if failure is None or failure["code"] != "out_of_memory" or computes_on_gpu():
        return row
    healthy = row.set_column(row.schema.names.index("failure"), "failure", pa.nulls(1, SCHEMA.field("failure").type))
    return fail_rows(healthy, ChildEnd(failure["operator"], "memory_limit", "more memory than the profile allows one image"))


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
