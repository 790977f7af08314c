"""Ray Data as its guide to images shows it: `read_images`, and stages of callable classes that
pass whole frames.

python -m benchmarks.peers.ray_images IMAGES DEST NOTES

The guide does not cover encoding a picture with its source's tables, so the last stage reads the
file's bytes again.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

import ray

from benchmarks.peers import notes
from benchmarks.peers.functions import (
    detect,
    encode_edited,
    erase,
    open_models,
    picture_of_frame,
    read,
    timed_steps,
    verdict_of,
    write,
)
from benchmarks.peers.object_store import object_store_use
from cluster.profile import cores
from operators.models.threads import use_one_thread

Row = dict[str, Any]
"""A row as Ray Data passes it to a stage."""


class Detect:
    """Finds the text of a frame."""

    def __init__(self, folder: str) -> None:
        use_one_thread()
        open_models()
        self._notes = folder

    def __call__(self, row: Row) -> Row:
        """Add the regions."""
        notes.note_start(self._notes)
        with timed_steps() as timing:
            regions = detect(picture_of_frame(row["image"], read(row["path"])))
        return {**row, "regions": pickle.dumps(regions), "detect": pickle.dumps(timing)}


class Erase:
    """Fills the text of a frame."""

    def __init__(self) -> None:
        use_one_thread()
        open_models()

    def __call__(self, row: Row) -> Row:
        """Add the fills."""
        with timed_steps() as timing:
            regions = erase(picture_of_frame(row["image"], read(row["path"])), pickle.loads(row["regions"]))
        return {**row, "regions": pickle.dumps(regions), "erase": pickle.dumps(timing)}


def save(row: Row, dest: str) -> Row:
    """Paste, encode and write a picture; no frame leaves this stage."""
    use_one_thread()
    with timed_steps() as timing:
        data, regions = read(row["path"]), pickle.loads(row["regions"])
        write(dest, row["path"], encode_edited(picture_of_frame(row["image"], data), regions, data))
    timings = [pickle.loads(row["detect"]), pickle.loads(row["erase"]), timing]
    return {"verdict": verdict_of(regions), "timings": pickle.dumps(timings)}


def main() -> None:
    """Clean every picture."""
    images, dest, folder = sys.argv[1:]
    ray.init(num_cpus=3 * cores(), include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    results = (
        ray.data.read_images(images, mode="RGB", include_paths=True)
        .map(Detect, fn_constructor_args=(folder,), compute=ray.data.ActorPoolStrategy(size=cores()), num_cpus=1)
        .map(Erase, compute=ray.data.ActorPoolStrategy(size=cores()), num_cpus=1)
        .map(save, fn_kwargs={"dest": dest})
        .take_all()
    )
    notes.note_end(folder)
    timings = (timing for result in results for timing in pickle.loads(result["timings"]))
    notes.note_results(folder, (result["verdict"] for result in results), timings, **object_store_use())


if __name__ == "__main__":
    main()
