"""A limit on the memory of a process, enforced by the kernel."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def limit_memory(extra_bytes: int) -> None:
    """Let this process allocate `extra_bytes` more than it holds now; a larger allocation fails.

    Only private writable memory counts (RLIMIT_DATA), not address space: graphics drivers and
    allocators reserve many times what they use. Files and memory shared with other processes do
    not count. Only Linux counts memory this way; on other systems there is no limit.
    """
    if not STATUS.exists():
        return
    in_use = next(int(line.split()[1]) * 1024 for line in STATUS.read_text().splitlines() if line.startswith("VmData:"))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = in_use + extra_bytes
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def computes_on_gpu() -> bool:
    """Whether this process uses a GPU.

    If so, running out of memory may concern the GPU, which the process shares with others.
    """
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
