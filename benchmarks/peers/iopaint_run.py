"""IOPaint's own `iopaint run` with its OpenCV model, one process a core, each over its share of
the pictures.

    python -m benchmarks.peers.iopaint_run IMAGES DEST NOTES MASKS      with the Python of IOPaint's own environment

It works one picture after the other in one process; here it gets as many of them as there are
cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import notes

CONFIG = {"cv2_flag": "INPAINT_NS", "cv2_radius": 5}
"""The fill that everybody else uses."""


def shares(images: Path, work: Path, count: int) -> list[Path]:
    """`count` folders of links to the pictures, dealt out one by one."""
    folders = [work / f"share-{number}" for number in range(count)]
    for folder in folders:
        folder.mkdir(parents=True)
    for number, image in enumerate(sorted(images.iterdir())):
        (folders[number % count] / image.name).symlink_to(image.absolute())
    return folders


def run_share(images: str, masks: str, dest: str, noted: str) -> None:
    """The program itself, in this process."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    # Beside a torch for CPUs, PyPI's torchvision cannot load its compiled operators, and its
    # import stops over the first two that it describes without asking. IOPaint imports it and,
    # with this model, calls none of it.
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from iopaint import batch_processing, entry_point

    class Noted(batch_processing.ModelManager):  # type: ignore[misc]
        def __init__(self, *arguments: object, **settings: object) -> None:
            super().__init__(*arguments, **settings)
            notes.begun(noted)

    batch_processing.ModelManager = Noted
    config = Path(noted) / "config.json"
    places = ["--image", images, "--mask", masks, "--output", dest, "--config", str(config), "--model-dir", noted]
    sys.argv = ["iopaint", "run", "--model", "cv2", "--device", "cpu", *places]
    entry_point()


def main() -> None:
    """One process for every share."""
    images, dest, noted, masks = sys.argv[1:]
    (Path(noted) / "config.json").write_text(json.dumps(CONFIG))
    count = len(os.sched_getaffinity(0))
    code = "import sys; from benchmarks.peers.iopaint_run import run_share; run_share(*sys.argv[1:])"
    output = str(Path(dest) / "images")
    commands = [
        [sys.executable, "-c", code, str(share), masks, output, noted] for share in shares(Path(images), Path(noted), count)
    ]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for command in commands]
    for process in running:
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors.decode()[-2000:])
    notes.ended(noted)


if __name__ == "__main__":
    main()
