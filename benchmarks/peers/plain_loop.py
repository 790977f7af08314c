"""A plain loop: one process, one picture after the other, a library thread per core.

python -m benchmarks.peers.plain_loop IMAGES DEST NOTES
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.peers import notes
from benchmarks.peers.functions import clean, open_models
from operators.vision import stroke_network, text_detector


def session_with_threads(path: Path) -> Any:
    """An ONNX Runtime session with its default settings: one thread per core."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def main() -> None:
    """Clean every picture."""
    images, dest, folder = sys.argv[1:]
    for module in (text_detector, stroke_network):
        module.onnx_session = session_with_threads
    open_models()
    results = []
    for path in sorted(Path(images).iterdir()):
        notes.note_start(folder)
        results.append(clean(str(path), dest))
    notes.note_end(folder)
    notes.note_results(folder, (result["verdict"] for result in results), (result["timing"] for result in results))


if __name__ == "__main__":
    main()
