"""IOPaint's `iopaint run` with its OpenCV model: one process per core, each over its share of the
pictures.

    python -m benchmarks.peers.iopaint_run IMAGES DEST NOTES MASKS

It needs the Python of IOPaint's environment. IOPaint itself works through its pictures in a
single process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import notes

CONFIG = {"cv2_flag": "INPAINT_NS", "cv2_radius": 5}
"""The fill that all other contenders use."""


def deal_out(images: Path, work: Path, count: int) -> list[Path]:
    """`count` folders of links to the pictures, distributed one by one."""
    folders = [work / f"share-{number}" for number in range(count)]
    for folder in folders:
        folder.mkdir(parents=True)
    for number, image in enumerate(sorted(images.iterdir())):
        (folders[number % count] / image.name).symlink_to(image.absolute())
    return folders


def run_share(images: str, masks: str, dest: str, folder: str) -> None:
    """Run IOPaint in this process."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    # With a torch for CPUs, PyPI's torchvision cannot load its compiled operators, and its import
    # fails at the first two that it describes unconditionally. IOPaint imports torchvision, but
    # this model calls none of it.
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from iopaint import batch_processing, entry_point

    class NotingModelManager(batch_processing.ModelManager):  # type: ignore[misc]
        def __init__(self, *arguments: object, **settings: object) -> None:
            super().__init__(*arguments, **settings)
            notes.note_start(folder)

    batch_processing.ModelManager = NotingModelManager
    config = Path(folder) / "config.json"
    options = ["--image", images, "--mask", masks, "--output", dest, "--config", str(config), "--model-dir", folder]
    sys.argv = ["iopaint", "run", "--model", "cv2", "--device", "cpu", *options]
    entry_point()


def main() -> None:
    """Run one process per share."""
    images, dest, folder, masks = sys.argv[1:]
    (Path(folder) / "config.json").write_text(json.dumps(CONFIG))
    count = len(os.sched_getaffinity(0))
    code = "import sys; from benchmarks.peers.iopaint_run import run_share; run_share(*sys.argv[1:])"
    output = str(Path(dest) / "images")
    commands = [
        [sys.executable, "-c", code, str(share), masks, output, folder] for share in deal_out(Path(images), Path(folder), count)
    ]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for command in commands]
    for process in running:
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors.decode()[-2000:])
    notes.note_end(folder)


if __name__ == "__main__":
    main()
