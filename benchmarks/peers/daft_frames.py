"""Daft as its guides show it: files by a glob, `download`, `decode_image`, and a stateful class
in processes of its own.

    python -m benchmarks.peers.daft_frames IMAGES DEST NOTES       with the Python of Daft's own environment

All steps on a frame are one class, so a frame changes process once. The class gets the file's
bytes too, to code it again.
"""

from __future__ import annotations

import json
import sys

import daft
import numpy as np
from daft.functions import decode_image, download

from benchmarks.peers import notes
from benchmarks.peers.functions import detected, encoded, erased, framed, opened_models, timed_steps, verdict_of, written
from cluster.profile import cores
from operators.models.threads import use_one_thread
from operators.rows.arrays import Pixels


@daft.cls(use_process=True, max_concurrency=cores())
class Clean:
    """Everything from a frame to its place in DEST."""

    def __init__(self, dest: str, noted: str) -> None:
        use_one_thread()
        opened_models()
        self._dest, self._noted = dest, noted

    @daft.method.batch(return_dtype=daft.DataType.string(), batch_size=1)
    def work(self, paths: daft.Series, files: daft.Series, frames: daft.Series) -> list[str]:
        """One picture at a time; its verdict and its milliseconds as JSON."""
        columns = (paths.to_pylist(), files.to_pylist(), frames.to_pylist())
        return [self._cleaned(path, data, frame) for path, data, frame in zip(*columns, strict=True)]

    def _cleaned(self, path: str, data: bytes, frame: Pixels) -> str:
        notes.begun(self._noted)
        with timed_steps() as timing:
            picture = framed(np.ascontiguousarray(frame), data)
            regions = erased(picture, detected(picture))
            written(self._dest, path, encoded(picture, regions, data))
        return json.dumps({"verdict": verdict_of(regions), "timing": timing})


def main() -> None:
    """Clean every picture."""
    images, dest, noted = sys.argv[1:]
    daft.set_runner_native()
    frame = daft.from_glob_path(f"{images}/*").select("path")
    frame = frame.with_column("bytes", download(daft.col("path")))
    frame = frame.with_column("image", decode_image(daft.col("bytes"), mode="RGB"))
    done = frame.select(Clean(dest, noted).work(daft.col("path"), daft.col("bytes"), daft.col("image")).alias("told"))
    results = [json.loads(text) for text in done.to_pydict()["told"]]
    notes.ended(noted)
    notes.told(noted, (result["verdict"] for result in results), (result["timing"] for result in results))


if __name__ == "__main__":
    main()
