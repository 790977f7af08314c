"""Forces an edit into every picture that the environment's packages and Pillow's own tests hold.

    python -m benchmarks.files [FOLDER ...] [--report FILE] [--done FILE]

The folders are searched for pictures by their names; without one, the installed packages are.
Each picture is worked in a process that ends after SECONDS: it is decoded, a square in its middle
becomes red, the file is written and read back. Then ImageMagick and libvips read source and output,
if they are installed: an output that one of them cannot read although it reads the source is worse
than its source. So is one in which exiftool finds more errors and warnings. The report
counts what became of the files, by format and code.

The end of each picture is added to the file that `--done` names. A benchmark that was interrupted
goes on from there; remove the file to measure again.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("apng", "avif", "bmp", "dib", "gif", "heic", "heif", "hif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpf", "jpg"),
        *("jpx", "jxl", "mpo", "png", "tif", "tiff", "webp"),
    )
)
SECONDS, READER_SECONDS = 60, 20
"""Longest time of one picture, and of another program that reads it."""
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


def work(source, output):
    data = Path(source).read_bytes()
    try:
        picture = decode(data, Limits())
        height, width = picture.upright.shape[:2]
        if picture.pages:
            height, width = picture.pages[0].height, picture.pages[0].width
        side = max(1, min(64, height // 2, width // 2))
        place = ((width - side) // 2, (height - side) // 2)
        edit = Edit(*place, np.full((side, side, 3), (250, 5, 10), np.uint8), np.ones((side, side), np.float32))
        edited = picture.edited([edit])
        if not edited.changed.any():
            return f"unchanged {picture.format}"
        result = encode(edited, data)
        wrong = check_written(result, edited, data)
        Path(output).write_bytes(result)
        return f"{'written_wrongly' if wrong else 'edited'} {picture.format} {wrong or ''}"
    except Failure as failure:
        return f"{failure.code} - {failure.message}"
    except (OSError, TypeError, ValueError) as error:
        return f"not_encoded - {error}"


for line in sys.stdin:
    print(" ".join(work(*line.rstrip("\\n").split("\\t")).split()), flush=True)
"""
"""The program of the worker process. It reads one picture a line, and answers each with one line:
how it ended, its format and a message.
"""


class End(NamedTuple):
    """What became of one picture."""

    path: str
    end: str
    format: str
    message: str
    worse: list[str]
    """The programs that read the source and not the output."""


class Worker:
    """A process that works one picture after the other, and is started again if it ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def work(self, file: Path, output: Path) -> tuple[str, str, str]:
        """What became of one picture: its end, its format and a message."""
        process = self._process or subprocess.Popen(
            [sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{file}\t{output}\n")
        process.stdin.flush()
        answered, _, _ = select.select([process.stdout], [], [], SECONDS)
        line = process.stdout.readline() if answered else ""
        if line:
            end, kind, *message = line.strip().split(" ", 2)
            return end, kind, " ".join(message)
        code = process.wait(READER_SECONDS) if answered else None
        self.close()
        return ("timed_out", "-", f"{SECONDS} s") if code is None else ("crashed", "-", f"exit code {code}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def pictures(folders: Sequence[Path]) -> Iterator[Path]:
    """Every picture below the folders, by the ending of its name, in order."""
    for folder in folders:
        yield from sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())


def worse_for(file: Path, output: Path) -> list[str]:
    """The programs that read the source and not the output, or find more errors in it."""
    found = [(name, command) for name, command in READERS.items() if shutil.which(command[0])]
    worse = [name for name, command in found if _reads(command, file) and not _reads(command, output)]
    if shutil.which("exiftool") and _complaints(output) > _complaints(file):
        worse.append("exiftool")
    return worse


def _reads(command: Sequence[str], file: Path) -> bool:
    try:
        return subprocess.run([*command, str(file)], check=False, capture_output=True, timeout=READER_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _complaints(file: Path) -> int:
    """How many errors and warnings exiftool finds in a file."""
    command = ["exiftool", "-validate", "-s3", "-Validate", str(file)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=READER_SECONDS).stdout
    return sum(int(number) for number in re.findall(r"(\d+) (?:Error|Warning)", answer))


def measure(folders: Sequence[Path], done: Path) -> dict[str, object]:
    """The totals over all pictures of the folders; `done` holds the ends of those worked before."""
    started, files = time.monotonic(), list(pictures(folders))
    ends = {end.path: end for end in _read(done)}
    worker = Worker()
    done.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, done.open("a") as log:
        for number, file in enumerate(files):
            if str(file) in ends:
                continue
            output = Path(scratch) / f"{number}{file.suffix}"
            end, kind, message = worker.work(file, output)
            programs = worse_for(file, output) if end == "edited" else []
            output.unlink(missing_ok=True)
            ends[str(file)] = End(str(file), end, kind, message, programs)
            log.write("\n" + json.dumps(ends[str(file)]._asdict()))  # the line before may have been cut
            log.flush()
    worker.close()
    return totals([ends[str(file)] for file in files], round(time.monotonic() - started))


def _read(done: Path) -> Iterator[End]:
    """The ends that a file of `measure` holds; a line that was cut is left out."""
    for line in done.read_text().splitlines() if done.exists() else ():
        try:
            yield End(**json.loads(line))
        except ValueError:
            continue


def totals(ends: Sequence[End], seconds: int) -> dict[str, object]:
    """How often each end was, and the files that need to be looked at."""
    edited = Counter(end.format for end in ends if end.end == "edited")
    bad = [end for end in ends if end.end in ("crashed", "timed_out", "written_wrongly", "not_encoded")]
    return {
        "files": len(ends),
        "ends": dict(sorted(Counter(end.end for end in ends).items())),
        "edited_by_format": dict(sorted(edited.items())),
        "worse_than_source": [f"{Path(end.path).name}: {name}" for end in ends for name in end.worse],
        "crashed_timed_out_or_not_written": [f"{Path(end.path).name}: {end.end}: {end.message}"[:200] for end in bad],
        "seconds_of_the_last_part": seconds,
    }


def main() -> None:
    """Measure and print the totals, or write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path(sysconfig.get_path("purelib"))])
    parser.add_argument("--report", type=Path)
    parser.add_argument("--done", type=Path, default=Path("build/files.jsonl"))
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.folders, arguments.done), indent=1) + "\n"
    if arguments.report is None:
        print(text)
    else:
        arguments.report.write_text(text)


if __name__ == "__main__":
    main()
