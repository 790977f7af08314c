"""Pull models to this machine: once, by one process at a time, completely, every file checked.

A pulled model is the folder `<cache>/<name>`. Beside it lie `<name>.json` with the checksum of
every file, `<name>.lock`, which one process at a time holds, and during a pull the folder
`<name>.partial`. A model appears in one step, when that folder is renamed.

A card without checksums is trusted on first use: the first pull records the checksums, and every
later pull on this machine must match them. `registry.pin_checksums` returns a card that binds
other machines too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from operators.models.card import ModelCard
from operators.models.documents import parse_json
from operators.models.folder import INDEX, check_whole, list_files, select_files
from operators.models.in_process import file_sha256
from operators.models.sources import ELSEWHERE, check_checksums, check_names, fetch_files, origin
from operators.rows.failure import Failure, RunError
from operators.storage import files as storage

LISTED = "as its card lists"


@dataclass(frozen=True)
class Stamp:
    """A file when its checksum was computed; with equal size and time the checksum holds."""

    sha256: str
    """64 hexadecimal digits."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Time of the last change, nanoseconds since the epoch."""


Record = dict[str, Stamp]
"""The files of one model by their paths in it."""


def cache_folder() -> Path:
    """The folder of pulled models: the environment's CLEANPLATE_CACHE, else the user's cache."""
    chosen = os.environ.get("CLEANPLATE_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("cleanplate", appauthor=False) / "models"


def fetch_weights(card: ModelCard) -> Path:
    """The folder with the model's verified files on this machine, pulled if necessary.

    If the card's source is a folder, the files stay there. Checksums that the card lists are
    verified, and weights are checked for completeness. A pulled file counts as verified while
    its size and time are those of the pull. Raises RunError model_unavailable, model_checksum,
    model_invalid, model_unsafe, package_missing; ValueError for a model that is code.
    """
    if origin(card) != "folder":
        checksums(card)
        return _pulled_folder(card)
    if card.files:
        checksums(card)
    else:
        check_whole(*_folder_files(card))
    return _source_folder(card)


def checksums(card: ModelCard) -> dict[str, str]:
    """SHA-256 of every file of the model by its path in it, sorted.

    Pulls the model and raises as `fetch_weights` does.
    """
    if origin(card) == "code":
        raise ValueError(f"{card.alias} is code and has no files")
    record = _measure(card) if origin(card) == "folder" else _ensure_pulled(card)
    return {name: stamp.sha256 for name, stamp in sorted(record.items())}


def place(card: ModelCard) -> Path | None:
    """The folder of the model's files on this machine, pulled or not; None if it is code."""
    if origin(card) == "code":
        return None
    return _source_folder(card) if origin(card) == "folder" else _pulled_folder(card)


def known_checksums(card: ModelCard) -> dict[str, str]:
    """The checksums known without reading or pulling files: the card's, else the recorded ones."""
    return dict(card.files) or {name: stamp.sha256 for name, stamp in sorted(_read(card).items())}


def bytes_here(card: ModelCard) -> int | None:
    """Bytes of the model's files on this machine, 0 for code, None if it is not pulled yet."""
    if origin(card) == "code":
        return 0
    if origin(card) == "folder":
        folder, names = _folder_files(card)
        return sum((folder / name).stat().st_size for name in names)
    record = _read(card)
    return sum(stamp.size for stamp in record.values()) if _fits(card, record) else None


def _name(card: ModelCard) -> str:
    key = hashlib.sha256("\n".join([card.source, card.revision, card.variant]).encode()).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', card.alias)}-{key[:12]}"


def _pulled_folder(card: ModelCard) -> Path:
    return cache_folder() / _name(card)


def _beside(card: ModelCard, extension: str) -> Path:
    return cache_folder() / f"{_name(card)}.{extension}"


def _source_folder(card: ModelCard) -> Path:
    """The card's source folder; `./` is this package's folder `weights`, on any machine."""
    if card.source.startswith("./"):
        return Path(__file__).parent / "weights" / card.source
    return Path(card.source.removeprefix("file://")).expanduser().absolute()


def _folder_files(card: ModelCard) -> tuple[Path, tuple[str, ...]]:
    folder = _source_folder(card)
    if not folder.is_dir():
        raise RunError("model_unavailable", f"{card.alias}: there is no folder {folder} on this machine")
    present = list_files(str(folder))
    if card.files:
        check_names(card.files)
        for name in sorted(set(card.files) - set(present)):
            raise RunError("model_unavailable", f"{card.alias}: {folder / name} is missing")
        return folder, tuple(sorted(card.files))
    if INDEX not in present:
        raise RunError("model_invalid", f"{folder} has no {INDEX}: not a folder in diffusers' format")
    return folder, select_files(present, parse_json((folder / INDEX).read_bytes(), str(folder / INDEX)), card.variant)


def _stamp(path: Path, sha256: str) -> Stamp:
    status = path.stat()
    return Stamp(sha256, status.st_size, status.st_mtime_ns)


def _measure(card: ModelCard) -> Record:
    """Checksums of the files in a source folder, kept in the cache if it can be written."""
    folder, names = _folder_files(card)
    check_whole(folder, names)
    known, record = _read(card), {}
    for name in names:
        earlier = known.get(name)
        fresh = earlier is not None and _stamp(folder / name, earlier.sha256) == earlier
        record[name] = earlier if earlier and fresh else _stamp(folder / name, file_sha256(folder / name))
    if record != known:
        with contextlib.suppress(RunError):
            _write(card, record)
    check_checksums(card, card.files, {name: stamp.sha256 for name, stamp in record.items()}, LISTED)
    return record


def _read(card: ModelCard) -> Record:
    try:
        content = json.loads(_beside(card, "json").read_bytes())
        return {name: Stamp(**stamp) for name, stamp in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(card: ModelCard, record: Record) -> None:
    files = {name: asdict(stamp) for name, stamp in record.items()}
    content = {"source": card.source, "revision": card.revision, "files": files}
    try:
        storage.write(str(_beside(card, "json")), json.dumps(content, indent=1).encode())
    except Failure as failure:
        raise _unwritable(failure) from failure


def _unwritable(error: Exception) -> RunError:
    return RunError("model_unavailable", f"the cache {cache_folder()} cannot be written ({error}); set CLEANPLATE_CACHE")


def _fits(card: ModelCard, record: Record) -> bool:
    """Whether the cache still holds the recorded files and the card agrees with the record."""
    if not record or any(name not in record or record[name].sha256 != sha256 for name, sha256 in card.files.items()):
        return False
    try:
        return all(_stamp(_pulled_folder(card) / name, stamp.sha256) == stamp for name, stamp in record.items())
    except OSError:
        return False


def _ensure_pulled(card: ModelCard) -> Record:
    """The record of the model in the cache, pulled if the cache does not match its record."""
    record = _read(card)
    if _fits(card, record):
        return record
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with FileLock(_beside(card, "lock")):
            record = _read(card)
            return record if _fits(card, record) else _pull(card, record)
    except OSError as error:
        raise _unwritable(error) from error


def _pull(card: ModelCard, earlier: Record) -> Record:
    """Fetch the files, check them, and move them into place; the caller holds the lock."""
    expected, reason = dict(card.files), LISTED
    if not expected:
        expected = {name: stamp.sha256 for name, stamp in earlier.items()}
        reason = f"as first pulled here; delete {_beside(card, 'json')} to trust the source again"
    partial = _beside(card, "partial")
    partial.mkdir(exist_ok=True)
    try:
        sums = fetch_files(card, expected, reason, partial)
        check_whole(partial, sums)
    except Failure as failure:
        raise RunError("model_unavailable", f"{card.alias}: {failure}; {ELSEWHERE}") from failure
    except RunError as error:
        if error.code != "model_unavailable":
            shutil.rmtree(partial)
        raise
    record = {name: _stamp(partial / name, sha256) for name, sha256 in sums.items()}
    _write(card, record)
    shutil.rmtree(_pulled_folder(card), ignore_errors=True)
    partial.rename(_pulled_folder(card))
    return record
