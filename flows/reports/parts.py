"""The parts of a divided run: which are complete, and what each has left to do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from operators.ledger import index, ledger
from operators.ledger.part import FOLDER, WHOLE, Part
from operators.rows.counted import counted
from operators.rows.failure import Failure
from operators.rows.records import JsonObject
from operators.storage import files as storage
from operators.storage.left_out import LeftOut

THREADS = 16


@dataclass(frozen=True)
class PartState:
    """How far a part of a run is."""

    part: Part
    images: int
    """Images that its index holds; more may follow if it is not complete."""
    done: int
    """Those of them that have a final row in the ledger."""
    finished: JsonObject | None = None
    """What its driver has recorded at the end; None for a part that has not ended."""

    @property
    def complete(self) -> bool:
        """Whether every image is done. Of an undivided run its index decides."""
        return self.finished is not None or (self.part == WHOLE and self.done == self.images)

    def line(self) -> str:
        """The state in words, such as `part 3/16: 120 of 400 images`."""
        if self.complete:
            state = f"complete, {counted(self.images, 'image')}"
        else:
            state = f"{self.done} of {counted(self.images, 'image')}" if self.images else "not started"
        return f"part {self.part}: {state}"


def _finished_uri(dest: str, part: Part) -> str:
    return storage.join(part.folder(dest), "finished.json")


def finish(dest: str, part: Part, images: int, left_out: LeftOut, calls: Mapping[str, JsonObject]) -> None:
    """Record that every image of a part is done, and what run.json needs of it.

    `calls` are those to models over HTTP, by alias. Raises Failure.
    """
    content = {
        "images": images,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "left_out": left_out.record(),
        "calls": dict(calls),
    }
    storage.write(_finished_uri(dest, part), json.dumps(content, indent=2).encode())


def unfinish(dest: str, part: Part) -> None:
    """Record that a part has images that are not done. Raises Failure."""
    if part != WHOLE:
        storage.remove(_finished_uri(dest, part))


def number_of_parts(dest: str) -> int:
    """Into how many parts the run in a destination is divided; 1 for none. Raises Failure."""
    return int(json.loads(storage.read(storage.join(dest, "run.json"))).get("parts", 1))


def part_states(dest: str) -> list[PartState]:
    """The state of every part of a run, in their order; an undivided run is one part.

    Of a part that has ended only its own record is read, of another its index and ledger too.
    Raises Failure.
    """
    of = number_of_parts(dest)
    names = {name.rpartition(f"/{FOLDER}/")[2] for name in storage.list_paths(storage.join(dest, FOLDER))}
    shards, files = index.shards(dest), ledger.files_by_shard(dest)
    return [
        _ended(dest, part, names) or _counted(dest, part, shards, files)
        for part in (Part(number, of) for number in range(1, of + 1))
    ]


def _ended(dest: str, part: Part, names: set[str]) -> PartState | None:
    if f"{part.number}-of-{part.of}/finished.json" not in names:
        return None
    try:
        finished: JsonObject = json.loads(storage.read(_finished_uri(dest, part)))
    except Failure as failure:
        if failure.code == "key_missing":  # its driver has started again meanwhile
            return None
        raise
    return PartState(part, finished["images"], finished["images"], finished)


def _counted(dest: str, part: Part, shards: Sequence[int], files: dict[int, list[str]]) -> PartState:
    def count(shard: int) -> tuple[int, int]:
        images, names = len(index.read_shard(dest, shard, ["image_id"])), files.get(shard, [])
        if ledger.COMPLETE in names:
            return images, images
        return images, len(ledger.done_ids_in(ledger.read_shard(dest, shard, names)))

    with ThreadPoolExecutor(THREADS) as pool:
        counts = list(pool.map(count, (shard for shard in shards if part.has_shard(shard))))
    return PartState(part, sum(images for images, _ in counts), sum(done for _, done in counts))
