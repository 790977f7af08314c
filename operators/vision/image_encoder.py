"""What is in a picture, as a vector: an image encoder and everything that must be known to use
its embeddings.

`efficientnet-lite0` is shipped (`operators/models/weights/encoder`, its model card says where
from) and needs no torch. Any other name is a folder or a hub id in the transformers layout: CLIP,
SigLIP, DINOv2, and whatever else `AutoModel` loads that takes pixels alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from operators.models.in_process import file_sha256, load_once
from operators.models.onnx_session import onnx_session
from operators.rows.arrays import Pixels
from operators.rows.failure import RunError, first_line
from operators.rows.timing import timed

PATH = Path(__file__).parents[1] / "models" / "weights" / "encoder" / "efficientnet_lite0.onnx"
SHIPPED = "efficientnet-lite0"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
Array = npt.NDArray[np.float32]
Embedding = npt.NDArray[np.float16]


@dataclass(frozen=True)
class EncoderDescriptor:
    """What an embedding was made by; two embeddings can be compared only if all of this is the
    same.
    """

    alias: str
    licence: str
    sha256: str
    layer: str
    """The output that is the embedding."""
    length: int
    side: int
    """Pixels a side at which a whole picture is seen."""
    region_side: int
    """Pixels a side at which a region is seen: smaller where the network takes any size."""
    receptive_field: int
    """Pixels of the input that one cell of the pooled map sees; not smaller than `side` means:
    everything.
    """
    step: int
    """Pixels between neighbouring cells."""
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    """Taken off and divided by, per channel, of values 0..255 in the order red, green, blue."""
    stored: str = "float16"
    """Type in the row: a value is off by at most 2^-11 of itself."""


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
    """A descriptor and the network: float32 1 x 3 x side x side to a float32 vector. One picture
    at a time, so that no embedding depends on its neighbours.
    """

    descriptor: EncoderDescriptor
    network: Callable[[Array], Array]

    def embedding(self, rgb: Pixels, side: int) -> Embedding:
        """The embedding of a picture (uint8 height x width x 3) that is seen at `side` pixels a
        side.
        """
        values = prepared(rgb, side, self.descriptor)
        with timed("model"):
            vector = self.network(values)
        limit = np.finfo(np.float16).max
        return np.clip(vector, -limit, limit).astype(np.float16)


def prepared(rgb: Pixels, side: int, descriptor: EncoderDescriptor) -> Array:
    """A picture as the network takes it: its longer side brought to `side`, the rest mirrored,
    float32 1 x 3 x side x side.

    Nothing is cut off, nothing changes its shape, and no border appears that the picture does not
    have.
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
    """The process's encoder of that name. Raises RunError encoder_unreadable, in one line, if it
    cannot be loaded.
    """
    return load_once(f"encoder {name}", "", "", lambda: _shipped() if name == SHIPPED else _transformers(name))


def image_encoder_identity(name: str = SHIPPED) -> dict[str, Any]:
    """What run.json says of the encoder: its descriptor."""
    return asdict(SHIPPED_DESCRIPTOR if name == SHIPPED else image_encoder(name).descriptor)


def _shipped() -> ImageEncoder:
    session = onnx_session(PATH)
    return ImageEncoder(SHIPPED_DESCRIPTOR, lambda values: session.run(None, {"pixels": values})[0][0])


def _transformers(name: str) -> ImageEncoder:
    """An encoder in the transformers layout.

    Its normalisation is read from `preprocessor_config.json` and done here, so that no image
    processor, and with it torchvision, is needed.
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
        raise RunError("encoder_unreadable", f"{name} is no image encoder: {first_line(error)}") from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    pooled = hasattr(model, "get_image_features") or not loading["missing_keys"]

    def network(values: Array) -> Array:
        pixels = torch.from_numpy(values).to(device)
        with torch.inference_mode():
            projected = getattr(model, "get_image_features", None)
            output = projected(pixel_values=pixels) if projected else model(pixel_values=pixels)
        vector = (
            output if isinstance(output, torch.Tensor) else output.pooler_output if pooled else output.last_hidden_state[:, 0]
        )
        result: Array = vector[0].float().flatten().cpu().numpy()
        return result

    vision = getattr(model.config, "vision_config", model.config)
    sizes = settings.get("crop_size") or settings.get("size") or vision.image_size
    side = int(next(iter(sizes.values())) if isinstance(sizes, dict) else sizes)
    scale = 1 / settings.get("rescale_factor", 1 / 255)
    mean, deviation = ([scale * value for value in settings[key]] for key in ("image_mean", "image_std"))
    descriptor = EncoderDescriptor(
        alias=name,
        licence="as its source says",
        sha256=hashlib.sha256("".join(file_sha256(Path(file)) for file in weights if file).encode()).hexdigest(),
        layer="image features" if hasattr(model, "get_image_features") else "pooler" if pooled else "first token",
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
