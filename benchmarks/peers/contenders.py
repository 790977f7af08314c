"""The contenders: what each is called, the matches it takes part in, and the command that runs
it.

In the match `text` a contender finds the text itself; in the match `masks` all are given the same
masks.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.manifest import Manifest

BUILD = Path("build/peers")
"""Where the environments of contenders lie that cannot share ours; see the Makefile."""
OURS = Path(sys.executable)
PACKAGE = "benchmarks.peers"


@dataclass(frozen=True)
class Contender:
    """One way to clean a folder of pictures: a module that is run by a Python of its own, and
    what it is told first.
    """

    name: str
    match: str
    module: str
    python: Path = OURS
    told: tuple[str, ...] = ()
    suffix: str | None = None
    """The one suffix that all its outputs have; None where they keep their sources'."""

    def command(self, manifest: Manifest, dest: Path, notes: Path) -> list[str]:
        """What to run."""
        places = [str(manifest.images), str(dest), str(notes)]
        masks = [str(manifest.masks)] if self.match == "masks" else []
        return [str(self.python), "-m", f"{PACKAGE}.{self.module}", *self.told, *places, *masks]

    def outputs(self, manifest: Manifest, dest: Path) -> list[Path]:
        """Where the pictures must be when it is done."""
        names = [path.name if self.suffix is None else path.stem + self.suffix for path in manifest.paths]
        return [dest / "images" / name for name in names]


CONTENDERS = (
    Contender("plain loop", "text", "plain_loop"),
    Contender("Ray Data, read_images", "text", "ray_images"),
    Contender("Daft", "text", "daft_frames", BUILD / "daft/bin/python"),
    Contender("multiprocessing pool", "text", "pool"),
    Contender("cleanplate, fused", "text", "ours", told=("laptop",)),
    Contender("cleanplate, staged", "text", "ours", told=("staged",)),
    Contender("IOPaint", "masks", "iopaint_run", BUILD / "iopaint/bin/python", suffix=".png"),
    Contender("cleanplate, given masks", "masks", "ours", told=("laptop",)),
)
"""In the order of the table."""
