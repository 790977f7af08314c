"""Exports trained weights as a model's folder: diffusers' format, and a graph for ONNX Runtime.

    python -m training.diffusion_export --work build/diffusion --out build/diffusion/model

The folder holds the weights once, as float16 in `unet/diffusion_pytorch_model.safetensors`.
`unet/model.onnx` holds only the graph: its weights are external data at their offsets in the
safetensors file, converted to float32 when the model is loaded.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import torch

from operators.generators.pixel_diffusion import OVERLAP, PACKING, RESIDUAL_SCALE

WEIGHTS = "diffusion_pytorch_model.safetensors"
INDEX = {
    "_class_name": "PixelDiffusion",
    "_diffusers_version": "0.42.1",
    "unet": ["diffusers", "UNet2DModel"],
    "packing": PACKING,
    "residual_scale": RESIDUAL_SCALE,
    "overlap": OVERLAP,
    "prediction_type": "sample",
}


class _PlainNetwork(torch.nn.Module):
    """The network with plain tensors as input and output."""

    def __init__(self, unet: torch.nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, packed: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.unet(packed, level, return_dict=False)[0]
        return answer


def tensor_offsets(weights: Path) -> dict[str, tuple[int, int]]:
    """Each tensor's bytes in a safetensors file: offset from the file's start, and length."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {
        name: (8 + length + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def graph_of(unet: torch.nn.Module, weights: Path) -> bytes:
    """The network's ONNX graph (opset 17), with its weights as external data in the file
    `weights` in the same folder.
    """
    import onnx

    buffer = io.BytesIO()
    torch.onnx.export(
        _PlainNetwork(unet).eval(),
        (torch.zeros(1, unet.config["in_channels"], 32, 32), torch.ones(1)),
        buffer,
        input_names=["packed", "level"],
        output_names=["answer"],
        dynamic_axes={"packed": {2: "height", 3: "width"}, "answer": {2: "height", 3: "width"}},
        opset_version=17,
        do_constant_folding=False,
        dynamo=False,
    )
    model = onnx.load_model_from_string(buffer.getvalue())
    offsets = tensor_offsets(weights)
    converted = []
    for tensor in model.graph.initializer:
        name = tensor.name.removeprefix("unet.")
        offset, length = offsets[name]
        half = onnx.TensorProto(name=f"{name}.half", data_type=onnx.TensorProto.FLOAT16, dims=tensor.dims)
        half.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", weights.name), ("offset", offset), ("length", length)):
            half.external_data.add(key=key, value=str(value))
        converted.append((half, onnx.helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT)))
    del model.graph.initializer[:]
    model.graph.initializer.extend(half for half, _ in converted)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*(node for _, node in converted), *nodes])
    data: bytes = model.SerializeToString()
    return data


def export(work: Path, out: Path) -> float:
    """Write the folder, and return the largest difference between its output and torch's with the
    same float16 weights.
    """
    from diffusers import UNet2DModel

    from operators.models.onnx_session import onnx_session

    (out / "unet").mkdir(parents=True, exist_ok=True)
    for name in ("config.json", WEIGHTS):
        shutil.copyfile(work / "unet" / name, out / "unet" / name)
    (out / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n")
    unet = UNet2DModel.from_pretrained(out / "unet", torch_dtype=torch.float32).eval()
    (out / "unet" / "model.onnx").write_bytes(graph_of(unet, out / "unet" / WEIGHTS))
    values = np.random.default_rng(0).standard_normal((1, unet.config["in_channels"], 64, 64), np.float32)
    level = np.array([500], np.float32)
    with torch.inference_mode():
        expected = unet(torch.from_numpy(values), torch.from_numpy(level)).sample.numpy()
    output = onnx_session(out / "unet" / "model.onnx").run(None, {"packed": values, "level": level})[0]
    return float(np.abs(output - expected).max())


def main() -> None:
    """Export, and print the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder that training.diffusion wrote")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    print(f"largest difference from torch: {export(arguments.work, arguments.out):.2g}")


if __name__ == "__main__":
    main()
