"""Ray Data as its guide to images shows it: `read_images`, stages of callable classes, whole
frames between them.

python -m benchmarks.peers.ray_images IMAGES DEST NOTES

The guide has nothing to say on coding a picture again with its own tables, so the last stage
reads the file's bytes for that.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

import ray

from benchmarks.peers import notes
from benchmarks.peers.functions import detected, encoded, erased, framed, opened_models, read, timed_steps, verdict_of, written
from benchmarks.peers.object_store import used
from cluster.profile import cores
from operators.models.threads import use_one_thread

Row = dict[str, Any]


class Detect:
    """A frame and where its text is."""

    def __init__(self, noted: str) -> None:
        use_one_thread()
        opened_models()
        self._noted = noted

    def __call__(self, row: Row) -> Row:
        """Add the regions."""
        notes.begun(self._noted)
        with timed_steps() as timing:
            regions = detected(framed(row["image"], read(row["path"])))
        return {**row, "regions": pickle.dumps(regions), "detect": pickle.dumps(timing)}


class Erase:
    """A frame and what stands in its text's place."""

    def __init__(self) -> None:
        use_one_thread()
        opened_models()

    def __call__(self, row: Row) -> Row:
        """Add the fills."""
        with timed_steps() as timing:
            regions = erased(framed(row["image"], read(row["path"])), pickle.loads(row["regions"]))
        return {**row, "regions": pickle.dumps(regions), "erase": pickle.dumps(timing)}


def save(row: Row, dest: str) -> Row:
    """Paste, encode and write; no frame leaves this stage."""
    use_one_thread()
    with timed_steps() as timing:
        data, regions = read(row["path"]), pickle.loads(row["regions"])
        written(dest, row["path"], encoded(framed(row["image"], data), regions, data))
    timings = [pickle.loads(row["detect"]), pickle.loads(row["erase"]), timing]
    return {"verdict": verdict_of(regions), "timings": pickle.dumps(timings)}


def main() -> None:
    """Clean every picture."""
    images, dest, noted = sys.argv[1:]
    ray.init(num_cpus=3 * cores(), include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    results = (
        ray.data.read_images(images, mode="RGB", include_paths=True)
        .map(Detect, fn_constructor_args=(noted,), compute=ray.data.ActorPoolStrategy(size=cores()), num_cpus=1)
        .map(Erase, compute=ray.data.ActorPoolStrategy(size=cores()), num_cpus=1)
        .map(save, fn_kwargs={"dest": dest})
        .take_all()
    )
    notes.ended(noted)
    timings = (timing for result in results for timing in pickle.loads(result["timings"]))
    notes.told(noted, (result["verdict"] for result in results), timings, **used())


if __name__ == "__main__":
    main()
