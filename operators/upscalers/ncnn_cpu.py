"""Run upscaling networks by ncnn on one CPU thread.

For these networks of 3 x 3 convolutions it takes half the time of ONNX Runtime and of torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from operators.rows.timing import timed
from operators.upscalers.upscaler import Colour, Upscale


def ncnn_session(graph: Path, weights: Path) -> Upscale:
    """The network of a `.param` and a `.bin` file, in float32.

    ncnn's 16-bit modes are off by up to six grey levels.
    """
    import ncnn

    network: Any = ncnn.Net()
    options = network.opt
    options.num_threads = 1
    options.use_vulkan_compute = False
    options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = options.use_bf16_storage = False
    network.load_param(str(graph))
    network.load_model(str(weights))

    def upscale(picture: Colour) -> Colour:
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)
        with timed("model"):
            extractor = network.create_extractor()
            extractor.input("data", ncnn.Mat(planes))
            _, result = extractor.extract("output")
            values = np.clip(np.array(result), 0, 1)
        return np.ascontiguousarray(values.transpose(1, 2, 0))

    return upscale
