"""Limit how far a stage may run ahead of the next one.

Images that wait between two stages are lost with their machine. Ray Data limits them by memory
alone, so tens of thousands of small images pile up before a stage that is slow or has not started
yet. The policy here also limits the number of blocks that wait for the next stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.engine.ray_internals import BackpressurePolicy, enable_backpressure

if TYPE_CHECKING:
    from flows.engine.ray_internals import PhysicalOperator

LEAST_WAITING = 4
"""Blocks that may wait for a stage that has no active task yet, so that it can start at once."""
WAITING_PER_TASK = 0.5
"""Further blocks that may wait for each active task of a stage.

A process of a pool has two tasks and soon needs another block.
"""


class WaitingBlocks(BackpressurePolicy):  # type: ignore[misc]
    """Holds a stage back while enough blocks wait for the stages after it.

    Blocks that the stage is still producing do not count.
    """

    def can_add_input(self, op: PhysicalOperator) -> bool:
        """Whether a stage may start another block."""
        return self._has_room_after(op)

    def max_task_output_bytes_to_read(self, op: PhysicalOperator) -> int | None:
        """The bytes of output that may be read from a stage's tasks: 0 while enough blocks wait.

        This holds back tasks that yield many blocks, such as the reader. None is no limit.
        """
        return None if self._has_room_after(op) else 0

    def _has_room_after(self, op: PhysicalOperator) -> bool:
        return all(self._count_waiting(after) < _waiting_limit(after) for after in op.output_dependencies)

    def _count_waiting(self, op: PhysicalOperator) -> int:
        return int(self._topology[op].total_enqueued_input_blocks())


def _waiting_limit(op: PhysicalOperator) -> int:
    return LEAST_WAITING + int(WAITING_PER_TASK * op.num_active_tasks())


def bound_waiting_blocks() -> None:
    """Limit waiting blocks, beside Ray's own limits, in all later runs of this process."""
    enable_backpressure(WaitingBlocks)
