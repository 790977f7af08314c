"""ncnn's files as a torch module, so that one set of weights serves CPUs by ncnn and GPUs by torch.

A `.param` file is a list of layers with their inputs, outputs and settings by number; the `.bin` file holds their weights
in the same order. Only the layers of Real-ESRGAN's networks are known here (RRDBNet and SRVGG); ncnn's own description of
both formats is `docs/developer-guide/param-and-model-file-structure.md` in its repository.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from operators.upscalers.upscaler import Colour, Upscale

HALF_PRECISION = 0x01306B47
"""What stands before weights stored as 16-bit floats; 0 before 32-bit ones."""
NEAREST = 1


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file: its kind, the names of what it reads and gives, and its settings by ncnn's numbers."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[str, str]


def layers_of(graph: Path) -> list[Layer]:
    """The layers of a `.param` file in their order."""
    layers = []
    for line in graph.read_text().splitlines()[2:]:
        kind, _, inputs, outputs, *rest = line.split()
        first, second = int(inputs), int(inputs) + int(outputs)
        settings = dict(word.split("=", 1) for word in rest[second:])
        layers.append(Layer(kind, tuple(rest[:first]), tuple(rest[first:second]), settings))
    return layers


def weights_of(layers: list[Layer], weights: Path) -> dict[str, Any]:
    """Tensors by `<first output>.weight` and `.bias`. Raises ValueError if the file does not fit the layers exactly."""
    import torch

    data, position, found = weights.read_bytes(), 0, {}

    def taken(count: int, dtype: type = np.float32) -> Any:
        nonlocal position
        values = np.frombuffer(data, dtype, count, position).astype(np.float32)
        position += -(-count * np.dtype(dtype).itemsize // 4) * 4
        return torch.from_numpy(values)

    for layer in layers:
        name, count = layer.outputs[0], int(layer.settings.get("0", 0))
        if layer.kind == "Convolution":
            tag = int(np.frombuffer(data, np.uint32, 1, position)[0])
            position += 4
            kernel = taken(int(layer.settings["6"]), np.float16 if tag == HALF_PRECISION else np.float32)
            side = int(layer.settings["1"])
            found[f"{name}.weight"] = kernel.reshape(count, -1, side, side)
            found[f"{name}.bias"] = taken(count)
        elif layer.kind == "PReLU":
            found[f"{name}.weight"] = taken(count)
    if position != len(data):
        raise ValueError(f"{weights.name}: {len(data)} bytes, the layers take {position}")
    return found


def _applied(layer: Layer, values: list[Any], weights: dict[str, Any]) -> Any:
    import torch
    import torch.nn.functional as f

    name, settings, first = layer.outputs[0], layer.settings, values[0]
    if layer.kind == "Convolution":
        result = f.conv2d(first, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=int(settings["4"]))
        leak = float(settings["-23310"].split(",")[1]) if settings.get("9") == "2" else 1.0
        return f.leaky_relu(result, leak) if leak != 1.0 else result
    if layer.kind == "PReLU":
        return f.prelu(first, weights[f"{name}.weight"])
    if layer.kind == "Concat":
        return torch.cat(values, 1)
    if layer.kind == "Eltwise":
        factors = [float(factor) for factor in settings["-23301"].split(",")[1:]]
        return sum(factor * value for factor, value in zip(factors, values, strict=True))
    if layer.kind == "BinaryOp":
        return first + values[1]
    if layer.kind == "PixelShuffle":
        return f.pixel_shuffle(first, int(settings["0"]))
    if layer.kind == "Interp":
        if int(settings["0"]) == NEAREST:
            return f.interpolate(first, scale_factor=float(settings["1"]), mode="nearest")
        return f.interpolate(first, scale_factor=float(settings["1"]), mode="bicubic", align_corners=False)
    raise ValueError(f"no layer {layer.kind}")


def torch_session(graph: Path, weights: Path, device: str) -> Upscale:
    """The network in torch, in float32, on a device such as `cuda`; ncnn's values to a hundredth of a grey level."""
    import torch

    layers = layers_of(graph)
    last_read = {name: number for number, layer in enumerate(layers) for name in layer.inputs}
    tensors = {name: tensor.to(device) for name, tensor in weights_of(layers, weights).items()}

    def upscale(picture: Colour) -> Colour:
        with torch.inference_mode():
            values = {layers[0].outputs[0]: torch.from_numpy(picture).permute(2, 0, 1)[None].to(device)}
            for number, layer in enumerate(layers[1:], 1):
                read = [values.pop(name) if last_read[name] == number else values[name] for name in layer.inputs]
                made = read * len(layer.outputs) if layer.kind == "Split" else [_applied(layer, read, tensors)]
                values.update(zip(layer.outputs, made, strict=True))
            result = values["output"][0].clamp(0, 1).permute(1, 2, 0)
        return np.ascontiguousarray(result.cpu().numpy())

    return upscale
