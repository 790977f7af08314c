"""The image encoder: the content of a picture as a vector, and how that vector was made.

`efficientnet-lite0` is shipped and needs no torch; the model card in
`operators/models/weights/encoder` says where it comes from. Any other name is a folder or a hub
id in the transformers layout: CLIP, SigLIP, DINOv2, or any other model that `AutoModel` loads and
that takes pixels only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.failure import RunError, first_line
from operators.rows.records import JsonObject
from operators.rows.timing import timed

PATH = Path(__file__).parents[1] / "models" / "weights" / "encoder" / "efficientnet_lite0.onnx"
SHIPPED = "efficientnet-lite0"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
Array = npt.NDArray[np.float32]
Embedding = npt.NDArray[np.float16]


@dataclass(frozen=True)
class EncoderDescriptor:
    """How an embedding is made; only embeddings with equal descriptors can be compared."""

    alias: str
    licence: str
    sha256: str
    """Checksum of the weights."""
    layer: str
    """The network's output that is the embedding."""
    length: int
    """Number of values in the embedding."""
    side: int
    """Side in pixels to which a whole picture is scaled."""
    region_side: int
    """Side in pixels to which a region is scaled; smaller if the network takes any size."""
    receptive_field: int
    """Input pixels that one cell of the pooled map sees; at least `side` if it sees everything."""
    step: int
    """Input pixels between neighbouring cells of the pooled map."""
    mean: tuple[float, float, float]
    """Subtracted from red, green and blue, whose values are 0..255."""
    deviation: tuple[float, float, float]
    """Divides red, green and blue after that."""
    stored: str = "float16"
    """Type in the row; it changes a value by at most 2^-11 of itself."""


SHIPPED_DESCRIPTOR = EncoderDescriptor(
    alias=SHIPPED,
    licence="Apache-2.0",
    sha256="30b8b48b38f13f3fd4714ed5fbb6de1ceb3a4fface8737de33bffd7e03f1fdf8",
    layer="mean of the head convolution, ReLU6",
    length=1280,
    side=224,
    region_side=128,
    receptive_field=851,
    step=32,
    mean=(127.0, 127.0, 127.0),
    deviation=(128.0, 128.0, 128.0),
)


@dataclass(frozen=True)
class ImageEncoder:
    """A network and the descriptor of its embeddings.

    It encodes one picture at a time, so that no embedding depends on other pictures.
    """

    descriptor: EncoderDescriptor
    network: Callable[[Array], Array]
    """Maps float32 1 x 3 x side x side to a float32 vector."""

    def embedding(self, rgb: Pixels, side: int) -> Embedding:
        """The embedding of a picture (uint8 height x width x 3), scaled to `side` pixels a side."""
        values = prepared(rgb, side, self.descriptor)
        with timed("model"):
            vector = self.network(values)
        limit = np.finfo(np.float16).max
        return np.clip(vector, -limit, limit).astype(np.float16)


def prepared(rgb: Pixels, side: int, descriptor: EncoderDescriptor) -> Array:
    """A picture as the network's input, float32 1 x 3 x side x side.

    The longer side is scaled to `side`, and the shorter one is padded by mirroring. The picture is
    neither cropped nor distorted, and the padding adds no border that it does not have.
    """
    factor = side / max(rgb.shape[:2])
    height, width = (min(side, max(1, round(length * factor))) for length in rgb.shape[:2])
    seen = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    top, left = (side - height) // 2, (side - width) // 2
    seen = cv2.copyMakeBorder(seen, top, side - height - top, left, side - width - left, cv2.BORDER_REFLECT)
    values = (seen.astype(np.float32) - np.array(descriptor.mean, np.float32)) / np.array(descriptor.deviation, np.float32)
    result: Array = np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)
    return result


def image_encoder(name: str = SHIPPED) -> ImageEncoder:
    """The process's encoder of that name.

    Raises RunError encoder_unreadable, in one line, if it cannot be loaded.
    """
    return load_once(f"encoder {name}", "", "", lambda: _load_shipped() if name == SHIPPED else _load_transformers(name))


def image_encoder_identity(name: str = SHIPPED) -> JsonObject:
    """What run.json records of the encoder: its descriptor."""
    return asdict(SHIPPED_DESCRIPTOR if name == SHIPPED else image_encoder(name).descriptor)


def _load_shipped() -> ImageEncoder:
    session = onnx_session(PATH)
    return ImageEncoder(SHIPPED_DESCRIPTOR, lambda values: session.run(None, {"pixels": values})[0][0])


def _load_transformers(name: str) -> ImageEncoder:
    """An encoder in the transformers layout.

    Its normalisation is read from `preprocessor_config.json` and applied here. That avoids the
    image processor, which needs torchvision.
    """
    try:
        import torch
        from transformers import AutoModel
        from transformers.utils import cached_file

        config_file = Path(cached_file(name, "preprocessor_config.json"))
        weights = [cached_file(name, file, _raise_exceptions_for_missing_entries=False) for file in WEIGHT_FILES]
        model, loading = AutoModel.from_pretrained(name, output_loading_info=True)
        settings = json.loads(config_file.read_text())
        missing = [key for key in loading["missing_keys"] if "pooler" not in key]
        if missing:
            raise ValueError(f"the weights lack {missing[0]}")
    except ImportError as error:
        raise RunError("encoder_unreadable", f"{name} needs the packages torch and transformers: {error}") from error
    except Exception as error:
        raise RunError("encoder_unreadable", f"{name} is not an image encoder: {first_line(error)}") from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    project = getattr(model, "get_image_features", None)
    pooled = project is not None or not loading["missing_keys"]

    def network(values: Array) -> Array:
        pixels = torch.from_numpy(values).to(device)
        with torch.inference_mode():
            output = project(pixel_values=pixels) if project else model(pixel_values=pixels)
        if isinstance(output, torch.Tensor):
            vector = output
        else:
            vector = output.pooler_output if pooled else output.last_hidden_state[:, 0]
        result: Array = vector[0].float().flatten().cpu().numpy()
        return result

    layer = "image features"
    if project is None:
        layer = "pooler" if pooled else "first token"

    vision = getattr(model.config, "vision_config", model.config)
    sizes = settings.get("crop_size") or settings.get("size") or vision.image_size
    side = int(next(iter(sizes.values())) if isinstance(sizes, dict) else sizes)
    scale = 1 / settings.get("rescale_factor", 1 / 255)
    mean, deviation = ([scale * value for value in settings[key]] for key in ("image_mean", "image_std"))
    descriptor = EncoderDescriptor(
        alias=name,
        licence="as its source says",
        sha256=hashlib.sha256("".join(file_sha256(Path(file)) for file in weights if file).encode()).hexdigest(),
        layer=layer,
        length=0,
        side=side,
        region_side=side,
        receptive_field=side,
        step=int(getattr(vision, "patch_size", side)),
        mean=(mean[0], mean[1], mean[2]),
        deviation=(deviation[0], deviation[1], deviation[2]),
    )
    length = len(network(prepared(np.zeros((side, side, 3), np.uint8), side, descriptor)))
    return ImageEncoder(EncoderDescriptor(**{**asdict(descriptor), "length": length}), network)
