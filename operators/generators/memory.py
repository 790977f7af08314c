"""Telling a lack of memory from every other error."""

from __future__ import annotations


def out_of_memory(error: Exception) -> bool:
    """Whether memory ended, the host's or the accelerator's; torch's allocator for the host has no type of its own for it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def release() -> None:
    """Hand the accelerator's cached blocks back, which may be too small for what comes next."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
