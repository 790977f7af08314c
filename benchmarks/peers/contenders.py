"""The contenders: the name of each, its match, and the command that runs it.

In the match `text` a contender finds the text itself; in the match `masks` all contenders get the
same masks.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.manifest import Manifest

BUILD = Path("build/peers")
"""The environments of contenders that cannot share cleanplate's own; see the Makefile."""
OURS = Path(sys.executable)
PACKAGE = "benchmarks.peers"


@dataclass(frozen=True)
class Contender:
    """One way to clean a folder of pictures: a module, the Python that runs it, and its first
    arguments.
    """

    name: str
    match: str
    module: str
    python: Path = OURS
    arguments: tuple[str, ...] = ()
    suffix: str | None = None
    """The suffix of all its outputs; None if they keep their sources' suffixes."""

    def command(self, manifest: Manifest, dest: Path, notes: Path) -> list[str]:
        """The command that cleans the manifest into `dest` and writes its notes."""
        folders = [str(manifest.images), str(dest), str(notes)]
        masks = [str(manifest.masks)] if self.match == "masks" else []
        return [str(self.python), "-m", f"{PACKAGE}.{self.module}", *self.arguments, *folders, *masks]

    def outputs(self, manifest: Manifest, dest: Path) -> list[Path]:
        """The paths that must hold the pictures when the contender is done."""
        names = [path.name if self.suffix is None else path.stem + self.suffix for path in manifest.paths]
        return [dest / "images" / name for name in names]


CONTENDERS = (
    Contender("plain loop", "text", "plain_loop"),
    Contender("Ray Data, read_images", "text", "ray_images"),
    Contender("Daft", "text", "daft_frames", BUILD / "daft/bin/python"),
    Contender("multiprocessing pool", "text", "pool", arguments=("ours",)),
    Contender("pool, packaged detector", "text", "pool", arguments=("packaged",)),
    Contender("cleanplate, fused", "text", "ours", arguments=("laptop",)),
    Contender("cleanplate, staged", "text", "ours", arguments=("staged",)),
    Contender("IOPaint", "masks", "iopaint_run", BUILD / "iopaint/bin/python", suffix=".png"),
    Contender("cleanplate, given masks", "masks", "ours", arguments=("laptop",)),
)
"""The contenders in the order of the table."""
