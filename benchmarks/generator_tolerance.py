"""Measures how far a fill differs when sums run in another order: other thread counts, other
microbatch sizes, half precision.

    python -m benchmarks.generator_tolerance

The networks have the real classes but random weights, so the figures show how rounding spreads
through a loop of this length, not how a trained model looks. The tests assert identical fills on
one machine; this benchmark measures what they cannot assert.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from skimage import data

from operators.generators.catalogue import generator_of
from operators.generators.generator import Request
from operators.generators.tensors import unstack
from operators.models.card import ModelCard
from operators.models.registry import pin_checksums, resolve
from tests.operators.generators.tiny import saved

STEPS = 25
REGIONS = 3


def requests() -> list[Request]:
    """Square crops of a photograph, each with a band to fill."""
    crops = []
    for number in range(REGIONS):
        pixels = np.ascontiguousarray(data.astronaut()[60 * number : 60 * number + 128, 150:278])
        mask = np.zeros((128, 128, 4), np.uint8)
        mask[50:80, 20:108, :3] = 255
        crops.append(Request(pixels, mask, number, "the same surface continued"))
    return crops


def describe(name: str, first: list[np.ndarray], second: list[np.ndarray]) -> str:
    """One line: the largest difference in grey levels, and the share of values that differ."""
    differences = np.abs(np.stack(first).astype(int) - np.stack(second))
    return f"{name}: at most {differences.max()} grey levels, {np.mean(differences > 0):.4%} of the values differ"


def measure(kind: str, folder: Path) -> None:
    """Print the figures of one family of models."""
    card: ModelCard = pin_checksums(resolve(str(folder))).model_copy(update={"native_size": 128, "steps": STEPS})
    generator = generator_of(card, folder)

    def fills(size: int) -> list[np.ndarray]:
        work, done = requests(), []
        for start in range(0, len(work), size):
            done += unstack(generator.pictures(work[start : start + size]))
        return done

    torch.set_num_threads(1)
    alone, together = fills(1), fills(REGIONS)
    torch.set_num_threads(2)
    print(describe(f"{kind}, 2 threads against 1", alone, fills(1)))
    print(describe(f"{kind}, microbatch of {REGIONS} against 1", alone, together))
    networks = [part for part in generator.loaded.pipeline.components.values() if isinstance(part, torch.nn.Module)]
    for network in networks:
        network.to(torch.bfloat16)
    print(describe(f"{kind}, bfloat16 against float32", alone, fills(1)))


def main() -> None:
    """Measure every family that works in microbatches."""
    with tempfile.TemporaryDirectory() as root:
        for kind in ("sd9", "sd4", "sdxl", "flux_fill"):
            measure(kind, saved(kind, Path(root) / kind))


if __name__ == "__main__":
    main()
