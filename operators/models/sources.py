"""Where models come from, and how their files get into a folder of this machine: a hub, or any
fsspec storage.
"""

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
    """Where a model comes from: a source with `://` is a URL, one that begins like a path a
    folder, any other a hub id.
    """
    if not card.source:
        return "code"
    if storage.is_local(card.source):
        return "folder" if card.source.startswith(("/", ".", "~", "file://")) else "hub"
    return "url"


def bring(card: ModelCard, expected: Mapping[str, str], why: str, target: Path) -> dict[str, str]:
    """Put the model's files into the folder `target` and return their SHA-256 by name.

    `expected` says which files and which checksums (empty: those that a pipeline loads, of any
    checksum), `why` where that is from. Raises RunError model_checksum naming the first file that
    differs, model_unavailable, model_invalid, model_unsafe, package_missing; Failure of a
    storage; OSError of the disk under `target`.
    """
    check_names(expected)
    return (_from_hub if origin(card) == "hub" else _from_url)(card, expected, why, target)


def compare(card: ModelCard, expected: Mapping[str, str], actual: Mapping[str, str], why: str) -> None:
    """Raise RunError model_checksum with the first file whose SHA-256 is another one than
    expected.
    """
    for name, wanted in expected.items():
        if actual[name] != wanted:
            raise RunError("model_checksum", f"{card.alias}: {name} has SHA-256 {actual[name]}, expected is {wanted} {why}")


def check_names(names: Collection[str]) -> None:
    """Refuse pickled weights (RunError model_unsafe) and names that lead out of the model's
    folder (model_invalid).
    """
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise RunError("model_invalid", f"the file name {name!r} leads out of the model's folder")
        if path.suffix in PICKLED:
            raise RunError("model_unsafe", f"{name} is pickled and could run code; save the model as safetensors")


def _from_url(card: ModelCard, expected: Mapping[str, str], why: str, target: Path) -> dict[str, str]:
    """Copy a folder of any storage, hashing on the way; what an earlier attempt left is dropped."""
    shutil.rmtree(target)
    target.mkdir()
    names = sorted(expected)
    if not names:
        where = storage.joined(card.source, INDEX)
        present = list_files(card.source)
        if INDEX not in present:
            raise RunError("model_invalid", f"{card.source} has no {INDEX}: not a folder in diffusers' format")
        names = list(select_files(present, parse_json(storage.read(where), where), card.variant))
        check_names(names)
    sums = {}
    for name in names:
        sums[name] = _copied(storage.joined(card.source, name), target / name)
        compare(card, {name: expected.get(name, sums[name])}, sums, why)
    return sums


def _copied(uri: str, target: Path) -> str:
    """Copy an object to a local file and return its SHA-256. Raises Failure as `storage.read`
    does.
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


def _from_hub(card: ModelCard, expected: Mapping[str, str], why: str, target: Path) -> dict[str, str]:
    """Download one commit; what an earlier attempt left is gone on with. The hub's own checksums
    are verified, too.
    """
    listing = _reached(card, lambda: _downloaded(card, sorted(expected), target))
    sums = {name: file_sha256(target / name) for name in listing}
    compare(card, expected, sums, why)
    compare(card, {name: sha256 for name, sha256 in listing.items() if sha256}, sums, "as the hub says")
    shutil.rmtree(target / ".cache", ignore_errors=True)
    for path in target.rglob("*"):
        if path.is_file() and path.relative_to(target).as_posix() not in listing:
            path.unlink()
    return sums


def _downloaded(card: ModelCard, names: list[str], target: Path) -> dict[str, str]:
    """The files now under `target`, each with the SHA-256 that the hub gives of it (empty where
    it gives none).
    """
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


def _reached(card: ModelCard, call: Callable[[], Result]) -> Result:
    """The result of a call to the hub; what goes wrong is one line that says what to do."""
    try:
        from huggingface_hub import errors
    except ModuleNotFoundError:
        raise RunError("package_missing", f"{card.alias} is pulled by huggingface_hub; install cleanplate[diffusion]") from None
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set"),
        (errors.GatedRepoError, "the hub wants its licence accepted, and HF_TOKEN set"),
        (errors.RevisionNotFoundError, f"the hub knows no revision {card.revision}"),
        (errors.RepositoryNotFoundError, "the hub knows no such model, or wants HF_TOKEN set"),
    )
    try:
        return call()
    except RunError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and storage_failure(error, "").code in ("disk_full", "access_denied"):
            raise
        unreachable = f"the hub cannot be reached ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"
        reason = next((reason for kind, reason in reasons if isinstance(error, kind)), unreachable)
        raise RunError("model_unavailable", f"{card.alias} ({card.source}): {reason}; {ELSEWHERE}") from error
