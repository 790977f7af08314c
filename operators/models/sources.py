"""Copy a model's files from their source, a hub or any fsspec storage, to a local folder."""

from __future__ import annotations

import glob
import hashlib
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

from operators.models.card import ModelCard
from operators.models.documents import parse_json
from operators.models.folder import INDEX, PICKLED, list_files, select_files
from operators.models.in_process import file_sha256
from operators.rows.failure import RunError
from operators.storage import files as storage
from operators.storage.retries import storage_failure, with_retries

Origin = Literal["code", "folder", "url", "hub"]
Result = TypeVar("Result")
ELSEWHERE = "pull it where there is a network and pass its folder instead of the alias"


def origin(card: ModelCard) -> Origin:
    """The kind of the card's source.

    An empty source means code, one with another scheme than `file://` a URL. A source that begins
    like a path or with `file://` is a folder, any other a hub id.
    """
    if not card.source:
        return "code"
    if storage.is_local(card.source):
        return "folder" if card.source.startswith(("/", ".", "~", "file://")) else "hub"
    return "url"


def fetch_files(card: ModelCard, expected: Mapping[str, str], reason: str, target: Path) -> dict[str, str]:
    """Copy the model's files into the folder `target` and return their SHA-256 by name.

    `expected` names the files and their checksums; if it is empty, the files that a pipeline
    loads are copied, whatever their checksums. `reason` says where the checksums come from.
    Raises RunError model_checksum naming the first file that differs, model_unavailable,
    model_invalid, model_unsafe, package_missing; Failure for storage errors; OSError for errors
    of the disk under `target`.
    """
    check_names(expected)
    return (_fetch_from_hub if origin(card) == "hub" else _fetch_from_url)(card, expected, reason, target)


def check_checksums(card: ModelCard, expected: Mapping[str, str], actual: Mapping[str, str], reason: str) -> None:
    """Raise RunError model_checksum, naming the first file whose SHA-256 is not as expected."""
    for name, sha256 in expected.items():
        if actual[name] != sha256:
            raise RunError("model_checksum", f"{card.alias}: {name} has SHA-256 {actual[name]}, expected {sha256} {reason}")


def check_names(names: Collection[str]) -> None:
    """Refuse pickled weights and names that lead out of the model's folder.

    Raises RunError model_unsafe and model_invalid respectively.
    """
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise RunError("model_invalid", f"the file name {name!r} leads out of the model's folder")
        if path.suffix in PICKLED:
            raise RunError("model_unsafe", f"{name} is pickled and could run code; save the model as safetensors")


def _fetch_from_url(card: ModelCard, expected: Mapping[str, str], reason: str, target: Path) -> dict[str, str]:
    """Copy a folder of any storage and hash its files on the way.

    Files left by an earlier attempt are dropped.
    """
    shutil.rmtree(target)
    target.mkdir()
    names = sorted(expected)
    if not names:
        where = storage.join(card.source, INDEX)
        present = list_files(card.source)
        if INDEX not in present:
            raise RunError("model_invalid", f"{card.source} has no {INDEX}: not a folder in diffusers' format")
        names = list(select_files(present, parse_json(storage.read(where), where), card.variant))
        check_names(names)
    sums = {}
    for name in names:
        sums[name] = _copy(storage.join(card.source, name), target / name)
        check_checksums(card, {name: expected.get(name, sums[name])}, sums, reason)
    return sums


def _copy(uri: str, target: Path) -> str:
    """Copy an object to a local file and return its SHA-256.

    Raises Failure as `storage.read` does.
    """
    files, path = storage.filesystem(uri)
    target.parent.mkdir(parents=True, exist_ok=True)

    def call() -> str:
        digest = hashlib.sha256()
        with files.open(path, "rb") as reader, target.open("wb") as writer:
            while block := reader.read(storage.COPY_BYTES):
                digest.update(block)
                writer.write(block)
        return digest.hexdigest()

    return with_retries(uri, call)


def _fetch_from_hub(card: ModelCard, expected: Mapping[str, str], reason: str, target: Path) -> dict[str, str]:
    """Download one commit, resuming an earlier attempt.

    The checksums that the hub lists are verified too.
    """
    listing = _call_hub(card, lambda: _download(card, sorted(expected), target))
    sums = {name: file_sha256(target / name) for name in listing}
    check_checksums(card, expected, sums, reason)
    check_checksums(card, {name: sha256 for name, sha256 in listing.items() if sha256}, sums, "as the hub says")
    shutil.rmtree(target / ".cache", ignore_errors=True)
    for path in target.rglob("*"):
        if path.is_file() and path.relative_to(target).as_posix() not in listing:
            path.unlink()
    return sums


def _download(card: ModelCard, names: list[str], target: Path) -> dict[str, str]:
    """Download files into `target`; return the SHA-256 that the hub lists for each, or ""."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    info = HfApi().model_info(card.source, revision=card.revision or None, files_metadata=True)
    listing = {file.rfilename: file.lfs.sha256 if file.lfs else "" for file in info.siblings or []}
    if not names:
        if INDEX not in listing:
            raise RunError("model_invalid", f"{card.source} has no {INDEX}: not in diffusers' format")
        index = Path(hf_hub_download(card.source, INDEX, revision=info.sha, local_dir=target))
        names = list(select_files(listing, parse_json(index.read_bytes(), INDEX), card.variant))
        check_names(names)
    for name in names:
        if name not in listing:
            raise RunError("model_unavailable", f"{card.alias}: {card.source} has no {name}")
    patterns = [glob.escape(name) for name in names]
    snapshot_download(card.source, revision=info.sha, local_dir=target, allow_patterns=patterns)
    return {name: listing[name] for name in names}


def _call_hub(card: ModelCard, call: Callable[[], Result]) -> Result:
    """The result of a call to the hub; errors become one line that says what to do."""
    try:
        from huggingface_hub import errors
    except ModuleNotFoundError:
        raise RunError("package_missing", f"{card.alias} is pulled by huggingface_hub; install cleanplate[diffusion]") from None

    def unreachable(error: Exception) -> str:
        first_line = str(error).strip().partition("\n")[0]
        return f"the hub cannot be reached ({type(error).__name__}: {first_line})"

    reasons: tuple[tuple[type[Exception], str], ...] = (
        (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set"),
        (errors.GatedRepoError, "accept its licence on the hub and set HF_TOKEN"),
        (errors.RevisionNotFoundError, f"the hub has no revision {card.revision}"),
        (errors.RepositoryNotFoundError, "the hub has no such model, or requires HF_TOKEN"),
    )
    try:
        return call()
    except RunError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and storage_failure(error, "").code in ("disk_full", "access_denied"):
            raise
        reason = next((reason for kind, reason in reasons if isinstance(error, kind)), unreachable(error))
        raise RunError("model_unavailable", f"{card.alias} ({card.source}): {reason}; {ELSEWHERE}") from error
