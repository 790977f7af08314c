"""A plain loop: one process, one picture after the other, its libraries with a thread for every
core.

python -m benchmarks.peers.plain_loop IMAGES DEST NOTES
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.peers import notes
from benchmarks.peers.functions import cleaned, opened_models
from operators.vision import stroke_network, text_detector


def session_with_threads(path: Path) -> Any:
    """An ONNX Runtime session as it is without our settings: a thread for every core."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def main() -> None:
    """Clean every picture."""
    images, dest, noted = sys.argv[1:]
    for module in (text_detector, stroke_network):
        module.onnx_session = session_with_threads
    opened_models()
    results = []
    for path in sorted(Path(images).iterdir()):
        notes.begun(noted)
        results.append(cleaned(str(path), dest))
    notes.ended(noted)
    notes.told(noted, (result["verdict"] for result in results), (result["timing"] for result in results))


if __name__ == "__main__":
    main()
