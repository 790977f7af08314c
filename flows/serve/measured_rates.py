"""The rates of a ladder, which the first request that needs them has measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from operators.decisions.budget import Rate

Measure = Callable[[str, str | None], Coroutine[Any, Any, tuple[Rate, ...]]]
"""Measures the rates of a preset, or of the model that takes its place."""


class MeasuredRates:
    """Measures each ladder once, also if several requests ask at the same time."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._tasks: dict[tuple[str, str | None], asyncio.Task[tuple[Rate, ...]]] = {}

    async def of(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        """The rates of a ladder.

        Raises what the measurement raises; the next request measures again.
        """
        key = (preset, model)
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._measure(preset, model))
        try:
            return await asyncio.shield(self._tasks[key])
        except Exception:
            self._tasks.pop(key, None)
            raise
