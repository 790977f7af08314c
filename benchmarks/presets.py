"""What each preset costs and delivers on the demonstration's pictures.

    python -m benchmarks.presets

Each picture goes through the whole flow of each preset in this process. Seconds are those of one
core's processor time, which other work on the machine disturbs little. The first picture of a
preset is worked twice, because it also pays for what is loaded lazily.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

import cleanplate
from flows.demo import pictures
from flows.evaluation.draw_text import draw_all
from flows.ladder import PRESETS

RESULTS = Path(__file__).parent / "results" / "presets.json"


def main() -> None:
    """Work the pictures by every preset, print a table, and keep the figures."""
    files = []
    for name, clean, captions in pictures():
        buffer = io.BytesIO()
        Image.fromarray(draw_all(clean, captions)[0]).save(buffer, Image.registered_extensions()[Path(name).suffix], quality=95)
        files.append(buffer.getvalue())
    results = {}
    for preset in PRESETS:
        eraser = cleanplate.Eraser(preset)
        eraser.erase(files[0])
        seconds, texts = [], Counter[str]()
        for file in files:
            start = time.process_time()
            edit = eraser.erase(file)
            seconds.append(time.process_time() - start)
            texts.update(region.state for region in edit.regions)
        results[preset] = {
            "pictures": len(files),
            "seconds": float(np.mean(seconds)),
            "median_seconds": float(np.median(seconds)),
            "most_seconds": float(max(seconds)),
            "texts": dict(texts),
        }
        print(preset, json.dumps(results[preset]), flush=True)
    RESULTS.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
