"""Writes prepared examples as shards: files that a training reads while others are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from operators.rows.arrays import Pixels


class Job(Protocol):
    """What a shard is made from."""

    @property
    def path(self) -> str:
        """The file of the shard."""


AnyJob = TypeVar("AnyJob", bound=Job)


def save_shard(path: str, examples: Sequence[Pixels]) -> str:
    """Save examples under a name that appears only when the file is whole; return the path."""
    part = Path(path).with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, np.stack(examples))
    part.rename(path)
    return path


def write_missing(write: Callable[[AnyJob], str], jobs: Sequence[AnyJob], processes: int) -> None:
    """Write the shards that are not there yet, in processes of their own, and print each path."""
    missing = [job for job in jobs if not Path(job.path).exists()]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for path in pool.map(write, missing):
            print(path, flush=True)
