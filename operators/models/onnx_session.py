"""Run ONNX models on one computing thread.

One thread gives the same values for the same input and does not compete with other workers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def onnx_session(path: Path) -> Any:
    """An ONNX Runtime session for the model file, on the CPU.

    It uses no memory arena, because arenas never shrink.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
