"""How far a stage may run ahead of the next one: what waits between two stages is work that dies
with its machine.

Ray Data holds a stage back by memory alone, so small images pile up by tens of thousands before a
stage that is slow or has not started yet. Here a stage is held back by the number of blocks that
wait for the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.engine.ray_internals import BackpressurePolicy, enable_backpressure

if TYPE_CHECKING:
    from flows.engine.ray_internals import PhysicalOperator

LEAST_WAITING = 4
"""Blocks that may wait for a stage that works on none yet, so that it has something to begin
with.
"""
WAITING_PER_TASK = 0.5
"""Blocks that may wait for each one that the next stage has: a process of a pool has two, and
needs another one soon.
"""


class WaitingBlocks(BackpressurePolicy):  # type: ignore[misc]
    """Holds a stage back while enough blocks wait for the stages after it; those that it is
    making are not counted.
    """

    def can_add_input(self, op: PhysicalOperator) -> bool:
        """Whether a stage may begin another block."""
        return all(self._waiting(after) < _most(after) for after in op.output_dependencies)

    def max_task_output_bytes_to_read(self, op: PhysicalOperator) -> int | None:
        """Nothing more from a task that makes many blocks, such as the reader, while enough of
        them wait.
        """
        return None if all(self._waiting(after) < _most(after) for after in op.output_dependencies) else 0

    def _waiting(self, op: PhysicalOperator) -> int:
        return int(self._topology[op].total_enqueued_input_blocks())


def _most(op: PhysicalOperator) -> int:
    return LEAST_WAITING + int(WAITING_PER_TASK * op.num_active_tasks())


def bound_waiting_blocks() -> None:
    """Hold stages back by blocks too, in all runs of this process from now on."""
    enable_backpressure(WaitingBlocks)
