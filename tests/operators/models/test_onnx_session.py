"""ONNX models run on the CPU, or on the GPU that a stage reserves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from operators.models.gpu import RESERVED
from operators.models.onnx_session import CPU, CUDA, CUDA_OPTIONS, onnx_session, providers
from operators.vision.image_encoder import PATH


def test_only_a_stage_that_reserves_a_gpu_runs_there() -> None:
    with_cuda = ["TensorrtExecutionProvider", CUDA, CPU]
    assert providers(with_cuda, 0.0) == [CPU]
    assert providers(with_cuda, 0.5) == [(CUDA, CUDA_OPTIONS), CPU]
    assert providers(with_cuda, 1.0) == [(CUDA, CUDA_OPTIONS), CPU]


def test_a_package_without_cuda_runs_on_the_cpu() -> None:
    assert providers(["AzureExecutionProvider", CPU], 1.0) == [CPU]


def test_a_session_runs_on_the_cpu_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RESERVED, raising=False)
    assert onnx_session(PATH).get_providers() == [CPU]


def test_a_session_reports_nothing_to_the_maker_of_onnx_runtime(tmp_path: Path) -> None:
    """Its telemetry leaves a file with an identifier in the folder for temporary files."""
    code = (
        f"from pathlib import Path; from operators.models.onnx_session import onnx_session; onnx_session(Path({str(PATH)!r}))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)})
    assert list(tmp_path.rglob("*")) == []
