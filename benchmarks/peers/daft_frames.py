"""Daft as its guides show it: files by a glob, `download`, `decode_image`, and a stateful class
in separate processes.

    python -m benchmarks.peers.daft_frames IMAGES DEST NOTES

It needs the Python of Daft's environment. All steps on a frame are in one class, so a frame
changes process once. The class also gets the file's bytes, which encoding needs.
"""

from __future__ import annotations

import json
import sys

import daft
import numpy as np
from daft.functions import decode_image, download

from benchmarks.peers import notes
from benchmarks.peers.functions import (
    detect,
    encode_edited,
    erase,
    open_models,
    picture_of_frame,
    timed_steps,
    verdict_of,
    write,
)
from cluster.profile import cores
from operators.models.threads import use_one_thread
from operators.rows.arrays import Pixels


@daft.cls(use_process=True, max_concurrency=cores())
class Clean:
    """All steps from a frame to its file in DEST."""

    def __init__(self, dest: str, folder: str) -> None:
        use_one_thread()
        open_models()
        self._dest, self._notes = dest, folder

    @daft.method.batch(return_dtype=daft.DataType.string(), batch_size=1)
    def work(self, paths: daft.Series, files: daft.Series, frames: daft.Series) -> list[str]:
        """Clean one picture at a time; each verdict and its milliseconds as JSON."""
        columns = (paths.to_pylist(), files.to_pylist(), frames.to_pylist())
        return [self._clean(path, data, frame) for path, data, frame in zip(*columns, strict=True)]

    def _clean(self, path: str, data: bytes, frame: Pixels) -> str:
        notes.note_start(self._notes)
        with timed_steps() as timing:
            picture = picture_of_frame(np.ascontiguousarray(frame), data)
            regions = erase(picture, detect(picture))
            write(self._dest, path, encode_edited(picture, regions, data))
        return json.dumps({"verdict": verdict_of(regions), "timing": timing})


def main() -> None:
    """Clean every picture."""
    images, dest, folder = sys.argv[1:]
    daft.set_runner_native()
    frame = daft.from_glob_path(f"{images}/*").select("path")
    frame = frame.with_column("bytes", download(daft.col("path")))
    frame = frame.with_column("image", decode_image(daft.col("bytes"), mode="RGB"))
    done = frame.select(Clean(dest, folder).work(daft.col("path"), daft.col("bytes"), daft.col("image")).alias("result"))
    results = [json.loads(text) for text in done.to_pydict()["result"]]
    notes.note_end(folder)
    notes.note_results(folder, (result["verdict"] for result in results), (result["timing"] for result in results))


if __name__ == "__main__":
    main()
