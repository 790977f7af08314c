"""The benchmark of GPUs: full-size models, what it measures, and its end where no GPU is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from benchmarks import gpu, gpu_models
from cluster.profile import Profile
from flows.flow import Flow
from operators.ledger import index
from operators.models.folder import OVERRIDE
from tests.operators.generators import tiny

NO_MEMORY_FIGURES = {"allocated_gib": None, "reserved_gib": None, "process_gib": None}


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (gpu_models.unet_sd15, 859_535_364),
        (gpu_models.unet_sdxl, 2_567_478_084),
        (lambda: gpu_models.autoencoder(512, 0.18215, False), 83_653_863),
        (lambda: gpu_models.text_encoder(768, 12, 12, False), 123_060_480),
        (lambda: gpu_models.text_encoder(1280, 32, 20, True), 694_659_840),
    ],
    ids=["unet_sd15", "unet_sdxl", "autoencoder", "clip", "clip_big"],
)
def test_the_networks_have_as_many_weights_as_the_published_ones(make: Any, parameters: int) -> None:
    with torch.device("meta"):
        network = make()
    assert sum(weight.numel() for weight in network.parameters()) == parameters


def test_several_workers_share_one_gpu_by_equal_fractions() -> None:
    stages = [gpu.profile_of(workers, gpu=True).stage("inpaint_sdxl") for workers in (1, 2, 4)]
    assert [(stage.gpus, stage.pool) for stage in stages] == [(1.0, (1, 1)), (0.5, (2, 2)), (0.25, (4, 4))]
    assert gpu.profile_of(2, gpu=False).stage("inpaint_sdxl").gpus == 0.0


def test_a_difference_is_the_largest_one_and_the_share_of_values_that_differ() -> None:
    black, grey = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    grey[0, 0] = (0, 200, 7)
    assert gpu.difference("a and b", [black, black], [black, grey]) == {
        "between": "a and b",
        "grey_levels": 200,
        "values_that_differ": 2 / 24,
    }
    assert gpu.difference("a and b", [], [black])["grey_levels"] is None


def test_without_a_gpu_it_says_so_in_one_line_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for words in ([], ["--tiny"], ["--device", "cpu"]):
        assert gpu.main(words) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err) == ("", f"{gpu.NO_GPU}\n")


def test_a_run_fills_the_masked_part_of_every_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process instead of Ray."""

    @dataclass
    class Here:
        flow: Flow
        dest: str
        profile: Profile
        sizes: dict[int, int]

        def iter_batches(self, **_: object) -> Iterator[pa.Table]:
            for shard in self.sizes:
                rows = index.read_shard(self.dest, shard)
                for position in range(len(rows)):
                    yield self.flow.run(rows.slice(position, 1))

    monkeypatch.setattr(gpu, "connect", lambda flow, profile: profile)
    monkeypatch.setattr(gpu, "plan", Here)
    folder = tiny.saved("sd9", tmp_path / "model")
    (folder / OVERRIDE).write_text("steps: 2\nmicrobatch: 2\n")
    gpu.write_pictures(tmp_path, 3, 64)
    record = gpu.run_workers(folder, tmp_path, 2, 3, gpu=False)
    assert record.pop("images_per_second") > 0
    memory = {"worker_gib": record.pop("worker_gib"), "device_gib": record.pop("device_gib")}
    assert record == {"workers": 2, "gpus_per_worker": 0.0, "verdicts": {"edited": 3}}
    assert memory == {"worker_gib": None, "device_gib": None} or torch.cuda.is_available()


def test_tiny_models_on_the_cpu_go_through_every_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the runs of several workers, which need Ray."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    settings_of_runs = []

    def run_workers(folder: Path, work: Path, workers: int, images: int, gpu: bool) -> dict[str, Any]:
        settings_of_runs.append((folder.name, (folder / OVERRIDE).read_text().splitlines()[1], workers, images, gpu))
        assert len(list((work / "images").iterdir())) == len(list((work / "masks").iterdir())) == images
        if folder.name == "tiny-sdxl":
            raise RuntimeError("Ray has died\nof something")
        return {"workers": workers, "images_per_second": 2.5}

    monkeypatch.setattr(gpu, "run_workers", run_workers)
    report = tmp_path / "gpu.json"
    assert gpu.main(["--tiny", "--device", "cpu", "--folder", str(tmp_path), "--report", str(report)]) == 0
    result = json.loads(report.read_text())
    assert result["tiny"] is True and result["machine"]["device"] == "cpu"
    assert list(result["models"]) == ["sd15", "sdxl"]
    for model in result["models"].values():
        settings = model["settings"]
        keys = ("dtype", "microbatch", "channels_last", "pinned")
        assert [tuple(record[key] for key in keys) for record in settings] == [
            ("float16", 1, True, True),
            ("float16", 2, True, True),
            ("float16", 4, True, True),
            ("float16", 8, True, True),
            ("float16", 4, False, True),
            ("float16", 4, True, False),
            ("bfloat16", 1, True, True),
            ("bfloat16", 4, True, True),
            ("float32", 1, True, True),
            ("float32", 4, True, True),
        ]
        for record in settings:
            assert record["seconds_per_fill"] > 0 and record["images_per_second"] > 0
            assert record["same_bytes_twice"] and not record["halved_for_memory"] and record["errors"] == []
            assert {key: record[key] for key in NO_MEMORY_FIGURES} == NO_MEMORY_FIGURES
        assert {dtype: parts["finite"] for dtype, parts in model["parts"].items()} == {
            "float16": True,
            "bfloat16": True,
            "float32": True,
        }
        # On a CPU every type is float32 and no copy is pinned.
        differences = {record["between"]: record["grey_levels"] for record in model["differences"]}
        assert differences["float16 and float32"] == differences["bfloat16 and float32"] == 0
        assert differences["pinned copies and others"] == 0
        assert set(differences) >= {"microbatch 2 and 1", "microbatch 4 and 1", "microbatch 8 and 1", "channels last and first"}
    assert settings_of_runs == [(f"tiny-{name}", "steps: 2", 2, 6, False) for name in ("sd15", "sdxl")]
    [ended], [died] = (model["workers"] for model in result["models"].values())
    assert ended["images_per_second"] == 2.5 and ended["microbatch"] in (1, 2, 4, 8)
    assert died["error"] == "Ray has died"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("device cpu, torch ")
    assert sum(line.startswith("dtype ") for line in lines) == 20
    assert sum(line.startswith("between ") for line in lines) == 16
    assert sum(line.startswith("microbatch ") for line in lines) == 2
