"""A model's folder in diffusers' format: read into a card, checked before a run, loaded once per process."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import struct
import warnings
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from operators.failure import RunError
from operators.model_cache import cached, file_sha256, single_threaded
from operators.model_card import ModelCard

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)
"""What libraries raise for weights, configurations and tokenizers that are not what they should be."""

UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts of a pipeline that no fill needs."""


@dataclass(frozen=True)
class Loaded:
    """A pipeline with all its networks in place, and the torch device that they are on."""

    pipeline: Any
    device: str
    places_alike: dict[Hashable, bool] = field(default_factory=dict)
    """What `places` has found out, by size and kind of microbatch."""


def described(folder: str | Path) -> ModelCard:
    """The card of a folder of the user's own: sizes from its configurations, customary steps and guidance for its kind.

    The alias is the folder's name. Raises RunError model_invalid if it is no model, or if a weight file is damaged;
    package_missing without the packages to run it.
    """
    folder = Path(folder)
    index = _index(folder)
    _require_packages()
    kind = index["_class_name"]
    vae = _configuration(folder, "vqvae" if "vqvae" in index else "vae", index)
    cell = 2 ** (len(vae.get("block_out_channels", [0] * 4)) - 1)
    common = {
        "alias": folder.resolve().name,
        "licence": "unknown",
        "source": str(folder),
        "files": {str(path.relative_to(folder)): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()},
    }
    check_weights(folder)
    if kind.startswith("Amused"):
        side = _configuration(folder, "transformer", index).get("sample_size", 16) * cell
        return ModelCard(family="token_transformer", steps=12, guidance=10.0, native_size=side, size_multiple=cell, **common)
    if "unet" in index:
        unet = _configuration(folder, "unet", index)
        settings = {"native_size": unet.get("sample_size", 64) * cell, "size_multiple": cell, "steps": 25, "guidance": 7.5}
        return ModelCard(family="latent_diffusion", scheduler="DDIMScheduler", dtype="float16", **settings, **common)
    side = 1024 if kind.startswith(("Flux", "StableDiffusion3")) else 512
    steps, guidance = (50, 30.0) if kind.startswith("FluxFill") else (30, 4.0)
    settings = {"native_size": side, "size_multiple": 2 * cell, "steps": steps, "guidance": guidance, "dtype": "bfloat16"}
    return ModelCard(family="latent_diffusion", **settings, **common)


def _sha256(path: Path) -> str:
    """The file's SHA-256; gigabytes are read once, unless the file changes."""
    status = path.stat()
    return _sha256_of(path, status.st_size, status.st_mtime_ns)


@cache
def _sha256_of(path: Path, size: int, changed: int) -> str:
    return file_sha256(path)


def _require_packages() -> None:
    for package in ("torch", "diffusers", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise RunError("package_missing", f"{package}; install cleanplate[diffusion]")


def _index(folder: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((folder / "model_index.json").read_text())
        index["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("model_invalid", f"{folder} holds no model in diffusers' format ({_line(error)})") from error
    return index


def _configuration(folder: Path, component: str, index: dict[str, Any]) -> dict[str, Any]:
    if component not in index:
        return {}
    try:
        content: dict[str, Any] = json.loads((folder / component / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise RunError("model_invalid", f"{folder}: {component}/config.json: {_line(error)}") from error
    return content


def check_weights(folder: Path) -> None:
    """Raise RunError model_invalid, naming the file, unless every weight file is as long as its header says.

    Reads headers only: a run must not wait for gigabytes to learn that a download broke off.
    """
    for path in sorted(folder.rglob("*.safetensors")):
        name, size = path.relative_to(folder), path.stat().st_size
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, size)))
            ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError("model_invalid", f"{folder.name}: {name} is damaged: no header can be read") from error
        expected = 8 + length + max(ends, default=0)
        if size != expected:
            raise RunError("model_invalid", f"{folder.name}: {name} is damaged: {size} bytes, its header says {expected}")


def loaded(card: ModelCard, folder: Path) -> Loaded:
    """The folder's pipeline, loaded the first time that this process asks for it. Raises RunError model_invalid."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    checksum = hashlib.sha256(json.dumps([str(folder), card.files, card.dtype], sort_keys=True).encode()).hexdigest()
    if device == "cpu":
        single_threaded()
    return cached(card.alias, checksum, device, lambda: Loaded(_pipeline(card, folder, device), device))


def _pipeline(card: ModelCard, folder: Path, device: str) -> Any:
    index = _index(folder)
    check_weights(folder)
    _quiet()
    import diffusers
    import torch

    dtype = getattr(torch, card.dtype) if device != "cpu" else torch.float32
    try:
        networks = {
            name: _network(folder / name, entry[0], entry[1], dtype)
            for name, entry in index.items()
            if name not in UNUSED and isinstance(entry, list) and any((folder / name).glob("*.safetensors"))
        }
        given: dict[str, Any] = {**networks, **dict.fromkeys(name for name in UNUSED if name in index)}
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, **given)
    except UNREADABLE as error:
        raise RunError("model_invalid", f"{card.alias}: {_line(error)}") from error
    pipeline.set_progress_bar_config(disable=True)
    if device == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        pipeline.to(device)
        for network in networks.values():
            network.to(memory_format=torch.channels_last)
        # torch.compile of the denoising network belongs here, once a measurement shows that it pays for its warm-up.
    vae = getattr(pipeline, "vae", None)
    if vae is not None and getattr(vae.config, "force_upcast", False):
        vae.to(torch.float32)
    return pipeline


def _network(folder: Path, library: str, kind: str, dtype: Any) -> Any:
    """One network, with every weight from its file. Neither library refuses a file in which some are missing; here one does.

    Mismatched shapes are let through by the libraries only to be named here, both libraries' alike.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, report = getattr(importlib.import_module(library), kind).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            variant=_variant(folder),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **{"torch_dtype" if library == "diffusers" else "dtype": dtype},
        )
    for what in ("missing_keys", "mismatched_keys"):
        if report.get(what):
            first = sorted(report[what], key=str)[0]
            raise ValueError(f"{folder.name}: {len(report[what])} {what.replace('_', ' ')}, such as {first}")
    return network.eval().requires_grad_(False)


def _variant(folder: Path) -> str | None:
    """Which set of weights the folder holds: None for the plain one, `fp16` for `model.fp16.safetensors`."""
    names = [path.name for path in folder.glob("*.safetensors")]
    variants = {name.split(".")[1] if name.count(".") > 1 else None for name in names}
    return None if None in variants else sorted(variant for variant in variants if variant)[0]


def _quiet() -> None:
    """No chatter of the libraries: what matters is raised."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}" if lines else type(error).__name__
