"""A folder in diffusers' format: what it tells about its model, which of its files a pipeline
loads, whether they are whole.

Such a folder holds `model_index.json`, which names the pipeline's class and its components, and
one folder per component.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import ValidationError

from operators.models.card import ModelCard
from operators.models.documents import parse_json, read_mapping
from operators.models.safetensors import check_parts, check_safetensors
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage

Result = TypeVar("Result")
INDEX = "model_index.json"
OVERRIDE = "cleanplate.yaml"
"""A file in the folder with fields of a card, which take the place of what the folder itself
tells.
"""
WEIGHTS = ".safetensors"
SETTINGS = frozenset({".json", ".txt", ".model"})
GRAPHS = {"PixelDiffusion": frozenset({".onnx"})}
"""Formats of the graphs that a pipeline of this class runs; other folders hold some that nothing
here would load.
"""
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
"""Formats whose reading can run code that somebody hid in them."""
UNUSED = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
"""Components that no fill needs; they are neither pulled nor loaded."""

HABITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Amused", {"steps": 12, "guidance": 10.0, "dtype": "float32"}),
    ("FluxFill", {"steps": 50, "guidance": 30.0, "dtype": "bfloat16"}),
    ("Flux", {"steps": 28, "guidance": 7.0, "dtype": "bfloat16"}),
    ("", {"steps": 30, "guidance": 4.0, "dtype": "bfloat16"}),
)
"""What no folder of a transformer says: settings by the beginning of the pipeline's class name;
the first that fits counts.
"""
UPSCALERS: dict[str, dict[str, Any]] = {
    "StableDiffusionUpscalePipeline": {},
    "LDMSuperResolutionPipeline": {"steps": 100, "guidance": 1.0, "dtype": "float32"},
}
"""Pipelines that enlarge a picture and fill nothing, and their own habits."""
UNET_HABITS: dict[str, Any] = {"steps": 25, "guidance": 7.5, "dtype": "float16", "scheduler": "DDIMScheduler"}
"""The same for folders of a U-Net, whose own schedulers often add noise."""


def card_of_folder(uri: str) -> ModelCard:
    """The card of a folder or fsspec URL in diffusers' format; nothing but its small
    configuration files is read.

    Raises RunError model_unavailable if there is no such folder, model_invalid if it is not in
    diffusers' format, model_unsafe if it has pickled weights only, model_card_invalid for a wrong
    `cleanplate.yaml` in it.
    """
    names = list_files(uri)
    if INDEX not in names:
        raise RunError("model_invalid", f"{uri} has no {INDEX}: not a folder in diffusers' format")
    index = _object(uri, INDEX)
    alias = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(uri).name).strip("-") or "model"
    fields: dict[str, Any] = {"alias": alias, "licence": "unknown", "source": uri, "variant": _only_variant(names, index)}
    chosen = select_files(names, index, fields["variant"])
    fields |= _shape(uri, names, index)
    stored = _asked(uri, lambda: sum(storage.size(storage.joined(uri, name)) for name in _weights(chosen)))
    fields["memory_gib"] = round(stored / 2**30 + 1, 1)
    return card_from({**fields, **_override(uri, names), "source": uri}, storage.joined(uri, OVERRIDE))


def list_files(uri: str) -> tuple[str, ...]:
    """The files under a folder or URL by their path in it. Raises RunError model_unavailable if
    there are none.
    """
    root = _asked(uri, lambda: storage.filesystem(uri)[1].rstrip("/") + "/")
    found = _asked(uri, lambda: storage.names(uri))
    names = tuple(sorted(name.removeprefix(root) for name in found if name.startswith(root)))
    if not names:
        raise RunError("model_unavailable", f"{uri}: no such folder, or nothing in it")
    return names


def select_files(names: Collection[str], index: Mapping[str, Any], variant: str) -> tuple[str, ...]:
    """The files that a fill by a model of this `model_index.json` needs, sorted: settings,
    vocabularies, one set of weights.

    Weights are of the variant where a component has it, else those without one. Raises RunError
    model_unsafe for a component whose weights are only pickled, model_invalid for one that is not
    there.
    """
    chosen = [INDEX]
    for component in _components(index):
        inside = [name for name in names if PurePosixPath(name).parent == PurePosixPath(component)]
        by_variant = {kind: [name for name in _weights(inside) if _variant(name) == kind] for kind in (variant, "")}
        weights = by_variant[variant] or by_variant[""]
        pickled = [name for name in inside if PurePosixPath(name).suffix in PICKLED]
        wants_weights = bool(pickled) or f"{component}/config.json" in inside
        if not inside:
            raise RunError("model_invalid", f"component {component} of {INDEX} has no files")
        if wants_weights and not weights and pickled:
            raise RunError("model_unsafe", f"{pickled[0]} is pickled and could run code; save the model as safetensors")
        if wants_weights and not weights:
            raise RunError("model_invalid", f"component {component} has no weights in safetensors")
        if weights and f"{component}/config.json" not in inside:
            raise RunError("model_invalid", f"component {component} has no config.json")
        kept = SETTINGS | GRAPHS.get(str(index.get("_class_name")), frozenset())
        chosen += weights + [name for name in inside if PurePosixPath(name).suffix in kept]
    return tuple(sorted(chosen))


def variants(chosen: Collection[str]) -> dict[str, str]:
    """The variant of the weights (empty for plain ones) of each component that has some among the
    selected files.
    """
    return {PurePosixPath(name).parts[0]: _variant(name) for name in _weights(chosen)}


def check_whole(folder: Path, names: Collection[str]) -> None:
    """Raise RunError model_invalid, naming the file, if weights are cut short, misshapen or miss
    a part of theirs.
    """
    for name in names:
        if name.endswith(WEIGHTS):
            check_safetensors(folder / name)
        elif name.endswith(".index.json"):
            check_parts(folder / name, names)


def card_from(fields: Mapping[str, Any], where: str) -> ModelCard:
    """The card of these fields. Raises RunError model_card_invalid with the first thing wrong."""
    try:
        return ModelCard.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the card"
        raise RunError("model_card_invalid", f"{where}: {place}: {first['msg']}") from None


def _components(index: Mapping[str, Any]) -> list[str]:
    present = [name for name, value in index.items() if isinstance(value, list) and value and value[0] is not None]
    return [name for name in present if name not in UNUSED]


def _weights(names: Collection[str]) -> list[str]:
    return [name for name in names if name.endswith(WEIGHTS)]


def _variant(name: str) -> str:
    """`fp16` of `unet/model.fp16-00001-of-00002.safetensors`; empty for `unet/model.safetensors`."""
    stem = PurePosixPath(name).name.removesuffix(WEIGHTS)
    return re.sub(r"-\d{5}-of-\d{5}", "", stem).partition(".")[2]


def _only_variant(names: Collection[str], index: Mapping[str, Any]) -> str:
    for component in _components(index):
        kinds = {_variant(name) for name in _weights(names) if PurePosixPath(name).parent == PurePosixPath(component)}
        if kinds and "" not in kinds:
            return min(kinds)
    return ""


def _shape(uri: str, names: Collection[str], index: Mapping[str, Any]) -> dict[str, Any]:
    """Family, sizes and habits, as the pipelines of diffusers derive them from the components'
    configurations.
    """
    pipeline = str(index.get("_class_name", ""))
    components = _components(index)
    core = next((name for name in ("unet", "transformer") if name in components), None)
    if core is None:
        raise RunError("model_invalid", f"{uri}: {INDEX} names neither a unet nor a transformer")
    decoder = next((name for name in ("vae", "vqvae", "movq") if name in components), None)
    network = _object(uri, f"{core}/config.json")
    scale = 1 if decoder is None else _reduction(_object(uri, f"{decoder}/config.json"))
    pairs = 2 if network.get("downsample", True) else 1
    side = network.get("sample_size")
    side = side if isinstance(side, int) and side > 0 else 128
    family = "latent_diffusion" if decoder else "pixel_diffusion"
    if pipeline.startswith("Amused"):
        family = "token_transformer"
    habits = UNET_HABITS
    if core == "transformer":
        habits = next(habits for beginning, habits in HABITS if pipeline.startswith(beginning))
    cells = _reduction(network) if core == "unet" else pairs
    if pipeline in UPSCALERS:
        return _upscaler({**habits, **UPSCALERS[pipeline]}, side, cells, scale)
    return {"family": family, "native_size": side * scale, "size_multiple": scale * cells, **habits}


def _upscaler(habits: Mapping[str, Any], side: int, cells: int, reduction: int) -> dict[str, Any]:
    """An upscaler's latent has the size of the picture that it is given, and its decoder enlarges
    that.

    Sides are multiples of both factors (powers of two), since some pipelines cut a picture to
    multiples of the decoder's.
    """
    return {"family": "upscaler", "native_size": side, "size_multiple": max(cells, reduction), "scale": reduction, **habits}


def _reduction(network: Mapping[str, Any]) -> int:
    """How many pixels or cells one side of the smallest layer's cells covers: each block but the
    last halves its input.
    """
    blocks = network.get("block_out_channels")
    return 2 ** (len(blocks) - 1) if isinstance(blocks, list) and blocks else 8


def _override(uri: str, names: Collection[str]) -> dict[str, Any]:
    if OVERRIDE not in names:
        return {}
    where = storage.joined(uri, OVERRIDE)
    fields = read_mapping(_asked(uri, lambda: storage.read(where)), where)
    if "source" in fields:
        raise RunError("model_card_invalid", f"{where}: the source is the folder itself")
    return fields


def _object(uri: str, name: str) -> dict[str, Any]:
    where = storage.joined(uri, name)
    return parse_json(_asked(uri, lambda: storage.read(where)), where)


def _asked(uri: str, call: Callable[[], Result]) -> Result:
    """The result of a storage call; what goes wrong is one line of the run."""
    try:
        return call()
    except Failure as failure:
        raise RunError("model_unavailable", str(failure)) from failure
    except (ValueError, ImportError, OSError) as error:
        raise RunError("model_unavailable", f"{uri}: {error}") from error
