"""Forces an edit into every picture that the environment's packages and Pillow's own tests hold.

    python -m benchmarks.files [FOLDER ...] [--report FILE]

The folders are searched for pictures by their names; without one, the installed packages are.
Each picture is worked in a process of its own with a time limit: it is decoded, a square in its
middle becomes red, the file is written and read back. Then ImageMagick and libvips read source
and output, if they are installed: an output that one of them cannot read although it reads the
source is worse than its source. The report counts what became of the files, by format and code.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("apng", "avif", "bmp", "dib", "gif", "heic", "heif", "hif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpf", "jpg"),
        *("jpx", "jxl", "mpo", "png", "tif", "tiff", "webp"),
    )
)
SECONDS = 60
"""Longest time of one picture."""
READERS = {"imagemagick": ["identify", "-regard-warnings"], "libvips": ["vips", "avg"]}
"""Other programs that read a picture completely, as commands to which its path is added."""
WORK = """
import sys
from pathlib import Path
import numpy as np
from operators.pictures.codec import Limits, decode, encode
from operators.pictures.picture import Edit
from operators.pictures.read_back import check_written
from operators.rows.failure import Failure
data = Path(sys.argv[1]).read_bytes()
try:
    picture = decode(data, Limits())
    height, width = picture.upright.shape[:2]
    side = max(1, min(64, height // 2, width // 2))
    place = ((width - side) // 2, (height - side) // 2)
    edit = Edit(*place, np.full((side, side, 3), (250, 5, 10), np.uint8), np.ones((side, side), np.float32))
    edited = picture.edited([edit])
    if not edited.changed.any():
        print("unchanged", picture.format)
    else:
        result = encode(edited, data)
        wrong = check_written(result, edited, data)
        Path(sys.argv[2]).write_bytes(result)
        print("written_wrongly" if wrong else "edited", picture.format, wrong or "")
except Failure as failure:
    print(failure.code, "-", failure.message)
except (OSError, TypeError, ValueError) as error:
    print("not_encoded", "-", error)
"""
"""What a process does with one picture: a line with its end, its format and a message."""


def pictures(folders: Sequence[Path]) -> Iterator[Path]:
    """Every picture below the folders, by the ending of its name, in order."""
    for folder in folders:
        yield from sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())


def forced(file: Path, output: Path) -> tuple[str, str, str]:
    """What became of one picture: its end, its format and a message."""
    command = [sys.executable, "-c", WORK, str(file), str(output)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "timed_out", "-", f"{SECONDS} s"
    if done.returncode:
        return "crashed", "-", (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    end, kind, *message = done.stdout.strip().splitlines()[-1].split(" ", 2)
    return end, kind, " ".join(message)


def worse_for(file: Path, output: Path) -> list[str]:
    """The programs that read the source and not the output."""
    found = [(name, command) for name, command in READERS.items() if shutil.which(command[0])]
    return [name for name, command in found if _reads(command, file) and not _reads(command, output)]


def _reads(command: Sequence[str], file: Path) -> bool:
    try:
        return subprocess.run([*command, str(file)], check=False, capture_output=True, timeout=SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def measure(folders: Sequence[Path], processes: int = 2) -> dict[str, object]:
    """The totals over all pictures of the folders."""
    started, files = time.monotonic(), list(pictures(folders))
    ends: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    worse: list[str] = []
    bad: list[str] = []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(processes) as pool:

        def work(number: int) -> tuple[str, str, str, list[str]]:
            output = Path(scratch) / f"{number}{files[number].suffix}"
            end, kind, message = forced(files[number], output)
            programs = worse_for(files[number], output) if end == "edited" else []
            output.unlink(missing_ok=True)
            return end, kind, message, programs

        for file, (end, kind, message, programs) in zip(files, pool.map(work, range(len(files))), strict=True):
            ends[end] += 1
            formats[kind] += end == "edited"
            worse += [f"{file.name}: {name}" for name in programs]
            if end in ("crashed", "timed_out", "written_wrongly", "not_encoded"):
                bad.append(f"{file.name}: {end}: {message}"[:200])
    return {
        "files": len(files),
        "ends": dict(sorted(ends.items())),
        "edited_by_format": dict(sorted((kind, count) for kind, count in formats.items() if count)),
        "worse_than_source": worse,
        "crashed_timed_out_or_not_written": bad,
        "seconds": round(time.monotonic() - started),
    }


def main() -> None:
    """Measure and print the totals, or write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path(sysconfig.get_path("purelib"))])
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.folders), indent=1) + "\n"
    if arguments.report is None:
        print(text)
    else:
        arguments.report.write_text(text)


if __name__ == "__main__":
    main()
