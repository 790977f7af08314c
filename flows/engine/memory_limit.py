"""A bound on the memory that a process takes, kept by the kernel."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def limit_memory(more: int) -> None:
    """Let this process take `more` bytes beyond what it holds now; an allocation past that fails.

    What counts is private memory that can be written (RLIMIT_DATA), not address space: graphics
    drivers and allocators reserve many times what they use. Files and memory that is shared with
    other processes do not count. Only Linux counts so; elsewhere nothing is bounded.
    """
    if not STATUS.exists():
        return
    held = next(int(line.split()[1]) * 1024 for line in STATUS.read_text().splitlines() if line.startswith("VmData:"))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = held + more
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def computes_on_gpu() -> bool:
    """Whether running out of memory may mean a graphics card's, which this process shares with
    others.
    """
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
