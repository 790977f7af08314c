"""Worker processes for a service on one machine: each works one picture at a time."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from flows.serve.wishes import Erase
from flows.serve.work import Answer, Task, measured_rates, rolled_back, start, warm, work
from operators.decisions.budget import Rate
from operators.pictures.codec import Limits

Result = TypeVar("Result")


class Backend(Protocol):
    """Where requests are worked: processes on this machine, or replicas of Ray Serve."""

    workers: int
    """Pictures that are worked at the same time."""

    async def open(self) -> None:
        """Load the models; the service is ready afterwards."""

    async def work(self, task: Task) -> Answer:
        """Work one task. Raises WrongRequest."""

    async def rates(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        """What the rungs of a ladder cost, for budgets; the same for all workers."""

    async def close(self) -> None:
        """End, when nothing is worked any more."""


class ProcessPool:
    """A fixed number of processes, each replaced when it is lost or takes too long.

    A picture that takes its process down is rolled back, and no other picture is touched.
    """

    def __init__(self, workers: int, seconds: float, limits: Limits) -> None:
        self.workers = workers
        self._seconds = seconds
        self._limits = limits
        self._free: asyncio.Queue[ProcessPoolExecutor] = asyncio.Queue()
        self._rates: dict[tuple[str, str | None], asyncio.Task[tuple[Rate, ...]]] = {}

    async def open(self) -> None:
        """Start the processes and load the models of `erase`. Raises RunError."""
        executors = [_executor() for _ in range(self.workers)]
        loop = asyncio.get_running_loop()
        try:
            await asyncio.gather(*(loop.run_in_executor(each, warm, Erase(), self._limits) for each in executors))
        except BaseException:
            for each in executors:
                _end(each)
            raise
        for each in executors:
            self._free.put_nowait(each)

    async def work(self, task: Task) -> Answer:
        """Work one task when a process is free. Raises WrongRequest."""
        try:
            return await self._call(work, task)
        except TimeoutError:
            return rolled_back(task, "time_limit", f"more than {self._seconds:g} s")
        except BrokenProcessPool:
            return rolled_back(task, "worker_crashed", "the process that worked on the picture was lost")

    async def rates(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        """Measured once, by the first request that needs them."""
        key = (preset, model)
        if key not in self._rates:
            self._rates[key] = asyncio.create_task(self._call(measured_rates, preset, model))
        try:
            return await asyncio.shield(self._rates[key])
        except Exception:
            self._rates.pop(key, None)
            raise

    async def close(self) -> None:
        """End the processes."""
        while not self._free.empty():
            _end(self._free.get_nowait())

    async def _call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        executor = await self._free.get()
        lost = True
        try:
            future = asyncio.get_running_loop().run_in_executor(executor, function, *arguments)
            try:
                result = await asyncio.wait_for(asyncio.shield(future), self._seconds)
            except (TimeoutError, BrokenProcessPool, asyncio.CancelledError):
                future.add_done_callback(_forget)
                raise
            except Exception:
                lost = False
                raise
            lost = False
            return result
        finally:
            if lost:
                _end(executor)
                executor = _executor()
            self._free.put_nowait(executor)


def _forget(future: asyncio.Future[Any]) -> None:
    with contextlib.suppress(BaseException):
        future.exception()


def _executor() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=start)


def _end(executor: ProcessPoolExecutor) -> None:
    """End an executor and its process, whatever the process does."""
    processes = list((getattr(executor, "_processes", None) or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
