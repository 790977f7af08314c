"""Worker processes for a service on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from flows.serve.measured_rates import MeasuredRates
from flows.serve.wishes import Erase
from flows.serve.work import Answer, Task, WrongRequest, batch_size, measured_rates, rolled_back, start, warm, work
from operators.decisions.budget import Rate
from operators.pictures.codec import Limits
from operators.rows.failure import Failure, RunError

Result = TypeVar("Result")
ENDING_SECONDS = 20.0
"""How long an idle process may take to end, also on a busy machine."""


class Backend(Protocol):
    """Where requests are worked: processes on this machine, or replicas of Ray Serve."""

    workers: int
    """Batches that are worked at the same time."""

    async def open(self) -> None:
        """Load the models; the service is ready afterwards."""

    async def work(self, task: Task) -> Answer:
        """Work one task. Raises WrongRequest.

        A task that is cancelled while it waits is dropped.
        """

    async def rates(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        """What the rungs of a ladder cost, for budgets; the same for all workers."""

    async def close(self) -> None:
        """End, when nothing is worked any more."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A task that waits for a worker, and its answer."""

    task: Task
    answer: asyncio.Future[Answer]


class ProcessPool:
    """A fixed number of processes, each replaced when it is lost or takes too long.

    A process works one picture at a time, or as many as share a batch of its model. A picture that
    takes its process down is rolled back, and no other picture is touched.
    """

    def __init__(self, workers: int, seconds: float, limits: Limits) -> None:
        self.workers = workers
        self._seconds = seconds
        self._limits = limits
        self._free: asyncio.Queue[ProcessPoolExecutor] = asyncio.Queue()
        self._waiting: dict[Hashable, list[_Waiting]] = {}
        self._turns: set[asyncio.Task[None]] = set()
        self._rates = MeasuredRates(self._measure)

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
        """Work one task when a process is free. Raises WrongRequest.

        It shares a batch with tasks of its kind that wait with it. If it is cancelled while it
        waits it is dropped; once it is worked, its process finishes it.
        """
        try:
            size = await asyncio.to_thread(batch_size, task.wish)
        except (RunError, Failure) as error:
            raise WrongRequest(error.code, error.message) from None
        kind, mine = task.kind, _Waiting(task, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(kind, []).append(mine)
        turn = asyncio.create_task(self._take_turn(kind, size))
        self._turns.add(turn)
        turn.add_done_callback(self._turns.discard)
        return await mine.answer

    async def rates(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        """Measured once, by the first request that needs them."""
        return await self._rates.of(preset, model)

    async def close(self) -> None:
        """Let the processes end, which have nothing to do any more."""
        executors = [self._free.get_nowait() for _ in range(self._free.qsize())]
        await asyncio.gather(*(asyncio.to_thread(_let_end, each) for each in executors))

    async def _measure(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        async with self._process() as run:
            rates: tuple[Rate, ...] = await run(measured_rates, preset, model)
            return rates

    async def _take_turn(self, kind: Hashable, size: int) -> None:
        """Work the next `size` tasks of a kind, which may have gone with the turn of another."""
        async with self._process() as run:
            here = [each for each in self._waiting.pop(kind, []) if not each.answer.done()]
            chosen, later = here[:size], here[size:]
            if later:
                self._waiting[kind] = later
            if not chosen:
                return
            outcomes: list[Answer | Exception]
            try:
                outcomes = await run(work, [each.task for each in chosen])
            except (TimeoutError, BrokenProcessPool) as error:
                if len(chosen) == 1:
                    outcomes = [self._given_up(chosen[0].task, error)]
                else:
                    outcomes = [await self._work_alone(run, each.task) for each in chosen]
            except Exception as error:
                outcomes = [error] * len(chosen)
        for each, outcome in zip(chosen, outcomes, strict=True):
            if each.answer.done():
                continue
            if isinstance(outcome, Exception):
                each.answer.set_exception(outcome)
            else:
                each.answer.set_result(outcome)

    async def _work_alone(self, run: Callable[..., Any], task: Task) -> Answer | Exception:
        """One task of a batch that was lost, so that only the culprit is rolled back."""
        outcome: Answer | Exception
        try:
            (outcome,) = await run(work, [task])
        except (TimeoutError, BrokenProcessPool) as error:
            outcome = self._given_up(task, error)
        except Exception as error:
            outcome = error
        return outcome

    def _given_up(self, task: Task, error: Exception) -> Answer:
        if isinstance(error, TimeoutError):
            return rolled_back(task, "time_limit", f"more than {self._seconds:g} s")
        return rolled_back(task, "worker_crashed", "the process that worked on the picture was lost")

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[Callable[..., Any]]:
        """A free process as a function that calls another in it; it is replaced when it is lost."""
        executor = await self._free.get()

        async def run(function: Callable[..., Result], *arguments: Any) -> Result:
            nonlocal executor
            future = asyncio.get_running_loop().run_in_executor(executor, function, *arguments)
            try:
                return await asyncio.wait_for(asyncio.shield(future), self._seconds)
            except (TimeoutError, BrokenProcessPool, asyncio.CancelledError):
                future.add_done_callback(_forget)
                _end(executor)
                executor = _executor()
                raise

        try:
            yield run
        finally:
            self._free.put_nowait(executor)


def _forget(future: asyncio.Future[Any]) -> None:
    with contextlib.suppress(BaseException):
        future.exception()


def _executor() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=start)


def _let_end(executor: ProcessPoolExecutor) -> None:
    """Let an idle executor and its process end, which frees what a killed process leaves behind."""
    processes = list((getattr(executor, "_processes", None) or {}).values())
    executor.shutdown(wait=False)
    for process in processes:
        process.join(ENDING_SECONDS)
        if process.exitcode is None:
            process.kill()


def _end(executor: ProcessPoolExecutor) -> None:
    """End an executor and its process, whatever the process does."""
    processes = list((getattr(executor, "_processes", None) or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
