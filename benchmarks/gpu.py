"""Measures what a GPU gives: seconds a fill by microbatch, type of number, memory layout and kind
of copy; memory; images per second of several workers on one GPU; and how far fills differ.

    python -m benchmarks.gpu [--models sd15 sdxl] [--images 48] [--folder build/gpu]

The models have the full size and random weights (`benchmarks.gpu_models`), and are loaded as any
folder. So times and memory are those of real models, while the differences show how rounding
spreads through such a network, not how a trained model looks.

Without a GPU it ends with exit code 2. `--tiny --device cpu` runs the same code on tiny models,
which says that it works and nothing else: on a CPU all types are float32 and no copy is pinned.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from PIL import Image
from skimage import data

from benchmarks import gpu_models
from cluster.profile import Profile, Stage, load
from flows.engine.run import plan
from flows.engine.session import connect
from flows.engine.settings import installed_version
from flows.erase_text import inpaint_masks
from flows.ladder import Fills, Rung
from operators.generators.catalogue import generator_of
from operators.generators.generator import Request
from operators.generators.latent_diffusion import LatentDiffusion
from operators.generators.microbatch import Filled, fill_all
from operators.ledger import index, ledger
from operators.models.card import ModelCard
from operators.models.folder import OVERRIDE
from operators.models.in_process import forget_models
from operators.models.registry import pin_checksums, resolve
from operators.rows.arrays import Pixels
from operators.rows.failure import first_line
from operators.write import Write
from tests.operators.generators import tiny

RESULTS = Path(__file__).parent / "results"
NO_GPU = "no GPU: torch sees none here; --tiny --device cpu runs the same code on a CPU, without saying anything about a GPU"
TINY = {"sd15": "sd9", "sdxl": "sdxl"}
"""The tiny model that `--tiny` takes in place of each full-size one."""
DTYPE = "float16"
"""The type of the settings that differ in something else."""
FILLS = 8
"""Fills of each setting, so that each number of a microbatch divides them."""
GIB = 2**30
Record = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """One way to run a model."""

    dtype: str
    microbatch: int
    channels_last: bool = True
    pinned: bool = True


SETTINGS = (
    *(Setting(DTYPE, microbatch) for microbatch in (1, 2, 4, 8)),
    Setting(DTYPE, 4, channels_last=False),
    Setting(DTYPE, 4, pinned=False),
    *(Setting(dtype, microbatch) for dtype in ("bfloat16", "float32") for microbatch in (1, 4)),
)
"""The settings, those of one type together."""


def requests(side: int) -> list[Request]:
    """Square crops of `side` pixels, each with a band to fill."""
    picture = cv2.resize(data.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
    mask = np.zeros((side, side, 4), np.uint8)
    mask[side * 2 // 5 : side * 3 // 5, side // 8 : -side // 8, :3] = 255
    return [
        Request(np.ascontiguousarray(np.roll(picture, 7 * number, axis=1)), mask, number, "the same surface continued")
        for number in range(FILLS)
    ]


def nvidia_smi(query: str, fields: str) -> list[list[str]]:
    """Rows of what `nvidia-smi` answers; none where it is missing or fails."""
    command = ["nvidia-smi", f"--query-{query}={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in answer.splitlines() if line.strip()]


def process_memory() -> dict[int, float]:
    """GiB of GPU memory by process, as the driver counts them.

    In a container the numbers of processes may be those of the machine, or missing.
    """
    rows = nvidia_smi("compute-apps", "pid,used_memory")
    return {int(pid): float(used) / 1024 for pid, used in rows if pid.isdigit() and used.isdigit()}


def peak_memory() -> Record:
    """GiB of GPU memory of this process: torch's own peaks, and what the driver says now."""
    if not torch.cuda.is_available():
        return {"allocated_gib": None, "reserved_gib": None, "process_gib": None}
    return {
        "allocated_gib": torch.cuda.max_memory_allocated() / GIB,
        "reserved_gib": torch.cuda.max_memory_reserved() / GIB,
        "process_gib": process_memory().get(os.getpid()),
    }


def free_memory() -> None:
    """Give unused GPU memory back, and let the peaks begin anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def set_layout(generator: LatentDiffusion, channels_last: bool) -> None:
    """Store the kernels of all networks with their channels last, or first."""
    for part in generator.loaded.pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


@contextmanager
def copies(pinned: bool) -> Iterator[None]:
    """Inside the `with` block the generator copies as it does, or without pinned memory."""
    if pinned:
        yield
        return
    with patch("operators.generators.latent_diffusion.to_device", lambda values, device: values.to(device)):
        yield


def measure(card: ModelCard, folder: Path, setting: Setting, work: Sequence[Request]) -> tuple[Record, list[Pixels]]:
    """Fill all requests in one setting: the figures, and the fills (none if one has failed)."""
    generator = generator_of(card.model_copy(update={"dtype": setting.dtype, "microbatch": setting.microbatch}), folder)
    assert isinstance(generator, LatentDiffusion)
    set_layout(generator, setting.channels_last)
    generator.loaded.places_alike.clear()
    free_memory()
    with copies(setting.pinned):
        first = fill_all(generator, work[: setting.microbatch])
        start = time.perf_counter()
        outcomes = fill_all(generator, work)
        seconds = time.perf_counter() - start
    fills = [outcome.pixels for outcome in outcomes if isinstance(outcome, Filled)]
    again = [outcome.pixels for outcome in first if isinstance(outcome, Filled)]
    complete = len(fills) == len(work) and len(again) == len(first)
    record = {
        **asdict(setting),
        "seconds_per_fill": seconds / len(work),
        "images_per_second": len(work) / seconds,
        "same_bytes_twice": complete and all(map(np.array_equal, fills, again)),
        "places_alike": all(generator.loaded.places_alike.values()),
        "halved_for_memory": any(isinstance(outcome, Filled) and not outcome.repeatable for outcome in outcomes),
        "errors": [str(outcome).splitlines()[0][:200] for outcome in outcomes if isinstance(outcome, Exception)],
        **peak_memory(),
    }
    return record, fills if complete else []


def split_seconds(card: ModelCard, folder: Path, work: Sequence[Request]) -> Record:
    """Seconds of the parts of one call of one fill, and whether all its values are finite."""
    generator = generator_of(card, folder)
    assert isinstance(generator, LatentDiffusion)
    parts = {}
    with torch.inference_mode():
        for name, part in (("encode", generator.encode), ("denoise", generator.denoise), ("decode", generator.pictures)):
            part(work[:1])
            synchronize()
            start = time.perf_counter()
            result = part(work[:1])
            synchronize()
            # Each part begins with the one before it.
            parts[name] = max(0.0, time.perf_counter() - start - sum(parts.values()))
    return {**{f"{name}_seconds": value for name, value in parts.items()}, "finite": bool(torch.isfinite(result).all())}


def synchronize() -> None:
    """Wait until the GPU has done all work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def difference(name: str, first: Sequence[Pixels], second: Sequence[Pixels]) -> Record:
    """How far two lists of fills differ."""
    if not first or not second:
        return {"between": name, "grey_levels": None, "values_that_differ": None}
    levels = np.abs(np.stack(first).astype(np.int16) - np.stack(second))
    return {"between": name, "grey_levels": int(levels.max()), "values_that_differ": float(np.mean(levels > 0))}


def compare(fills: dict[Setting, list[Pixels]]) -> list[Record]:
    """The differences that types, microbatches, layouts and copies make."""
    alone, four = fills[Setting(DTYPE, 1)], fills[Setting(DTYPE, 4)]
    return [
        *(
            difference(f"{dtype} and {other}", fills[Setting(dtype, 1)], fills[Setting(other, 1)])
            for dtype, other in ((DTYPE, "float32"), ("bfloat16", "float32"), (DTYPE, "bfloat16"))
        ),
        *(difference(f"microbatch {size} and 1", fills[Setting(DTYPE, size)], alone) for size in (2, 4, 8)),
        difference("channels last and first", four, fills[Setting(DTYPE, 4, channels_last=False)]),
        difference("pinned copies and others", four, fills[Setting(DTYPE, 4, pinned=False)]),
    ]


def measure_model(folder: Path, steps: int | None) -> Record:
    """All figures of one model in this process."""
    card = pin_checksums(resolve(str(folder)))
    card = card.model_copy(update={"steps": steps or card.steps})
    work = requests(card.native_size)
    settings, parts, fills = [], {}, {}
    for dtype in dict.fromkeys(setting.dtype for setting in SETTINGS):
        for setting in (setting for setting in SETTINGS if setting.dtype == dtype):
            record, fills[setting] = measure(card, folder, setting, work)
            settings.append(record)
            print_record("", record)
        parts[dtype] = split_seconds(card.model_copy(update={"dtype": dtype}), folder, work)
        print_record(f"{dtype}, one fill", parts[dtype])
        forget_models()
        free_memory()
    differences = compare(fills)
    for record in differences:
        print_record("", record)
    return {
        "native_size": card.native_size,
        "steps": card.steps,
        "settings": settings,
        "parts": parts,
        "differences": differences,
    }


class MemoryWatch:
    """The peaks of GPU memory of all processes while a run goes on, in GiB."""

    def __init__(self) -> None:
        self.processes: dict[int, float] = {}
        self.device = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            for pid, used in process_memory().items():
                self.processes[pid] = max(used, self.processes.get(pid, 0.0))
            for (used,) in nvidia_smi("gpu", "memory.used")[:1]:
                self.device = max(self.device, float(used) / 1024)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def write_pictures(folder: Path, count: int, side: int) -> None:
    """Write `count` pictures of `side` pixels under `images`, and their masks under `masks`."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    work = requests(side)
    for number in range(count):
        request = work[number % len(work)]
        picture = np.roll(request.pixels, 3 * (number // len(work)), axis=0)
        Image.fromarray(picture).save(folder / "images" / f"{number:04d}.jpg", quality=95)
        Image.fromarray(request.mask[:, :, 0]).save(folder / "masks" / f"{number:04d}.png")


def profile_of(workers: int, gpu: bool) -> Profile:
    """The shipped profile for one GPU, with this many workers that share it."""
    shipped = load("one-gpu")
    stages = {name: stage.model_copy(update={"memory": None}) for name, stage in shipped.stages.items()}
    if not gpu:
        stages = {name: stage.model_copy(update={"pool": stage.pool and (1, 1)}) for name, stage in stages.items()}
    share = {"gpus": 1 / workers} if gpu else {"cpus": 0.5}
    stages["inpaint"] = Stage(**share, pool=(workers, workers), batch=FILLS)
    return shipped.model_copy(update={"stages": stages, "machines": {}, "local_cpus": 16.0})


def run_workers(folder: Path, work: Path, workers: int, images: int, gpu: bool) -> Record:
    """A run of the flow that fills given masks, in Ray, with `workers` processes on the GPU.

    Images are counted from the moment when a quarter of them has arrived: models are loaded then.
    """
    dest = str(work / f"out-{workers}")
    flow = inpaint_masks(str(work / "masks"), Fills((Rung(str(folder)),), budget=None)).then(Write(dest))
    profile = connect(flow, profile_of(workers, gpu))
    sizes = index.build(str(work / "images"), dest)
    arrivals: list[tuple[float, int]] = []
    with MemoryWatch() as memory:
        for batch in plan(flow, dest, profile, sizes).iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            arrivals.append((time.perf_counter(), len(batch) + (arrivals[-1][1] if arrivals else 0)))
    begin, before = next((moment, count) for moment, count in arrivals if count >= images / 4)
    end, total = arrivals[-1]
    others = {pid: used for pid, used in memory.processes.items() if pid != os.getpid()}
    return {
        "workers": workers,
        "gpus_per_worker": 1 / workers if gpu else 0.0,
        "images_per_second": (total - before) / (end - begin) if end > begin else None,
        "worker_gib": sorted(others.values(), reverse=True) or None,
        "device_gib": memory.device or None,
        "verdicts": dict(Counter(ledger.read(dest)["verdict"].to_pylist())),
    }


def measure_workers(folder: Path, model: Record, counts: Sequence[int], images: int, gpu: bool) -> list[Record]:
    """The same run with each number of workers, in the microbatch that was fastest."""
    usable = [record for record in model["settings"] if record["dtype"] == DTYPE and not record["errors"]]
    microbatch = max(usable, key=lambda record: record["images_per_second"])["microbatch"] if usable else 1
    (folder / OVERRIDE).write_text(f"microbatch: {microbatch}\nsteps: {model['steps']}\n")
    work, records = Path(tempfile.mkdtemp(prefix="cleanplate-gpu-")), []
    try:
        write_pictures(work, images, model["native_size"])
        for workers in counts:
            try:
                figures = run_workers(folder, work, workers, images, gpu)
            # What was measured before must not be lost with Ray.
            except Exception as error:
                figures = {"workers": workers, "error": first_line(error)}
            record = {"microbatch": microbatch, **figures}
            records.append(record)
            print_record("", record)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        (folder / OVERRIDE).unlink()
    return records


def describe_machine() -> Record:
    """The GPU and the packages."""
    packages = {name: installed_version(name) for name in ("torch", "diffusers", "transformers", "ray", "onnxruntime")}
    if not torch.cuda.is_available():
        return {"device": "cpu", **packages}
    card = torch.cuda.get_device_properties(0)
    [driver] = nvidia_smi("gpu", "driver_version")[:1] or [["unknown"]]
    facts = {"device": card.name, "memory_gib": card.total_memory / GIB, "capability": f"{card.major}.{card.minor}"}
    # Convolutions of float32 may round their inputs to 10 bits.
    libraries = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "tf32": torch.backends.cudnn.allow_tf32}
    return {**facts, "driver": driver[0], **libraries, **packages}


def print_record(name: str, record: Record) -> None:
    """One line: each figure's name and value."""
    cells = [f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in record.items()]
    print(": ".join(filter(None, [name, ", ".join(cells)])), flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Print all figures, save them as JSON, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(TINY), default=list(TINY))
    parser.add_argument("--images", type=int, default=48, help="images of each run with several workers")
    parser.add_argument("--folder", type=Path, default=Path("build/gpu"), help="where the models are kept")
    parser.add_argument("--report", type=Path, help="default: benchmarks/results/gpu.json, and none with --tiny")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    arguments = parser.parse_args(words)
    if arguments.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    gpu = torch.cuda.is_available()
    if not gpu and not (arguments.tiny and arguments.device == "cpu"):
        print(NO_GPU, file=sys.stderr)
        return 2
    counts, images = ((2,), 6) if arguments.tiny else ((1, 2, 4), arguments.images)
    file = arguments.report or (None if arguments.tiny else RESULTS / "gpu.json")
    report: Record = {"tiny": arguments.tiny, "machine": describe_machine(), "models": {}}
    print_record("", report["machine"])
    for name in arguments.models:
        print(f"\n{name}")
        if arguments.tiny:
            folder = tiny.saved(TINY[name], arguments.folder / f"tiny-{name}")
        else:
            folder = gpu_models.saved(name, arguments.folder / name)
        model = measure_model(folder, 2 if arguments.tiny else None)
        report["models"][name] = {**model, "workers": measure_workers(folder, model, counts, images, gpu)}
        if file is not None:
            file.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
