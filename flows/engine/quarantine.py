"""Process images that may end their process: one by one in a child, with bounded time and memory.

A decoder that crashes, hangs or takes all memory ends the worker in which it runs, and Ray would
pass the same images to one worker after another without end. So a block whose first attempt
failed is processed here, image by image, in a child process that can be lost at no cost. The
image that was in work when the child ended is rolled back for good, so its source is delivered;
its neighbours are not harmed.
"""

from __future__ import annotations

import ctypes
import os
import pickle
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
from operators.rows.deadline import allow_decoding_deadlines
from operators.rows.failure import Failure, RunError
from operators.rows.records import FailureRecord
from operators.rows.schema import SCHEMA, add_columns, check_schema

OPENING_SECONDS = 1800.0
"""A child that has not loaded its models after this long counts as hung."""
KILLS_BELIEVED = 2
"""How many times in a row the system must kill a child at the same image.

Only then is the image's use of memory taken for the reason.
"""
DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


@dataclass(frozen=True)
class ChildEnd:
    """How a child process ended: in which operator, and why."""

    operator: str
    code: str
    """The failure code for the row in work."""
    message: str
    may_retry: bool = False
    """Whether the row may not be the cause, so that it is worth another attempt."""


def work_isolated(operator: Operator, batch: pa.Table, bounds: Bounds) -> pa.Table:
    """Apply an operator to each row in a child process; a row that ends its child fails.

    Raises what the operator raises for a whole batch, RunError run_interrupted if a child ends
    while it loads its models, and TimeoutError if it does not load them in OPENING_SECONDS.
    """
    done = []
    with _child_process(operator, bounds) as child:
        for position in range(len(batch)):
            done.append(work_row(child, operator, batch.slice(position, 1)))
    return pa.concat_tables(done) if done else batch


def work_row(child: Child, operator: Operator, row: pa.Table) -> pa.Table:
    """One row after the operator that the child process has open; it fails if it ends the child.

    A row with a failure passes through in this process. Raises as `work_isolated` does.
    """
    if row["failure"].is_valid()[0].as_py():
        return _apply_to_failed(operator, row)
    for _ in range(KILLS_BELIEVED):
        result = child.work(row)
        if not (isinstance(result, ChildEnd) and result.may_retry):
            break
    return _apply_to_failed(operator, fail_rows(row, result)) if isinstance(result, ChildEnd) else result


def fail_rows(rows: pa.Table, child_end: ChildEnd) -> pa.Table:
    """The rows, with the end of their process as the failure of each row that has none."""
    code = Failure(child_end.code, child_end.message).code
    failure: FailureRecord = {"operator": child_end.operator, "code": code, "message": child_end.message}
    failures = [earlier or failure for earlier in rows["failure"].to_pylist()]
    return rows.set_column(rows.schema.names.index("failure"), "failure", pa.array(failures, SCHEMA.field("failure").type))


def _apply_to_failed(operator: Operator, row: pa.Table) -> pa.Table:
    """Apply an operator to a failed row, which it passes through or records."""
    result = operator.apply(row)
    check_schema(result, operator.name)
    return result


@contextmanager
def _child_process(operator: Operator, bounds: Bounds) -> Iterator[Child]:
    child = Child(operator, bounds)
    try:
        yield child
    finally:
        child.end()


class Child:
    """A process that processes one row after another.

    It starts with the first row, and again with the first one after it has ended.
    """

    def __init__(self, operator: Operator, bounds: Bounds) -> None:
        self._operator, self._bounds = operator, bounds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._closed = False

    def work(self, row: pa.Table) -> pa.Table | ChildEnd:
        """The row after all operators, or how it ended the process."""
        connection = self._connection or self._start()
        step = self._operator.name
        try:
            connection.send_bytes(_to_stream(row))
            while connection.poll(self._bounds.seconds_in(step)):
                kind, content = connection.recv()
                if kind == "step":
                    step = content
                elif kind == "raised":
                    self.end()
                    raise content
                else:
                    return _from_stream(content)
        except (EOFError, ConnectionError):
            return self._explain_end(step)
        self.end()
        return ChildEnd(step, "time_limit", f"longer than {self._bounds.seconds_in(step):g} s")

    def _start(self) -> Connection[Any, Any]:
        if self._closed:
            raise RuntimeError("the run has ended")
        parent_end, child_end = Pipe()
        with child_end:
            self._process = subprocess.Popen(
                # -P: a folder named `flows` in the current folder must not come before ours.
                [sys.executable, "-P", "-m", "flows.engine.quarantine", str(child_end.fileno())],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path)},
                stdin=subprocess.DEVNULL,
                pass_fds=[child_end.fileno()],
                process_group=0,  # Ctrl-C in a terminal is for the parent, which ends its children
            )
        self._connection = parent_end
        try:
            parent_end.send_bytes(_pickle((self._operator, self._bounds.memory_bytes)))
            if not parent_end.poll(OPENING_SECONDS):
                self.end()
                raise TimeoutError("the models took too long to load")
            kind, content = parent_end.recv()
        except (EOFError, ConnectionError):
            end = _name_end(self._process.wait())
            self.end()
            raise RunError("run_interrupted", f"a worker ended while it loaded its models ({end})", 3) from None
        if kind == "raised":
            self.end()
            raise content
        return parent_end

    def _explain_end(self, step: str) -> ChildEnd:
        """Why the process ended while a row was in this operator."""
        assert self._process is not None
        status = self._process.wait()
        self.end()
        if status == -signal.SIGALRM:
            return ChildEnd(step, "decode_time_limit", "decoding took longer than the limit of the run")
        name = _name_end(status)
        if status == -signal.SIGKILL:
            return ChildEnd(step, "memory_limit", f"its process was killed ({name}), {KILLS_BELIEVED} times", may_retry=True)
        return ChildEnd(step, "worker_crashed", f"its process ended ({name})")

    def end(self) -> None:
        """Kill the process if it runs."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._connection = None

    def close(self) -> None:
        """Kill the process from any thread, also while it works, and start no other."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
            process.wait()


def _name_end(status: int) -> str:
    """How a process ended, by the status that `Popen.wait` returns: its signal or its exit code."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def die_with_parent() -> None:
    """Let the system end this process with its parent; only Linux can.

    Elsewhere a child ends when it reads the closed connection.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)


def _pickle(content: object) -> bytes:
    """Pickle a flow's operators for a child process.

    Only code of the user's own, which `ship_by_value` has registered, needs Ray's pickler.
    """
    ray = sys.modules.get("ray")
    return bytes((pickle if ray is None else ray.cloudpickle).dumps(content))


def _serve(connection: Connection[Any, Any]) -> None:
    """The child's main loop: open the operator, then process rows until the parent is gone."""
    from operators.models.threads import use_one_thread

    die_with_parent()
    allow_decoding_deadlines()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        operator, memory = pickle.loads(connection.recv_bytes())
        use_one_thread()
        operator.open()
        limit_memory(memory)
        connection.send(("open", None))
        while True:
            row = _from_stream(connection.recv_bytes())
            for step in operator.steps:
                connection.send(("step", step.name))
                row = _blame_image_for_memory(step.apply(add_columns(row, step.columns, step.name)))
                check_schema(row, step.name)
            connection.send(("done", _to_stream(row)))
    except EOFError:
        return
    except Exception as error:
        connection.send(("raised", error))


def _to_stream(table: pa.Table) -> bytes:
    """The table as the bytes of an Arrow stream.

    Pickling a row would send the whole block of which it is a slice.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _from_stream(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()


def _blame_image_for_memory(row: pa.Table) -> pa.Table:
    """Turn out_of_memory into memory_limit, unless it may have been the memory of a GPU.

    An isolated image that runs out of memory is itself the cause. Later operators must see the
    final code, because they put it into the verdict, the reasons and the ledger.
    """
    (failure,) = row["failure"].to_pylist()
    if failure is None or failure["code"] != "out_of_memory" or computes_on_gpu():
        return row
    healthy = row.set_column(row.schema.names.index("failure"), "failure", pa.nulls(1, SCHEMA.field("failure").type))
    return fail_rows(healthy, ChildEnd(failure["operator"], "memory_limit", "more memory than the profile allows one image"))


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
