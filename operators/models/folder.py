"""Read folders in diffusers' format: derive a card, select the files to load, check them.

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
"""A file in the folder with fields of a card, which override those derived from the folder."""
WEIGHTS = ".safetensors"
SETTINGS = frozenset({".json", ".txt", ".model"})
"""Formats of configurations and vocabularies."""
GRAPHS = {"PixelDiffusion": frozenset({".onnx"})}
"""Formats of graphs by the class of the pipeline that runs them.

Other folders may hold graphs too, but cleanplate does not load those.
"""
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})
"""Formats that can run hidden code when they are read."""
UNUSED = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
"""Components that no fill needs; they are neither pulled nor loaded."""

HABITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Amused", {"steps": 12, "guidance": 10.0, "dtype": "float32"}),
    ("FluxFill", {"steps": 50, "guidance": 30.0, "dtype": "bfloat16"}),
    ("Flux", {"steps": 28, "guidance": 7.0, "dtype": "bfloat16"}),
    ("", {"steps": 30, "guidance": 4.0, "dtype": "bfloat16"}),
)
"""Card fields that no folder of a transformer holds, by the start of the pipeline's class name.

The first match counts.
"""
UPSCALERS: dict[str, dict[str, Any]] = {
    "StableDiffusionUpscalePipeline": {},
    "LDMSuperResolutionPipeline": {"steps": 100, "guidance": 1.0, "dtype": "float32"},
}
"""Pipelines that enlarge a picture and fill nothing, with card fields that override the others."""
UNET_HABITS: dict[str, Any] = {"steps": 25, "guidance": 7.5, "dtype": "float16", "scheduler": "DDIMScheduler"}
"""The same for folders of a U-Net; the schedulers that they name often add noise."""


def card_of_folder(uri: str) -> ModelCard:
    """The card of a folder or fsspec URL in diffusers' format.

    Only the small configuration files are read. Raises RunError model_unavailable if there is no
    such folder, model_invalid if it is not in diffusers' format, model_unsafe if all its weights
    are pickled, model_card_invalid for an invalid `cleanplate.yaml` in it.
    """
    names = list_files(uri)
    if INDEX not in names:
        raise RunError("model_invalid", f"{uri} has no {INDEX}: not a folder in diffusers' format")
    index = _read_json(uri, INDEX)
    alias = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(uri).name).strip("-") or "model"
    fields: dict[str, Any] = {"alias": alias, "licence": "unknown", "source": uri, "variant": _only_variant(names, index)}
    selected = select_files(names, index, fields["variant"])
    fields |= _derive_fields(uri, index)
    stored = _call_storage(uri, lambda: sum(storage.size(storage.join(uri, name)) for name in _weights(selected)))
    fields["memory_gib"] = round(stored / 2**30 + 1, 1)
    return card_from({**fields, **_read_override(uri, names), "source": uri}, storage.join(uri, OVERRIDE))


def list_files(uri: str) -> tuple[str, ...]:
    """The files under a folder or URL by their paths in it, sorted.

    Raises RunError model_unavailable if there are none.
    """
    root = _call_storage(uri, lambda: storage.filesystem(uri)[1].rstrip("/") + "/")
    paths = _call_storage(uri, lambda: storage.list_paths(uri))
    names = tuple(sorted(path.removeprefix(root) for path in paths if path.startswith(root)))
    if not names:
        raise RunError("model_unavailable", f"{uri}: no such folder, or it is empty")
    return names


def select_files(names: Collection[str], index: Mapping[str, Any], variant: str) -> tuple[str, ...]:
    """The files that a fill needs, sorted: configurations, vocabularies, one set of weights.

    `names` are the files present, `index` is the content of `model_index.json`. A component's
    weights are those of the variant, or those without a variant if it lacks them. Raises RunError
    model_unsafe for a component with pickled weights only, model_invalid for one without files,
    weights or config.json.
    """
    selected = [INDEX]
    for component in _components(index):
        inside = [name for name in names if PurePosixPath(name).parent == PurePosixPath(component)]
        by_variant = {kind: [name for name in _weights(inside) if _variant(name) == kind] for kind in (variant, "")}
        weights = by_variant[variant] or by_variant[""]
        pickled = [name for name in inside if PurePosixPath(name).suffix in PICKLED]
        needs_weights = bool(pickled) or f"{component}/config.json" in inside
        if not inside:
            raise RunError("model_invalid", f"component {component} of {INDEX} has no files")
        if needs_weights and not weights and pickled:
            raise RunError("model_unsafe", f"{pickled[0]} is pickled and could run code; save the model as safetensors")
        if needs_weights and not weights:
            raise RunError("model_invalid", f"component {component} has no weights in safetensors")
        if weights and f"{component}/config.json" not in inside:
            raise RunError("model_invalid", f"component {component} has no config.json")
        suffixes = SETTINGS | GRAPHS.get(str(index.get("_class_name")), frozenset())
        selected += weights + [name for name in inside if PurePosixPath(name).suffix in suffixes]
    return tuple(sorted(selected))


def variants(selected: Collection[str]) -> dict[str, str]:
    """The variant of each component's weights among the selected files; "" for plain weights.

    Components without weights are left out.
    """
    return {PurePosixPath(name).parts[0]: _variant(name) for name in _weights(selected)}


def check_whole(folder: Path, names: Collection[str]) -> None:
    """Raise RunError model_invalid, naming the file, for weights that are damaged or incomplete."""
    for name in names:
        if name.endswith(WEIGHTS):
            check_safetensors(folder / name)
        elif name.endswith(".index.json"):
            check_parts(folder / name, names)


def card_from(fields: Mapping[str, Any], where: str) -> ModelCard:
    """The card with these fields, from the document `where`.

    Raises RunError model_card_invalid with the first error.
    """
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
    """`fp16` for `unet/model.fp16-00001-of-00002.safetensors`, "" for `unet/model.safetensors`."""
    stem = PurePosixPath(name).name.removesuffix(WEIGHTS)
    return re.sub(r"-\d{5}-of-\d{5}", "", stem).partition(".")[2]


def _only_variant(names: Collection[str], index: Mapping[str, Any]) -> str:
    """The first variant of the first component without plain weights; "" if all have plain ones."""
    for component in _components(index):
        kinds = {_variant(name) for name in _weights(names) if PurePosixPath(name).parent == PurePosixPath(component)}
        if kinds and "" not in kinds:
            return min(kinds)
    return ""


def _derive_fields(uri: str, index: Mapping[str, Any]) -> dict[str, Any]:
    """Family, sizes and sampling settings.

    The sizes follow from the components' configurations as in the pipelines of diffusers.
    """
    pipeline = str(index.get("_class_name", ""))
    components = _components(index)
    core = next((name for name in ("unet", "transformer") if name in components), None)
    if core is None:
        raise RunError("model_invalid", f"{uri}: {INDEX} names neither a unet nor a transformer")
    decoder = next((name for name in ("vae", "vqvae", "movq") if name in components), None)
    network = _read_json(uri, f"{core}/config.json")
    scale = 1 if decoder is None else _reduction(_read_json(uri, f"{decoder}/config.json"))
    patch = 2 if network.get("downsample", True) else 1
    side = network.get("sample_size")
    side = side if isinstance(side, int) and side > 0 else 128
    family = "latent_diffusion" if decoder else "pixel_diffusion"
    if pipeline.startswith("Amused"):
        family = "token_transformer"
    habits = UNET_HABITS
    if core == "transformer":
        habits = next(habits for beginning, habits in HABITS if pipeline.startswith(beginning))
    cells = _reduction(network) if core == "unet" else patch
    if pipeline in UPSCALERS:
        return _upscaler({**habits, **UPSCALERS[pipeline]}, side, cells, scale)
    return {"family": family, "native_size": side * scale, "size_multiple": scale * cells, **habits}


def _upscaler(habits: Mapping[str, Any], side: int, cells: int, reduction: int) -> dict[str, Any]:
    """The same for an upscaler, whose latent has the input's size and is enlarged by the decoder.

    Sides are multiples of both factors (powers of two), because some pipelines crop a picture to
    multiples of the decoder's factor.
    """
    return {"family": "upscaler", "native_size": side, "size_multiple": max(cells, reduction), "scale": reduction, **habits}


def _reduction(network: Mapping[str, Any]) -> int:
    """How many pixels (or latent cells) per side one cell of the smallest layer covers.

    Each block but the last halves its input.
    """
    blocks = network.get("block_out_channels")
    return 2 ** (len(blocks) - 1) if isinstance(blocks, list) and blocks else 8


def _read_override(uri: str, names: Collection[str]) -> dict[str, Any]:
    if OVERRIDE not in names:
        return {}
    where = storage.join(uri, OVERRIDE)
    fields = read_mapping(_call_storage(uri, lambda: storage.read(where)), where)
    if "source" in fields:
        raise RunError("model_card_invalid", f"{where}: source cannot be set, it is the folder itself")
    return fields


def _read_json(uri: str, name: str) -> dict[str, Any]:
    where = storage.join(uri, name)
    return parse_json(_call_storage(uri, lambda: storage.read(where)), where)


def _call_storage(uri: str, call: Callable[[], Result]) -> Result:
    """The result of a storage call; its errors become RunError model_unavailable."""
    try:
        return call()
    except Failure as failure:
        raise RunError("model_unavailable", str(failure)) from failure
    except (ValueError, ImportError, OSError) as error:
        raise RunError("model_unavailable", f"{uri}: {error}") from error
