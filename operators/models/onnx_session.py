"""Run ONNX models on one computing thread, or on the GPU that the process's stage reserves.

One thread gives the same values for the same input and does not compete with other workers.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from operators.models.gpu import reserved_gpus

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
CUDA_OPTIONS = {
    # The default times all algorithms and takes the fastest, so two processes could differ.
    "cudnn_conv_algo_search": "HEURISTIC",
    "use_tf32": "0",
    # The default doubles its memory with each extension, which neighbours on the GPU lack.
    "arena_extend_strategy": "kSameAsRequested",
}
"""Settings of ONNX Runtime's CUDA provider that give the same values for the same input."""


def onnx_session(path: Path) -> Any:
    """An ONNX Runtime session for the model file.

    It runs on the CPU, without a memory arena, because arenas never shrink. In a stage that
    reserves a GPU it runs there, if the installed package is `onnxruntime-gpu`. ONNX Runtime does
    not report its use to its maker.
    """
    # It is read when the package is imported; its own function comes too late.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    chosen = providers(onnxruntime.get_available_providers(), reserved_gpus())
    if chosen[0] != CPU:
        options.use_deterministic_compute = True
        onnxruntime.preload_dlls()
    return onnxruntime.InferenceSession(str(path), options, providers=chosen)


def providers(available: Collection[str], gpus: float) -> list[Any]:
    """The providers to run on, the preferred first, with their options.

    `available` are those of the installed package, `gpus` is what the process's stage reserves.
    """
    return [(CUDA, CUDA_OPTIONS), CPU] if gpus > 0 and CUDA in available else [CPU]
