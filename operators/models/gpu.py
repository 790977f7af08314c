"""The GPUs that this process's stage reserves, and what follows from them.

Ray counts GPUs but divides none: each process of a stage with `gpus: 0.5` could take the whole
memory, and a stage without GPUs sees all of them.
"""

from __future__ import annotations

import os

RESERVED = "CLEANPLATE_RESERVED_GPUS"
"""The environment variable that holds the number, so that child processes know it too."""
CONTEXT_BYTES = 3 * 2**28
"""Memory that the driver keeps for each process beside what torch allocates (0.75 GiB)."""


def reserve_gpus(gpus: float) -> None:
    """Note how many GPUs, whole or in part, this process and its children may use."""
    os.environ[RESERVED] = str(gpus)


def reserved_gpus() -> float:
    """The number that was noted, or 0."""
    return float(os.environ.get(RESERVED, "0"))


def memory_fraction(gpus: float, total_bytes: int) -> float:
    """The part of a GPU's memory that torch may take in a process that reserves `gpus` of it.

    1 for whole GPUs, and for a process that reserves none.
    """
    if not 0 < gpus < 1:
        return 1.0
    return max(0.0, gpus - CONTEXT_BYTES / total_bytes)


def limit_gpu_memory() -> None:
    """Keep torch within the share of the GPU that this process reserves.

    A microbatch that does not fit is then halved by its own size, not by what a neighbour holds.
    Call it only where torch sees a GPU.
    """
    import torch

    fraction = memory_fraction(reserved_gpus(), torch.cuda.get_device_properties(0).total_memory)
    torch.cuda.set_per_process_memory_fraction(fraction)
