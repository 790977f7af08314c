"""Evaluation suites: pictures with text whose truth is known, sorted into buckets and three sets.

The set `tune` is for choosing settings, the set `report` only for reporting results, and the set
`promise` for a last check, which no choice may be based on. A suite is a folder, so users can bring
their own:

    suite.json      name, and an entry per image: file, set, bucket, prompt, texts (polygons)
    images/         the pictures to clean
    truth/          the clean pictures, same names with `.png`; optional
    masks/          what the text covers, 0..255, same names with `.png`; optional
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from operators.pictures.formats.header import open_image
from operators.rows.arrays import Pixels

SETS = ("tune", "report", "promise")


@dataclass(frozen=True)
class Entry:
    """One image of a suite: its file name, set, bucket, prompt and the polygons of its texts."""

    file: str
    set: str
    bucket: str
    prompt: str
    texts: list[list[list[float]]]


@dataclass(frozen=True)
class Suite:
    """A suite in a folder."""

    name: str
    folder: Path
    entries: tuple[Entry, ...]

    def only(self, sets: Collection[str], buckets: Collection[str] = (), limit: int | None = None) -> Suite:
        """The suite with the entries of some sets and buckets alone; without buckets, of all.

        With a `limit`, only the first entries of these.

        Raises ValueError if it has a set or bucket of none of these names, or nothing of both.
        """
        for kind, names in (("set", sets), ("bucket", buckets)):
            present = {getattr(entry, kind) for entry in self.entries}
            if missing := sorted(set(names) - present - set(SETS if kind == "set" else ())):
                raise ValueError(f"no {kind} {missing[0]!r}: there are {', '.join(sorted(present))}")
        chosen = tuple(entry for entry in self.entries if entry.set in sets and (not buckets or entry.bucket in buckets))
        if not chosen:
            raise ValueError(f"suite {self.name} has no pictures of {', '.join([*sets, *buckets])}")
        return replace(self, entries=chosen[:limit])

    @property
    def checksum(self) -> str:
        """A hash of every file of the suite, 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for file in sorted(file for file in self.folder.rglob("*") if file.is_file()):
            digest.update(str(file.relative_to(self.folder)).encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    def image(self, entry: Entry) -> Path:
        """The path of the picture to clean."""
        return self.folder / "images" / entry.file

    def truth(self, entry: Entry) -> Pixels | None:
        """The clean picture (uint8 height x width x 3), or None if the suite lacks it."""
        return _read(self.folder / "truth" / entry.file, "RGB")

    def mask(self, entry: Entry) -> Pixels | None:
        """What the text covers (uint8 height x width), or None if the suite lacks it."""
        return _read(self.folder / "masks" / entry.file, "L")


def _read(path: Path, mode: str) -> Pixels | None:
    path = path.with_suffix(".png")
    return np.asarray(open_image(path.read_bytes()).convert(mode)) if path.is_file() else None


def _entry(number: int, content: dict[str, Any]) -> Entry:
    """One entry of suite.json. Raises ValueError that names a missing or an unknown key."""
    names = [field.name for field in fields(Entry)]
    place = f"entry {number} ({content.get('file', 'without a file')}) of suite.json"
    for key in names:
        if key not in content:
            raise ValueError(f"{place} has no key {key!r}")
    if unknown := sorted(set(content) - set(names)):
        raise ValueError(f"{place} has an unknown key {unknown[0]!r}; the keys are {', '.join(names)}")
    return Entry(**content)


def _contents(file: Path) -> Any:
    """The JSON of a file. Raises ValueError if there is no file or no JSON in it."""
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        raise ValueError(f"it has no {file.name}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{file.name} is not JSON: {error}") from None


def load(folder: Path) -> Suite:
    """The suite in a folder. Raises ValueError with one line if the folder holds no suite."""
    try:
        content = _contents(folder / "suite.json")
        for key in ("name", "entries"):
            if key not in content:
                raise ValueError(f"suite.json has no key {key!r}")
        suite = Suite(content["name"], folder, tuple(map(_entry, range(len(content["entries"])), content["entries"])))
        file_of_stem: dict[str, str] = {}
        for entry in suite.entries:
            other = file_of_stem.setdefault(str(Path(entry.file).with_suffix("")), entry.file)
            if other != entry.file:
                raise ValueError(f"{entry.file} and {other} differ only in their format, so they would share a truth")
            if entry.set not in SETS:
                raise ValueError(f"{entry.file} is in set {entry.set!r}, not in {' or '.join(SETS)}")
            if not suite.image(entry).is_file():
                raise ValueError(f"images/{entry.file} is missing")
        return suite
    except (OSError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{folder} is not a suite: {error}") from error
