"""Measures the memory of large results: the peak resident size of a process that enlarges one
picture by 4, for growing pictures.

    python -m benchmarks.enlarge_memory [--megapixels 25 50 100]

Each size runs in a fresh process. The picture is smooth except for one textured corner, so that
both branches run.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import resource
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

RESULTS = Path(__file__).parent / "results"


def draw_source(side: int, kind: str) -> bytes:
    """A square picture as the bytes of a file."""
    from skimage import data

    across, down = np.meshgrid(np.linspace(40, 200, side), np.linspace(60, 180, side))
    picture = np.stack([across, down, across / 2 + down / 2], axis=2).astype(np.uint8)
    picture[:200, :200] = data.astronaut()[100:300, 100:300]
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind)
    return buffer.getvalue()


def measure_peak(side: int, kind: str) -> tuple[float, float, float]:
    """Peak resident MiB before and after enlarging, and the size of the result in MiB."""
    import pyarrow as pa

    from operators.enlarge import Enlarge
    from operators.models.threads import use_one_thread
    from operators.rows.schema import complete_rows
    from operators.rows.table import row_views

    use_one_thread()
    operator = Enlarge(scale=4.0)
    operator.open()
    data = draw_source(side, kind)
    columns = {"image_id": ["0"], "uri": ["a"], "path": ["a"], "shard": pa.array([0], pa.int32())}
    table = complete_rows(pa.table({**columns, "bytes": pa.array([data], pa.large_binary()), "source_sha256": ["0"]}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = row_views(operator.apply(table))[0]
    encoded = row.data("encoded")
    if encoded is None:
        raise RuntimeError(f"not enlarged: {row['failure']}")
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(encoded) / 2**20


def measure_all(megapixels: Sequence[int], kinds: Sequence[str]) -> list[dict[str, float | str]]:
    """Measure every size in every format, each in a fresh process."""
    records: list[dict[str, float | str]] = []
    for kind in kinds:
        for size in megapixels:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                before, after, file = pool.submit(measure_peak, round(math.sqrt(size * 1e6) / 4), kind).result()
            records.append({"format": kind, "megapixels": size, "before": before, "peak": after, "file": file})
            print(f"{kind:5} {size:4d} megapixels: {before:6.0f} MiB before, {after:6.0f} MiB at the peak, file {file:.0f} MiB")
    return records


def main() -> None:
    """Measure, print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=int, nargs="+", default=[25, 50, 100])
    parser.add_argument("--formats", nargs="+", default=["PNG", "JPEG"])
    options = parser.parse_args()
    records = measure_all(options.megapixels, options.formats)
    (RESULTS / "enlarge-memory.json").write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
