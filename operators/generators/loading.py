"""Load a folder in diffusers' format as a pipeline.

A pipeline is loaded once per process, or built without its weights to check the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operators.models.card import ModelCard
from operators.models.documents import parse_json
from operators.models.folder import INDEX, UNUSED, list_files, select_files, variants
from operators.models.gpu import limit_gpu_memory
from operators.models.in_process import load_once
from operators.models.threads import use_one_thread
from operators.rows.failure import RunError

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError)
"""What the libraries raise for invalid weights, configurations and tokenizers."""
CLIP_TOKENS = 77
"""The length of a prompt where neither the tokenizer nor the text encoder states one."""


@dataclass(frozen=True)
class Loaded:
    """A pipeline with all its networks, and the torch device they are on."""

    pipeline: Any
    device: str
    places_alike: dict[Hashable, bool] = field(default_factory=dict)
    """Results of `batch_invariance.invariant_microbatch`, by size and kind of microbatch."""


def load(card: ModelCard, folder: Path) -> Loaded:
    """The folder's pipeline, loaded the first time this process asks for these files.

    The card's checksums identify the files, see `registry.pin_checksums`. Raises RunError
    model_invalid, model_unsafe, and package_missing without the packages that run the model.
    """
    _require_packages()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    checksum = hashlib.sha256(
        json.dumps([str(folder), card.files, card.variant, card.dtype], sort_keys=True).encode()
    ).hexdigest()
    if device == "cpu":
        use_one_thread()
    else:
        limit_gpu_memory()
    return load_once(card.alias, checksum, device, lambda: Loaded(_load_pipeline(card, folder, device), device))


def load_without_weights(card: ModelCard, folder: Path) -> Loaded:
    """The folder's pipeline without its weights: only the headers of their files are read.

    The weights take no memory. Raises as `load` does, so a run learns in a second what its
    workers would find only after reading gigabytes.
    """
    _require_packages()
    with _without_weights():
        return Loaded(_load_pipeline(card, folder, "meta"), "meta")


def _require_packages() -> None:
    for package in ("torch", "diffusers", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise RunError("package_missing", f"{package}; install cleanplate[diffusion]")


@contextlib.contextmanager
def _without_weights() -> Iterator[None]:
    """Move every parameter that a network registers to torch's `meta` device, which has no data.

    transformers refuses to load under `torch.device("meta")`; a hook on parameters serves both
    libraries. Both map weights from their files, so weights that are not copied are not read.
    """
    import torch
    from torch.nn.modules.module import register_module_parameter_registration_hook

    def move_to_meta(module: Any, name: str, parameter: Any) -> Any:
        if parameter is None or parameter.is_meta:
            return parameter
        return torch.nn.Parameter(parameter.detach().to("meta"), requires_grad=False)

    hook = register_module_parameter_registration_hook(move_to_meta)
    try:
        yield
    finally:
        hook.remove()


def _load_pipeline(card: ModelCard, folder: Path, device: str) -> Any:
    index = parse_json((folder / INDEX).read_bytes(), str(folder / INDEX))
    variant_of = variants(select_files(list_files(str(folder)), index, card.variant))
    _mute_libraries()
    import diffusers
    import torch

    dtype = {"cpu": torch.float32, "meta": None}.get(device, getattr(torch, card.dtype))
    try:
        networks = {name: _load_network(folder / name, index[name], variant, dtype) for name, variant in variant_of.items()}
        components: dict[str, Any] = {**networks, **dict.fromkeys(name for name in UNUSED if name in index)}
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, **components)
    except UNREADABLE as error:
        raise RunError("model_invalid", f"{card.alias}: {_one_line(error)}") from error
    _limit_prompts(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    if device == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        pipeline.to(device)
        for network in networks.values():
            network.to(memory_format=torch.channels_last)
        # torch.compile of the denoising network belongs here once a measurement shows that it
        # pays for its warm-up.
    vae = getattr(pipeline, "vae", None)
    if vae is not None and getattr(vae.config, "force_upcast", False):
        vae.to(torch.float32)
    return pipeline


def _limit_prompts(pipeline: Any) -> None:
    """Give every tokenizer without a maximum length that of its text encoder, in tokens.

    transformers then states a number beyond any integer that a tokenizer can be called with.
    """
    for name, tokenizer in pipeline.components.items():
        if name.startswith("tokenizer") and getattr(tokenizer, "model_max_length", 0) > sys.maxsize:
            encoder = getattr(pipeline, name.replace("tokenizer", "text_encoder"), None)
            tokenizer.model_max_length = getattr(getattr(encoder, "config", None), "max_position_embeddings", CLIP_TOKENS)
    # Some pipelines have copied the length of their first tokenizer.
    if getattr(pipeline, "tokenizer_max_length", 0) > sys.maxsize:
        pipeline.tokenizer_max_length = pipeline.tokenizer.model_max_length


def _load_network(folder: Path, entry: list[str], variant: str, dtype: Any) -> Any:
    """One network with every weight from its file, as `dtype` (None: as in the file).

    Neither library refuses a file that lacks weights, so this function does. It lets mismatched
    shapes pass through the libraries and names them itself, in the same words for both. Raises
    ValueError for missing and mismatched weights.
    """
    library, kind = entry
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, report = getattr(importlib.import_module(library), kind).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            variant=variant or None,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **({"torch_dtype": dtype} if library == "diffusers" else {"dtype": dtype or "auto"}),
        )
    for problem in ("missing_keys", "mismatched_keys"):
        if report.get(problem):
            first = sorted(report[problem], key=str)[0]
            raise ValueError(f"{folder.name}: {len(report[problem])} {problem.replace('_', ' ')}, such as {first}")
    return network.eval().requires_grad_(False)


def _mute_libraries() -> None:
    """Silence the libraries' warnings and progress bars; errors that matter are raised."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}" if lines else type(error).__name__
