"""An evaluation suite: pictures with text whose truth is known, in buckets, in a set to tune on
and one only reported.

A suite is a folder, so that users bring their own:

    suite.json      name, and one entry an image: file, set (`tune` or `report`), bucket, prompt, texts (polygons)
    images/         what is to be cleaned
    truth/          the clean pictures, same names with `.png`; may be missing
    masks/          what the text covers, 0..255, same names with `.png`; may be missing

The default suite is drawn from pictures that packages carry, the same to the pixel every time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from operators.rows.arrays import Pixels

SETS = ("tune", "report")


@dataclass(frozen=True)
class Entry:
    """One image of a suite: its file name, its set and bucket, the prompt, and the polygons of
    its texts.
    """

    file: str
    set: str
    bucket: str
    prompt: str
    texts: list[list[list[float]]]


@dataclass(frozen=True)
class Suite:
    """A suite as it stands in a folder."""

    name: str
    folder: Path
    entries: tuple[Entry, ...]

    @property
    def checksum(self) -> str:
        """A hash of every file of the suite, 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for file in sorted(file for file in self.folder.rglob("*") if file.is_file()):
            digest.update(str(file.relative_to(self.folder)).encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    def image(self, entry: Entry) -> Path:
        """The picture to clean."""
        return self.folder / "images" / entry.file

    def truth(self, entry: Entry) -> Pixels | None:
        """The clean picture (uint8 height x width x 3), if the suite has it."""
        return _read(self.folder / "truth" / entry.file, "RGB")

    def mask(self, entry: Entry) -> Pixels | None:
        """What the text covers (uint8 height x width), if the suite has it."""
        return _read(self.folder / "masks" / entry.file, "L")


def _read(path: Path, mode: str) -> Pixels | None:
    path = path.with_suffix(".png")
    return np.asarray(Image.open(path).convert(mode)) if path.is_file() else None


def load(folder: Path) -> Suite:
    """The suite in a folder. Raises ValueError with one line if it is none."""
    try:
        content = json.loads((folder / "suite.json").read_text())
        suite = Suite(content["name"], folder, tuple(Entry(**entry) for entry in content["entries"]))
        stems: dict[str, str] = {}
        for entry in suite.entries:
            other = stems.setdefault(str(Path(entry.file).with_suffix("")), entry.file)
            if other != entry.file:
                raise ValueError(f"{entry.file} and {other} differ in nothing but their format, and would share a truth")
            if entry.set not in SETS:
                raise ValueError(f"{entry.file} is in set {entry.set!r}, not in {' or '.join(SETS)}")
            if not suite.image(entry).is_file():
                raise ValueError(f"there is no images/{entry.file}")
        return suite
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} is not a suite: {error}") from error
