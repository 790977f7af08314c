"""Damaged files of every format: no crash, no hang, and nothing but a Failure with a code.

Each parser gets forty damaged files in a process of its own, so that a crash of a library is
seen; `make fuzz` gives each of them CLEANPLATE_FUZZ_SECONDS of processor time instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.operators.pictures.test_formats_page import FILES, saved

SECONDS = float(os.environ.get("CLEANPLATE_FUZZ_SECONDS", "0"))
SLOWEST = 60
"""Seconds that may pass for one of processor time, because others may share the machine."""
LONGEST, HANGING = 5.0, 30
"""Seconds of processor time that one damaged file may take, and after which its process ends."""
WORK = """
import resource, sys, time
from pathlib import Path
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from operators.pictures.codec import Limits, decode, encode
from operators.pictures.picture import Edit
from operators.pictures.read_back import check_written
from operators.rows.failure import CODES, Failure

whole = Path(sys.argv[1]).read_bytes()
end, most = float(sys.argv[2]), int(float(sys.argv[2])) + int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_CPU, (most, most))
longest, count = float(sys.argv[3]), 0
changes = st.lists(st.tuples(st.integers(0, min(len(whole), 1200) - 1), st.integers(0, 255)), max_size=4)
inserted = st.one_of(st.just((0, b"")), st.tuples(st.integers(0, min(len(whole), 1200)), st.binary(max_size=12)))

@settings(max_examples=40, deadline=None, database=None, derandomize=float(sys.argv[2]) == 0,
          suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
@given(changes, inserted, st.integers(0, len(whole)), st.booleans())
def fuzz(changes, inserted, length, cut):
    global count
    damaged = bytearray(whole[:length] if cut else whole)
    for place, value in changes:
        if place < len(damaged):
            damaged[place] = value
    damaged[inserted[0] : inserted[0]] = inserted[1]
    data, started = bytes(damaged), time.process_time()
    Path(sys.argv[1] + ".last").write_bytes(data)
    try:
        picture = decode(data, Limits(max_pixels=4_000_000))
        edited = picture.edited([Edit(0, 0, np.full((4, 4, 3), 250, np.uint8), np.ones((4, 4), np.float32))])
        if edited.changed.any():
            check_written(encode(edited, data), edited, data)
    except Failure as failure:
        assert failure.code in CODES
    except (OSError, TypeError, ValueError):
        pass  # The operator that encodes makes these a Failure.
    count += 1
    assert time.process_time() - started < longest, f"{time.process_time() - started:.1f} s"

fuzz()
while time.process_time() < end:
    fuzz()
print(count)
"""
"""What the process does with one whole file."""


def several(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A file of three pictures that differ in one half."""
    pictures = [picture]
    for turn in range(2):
        pictures.append(picture.copy())
        pictures[-1].paste(picture.crop((0, 0, 32, 48)).rotate(90 * (turn + 1)), (0, 0))
    return saved(picture, kind, save_all=True, append_images=pictures[1:], **options)


PARSERS: dict[str, Callable[[Image.Image], bytes]] = {
    **FILES,
    "GIF of frames": lambda picture: several(picture, "GIF", duration=100),
    "PNG of frames": lambda picture: several(picture, "PNG", duration=100),
    "WEBP of frames": lambda picture: several(picture, "WEBP", duration=100, lossless=True),
    "TIFF of pages": lambda picture: saved(picture, "TIFF", save_all=True, append_images=[picture.convert("L")]),
}
"""A file for each parser."""


@pytest.mark.parametrize("name", PARSERS)
def test_damage_never_crashes_hangs_or_escapes(name: str, photo: np.ndarray, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(PARSERS[name](Image.fromarray(photo[:48, :64])))
    outside = set(os.listdir(tempfile.gettempdir()))
    command = [sys.executable, "-c", WORK, str(whole), str(SECONDS), str(LONGEST), str(HANGING)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SLOWEST * SECONDS + 100)
    assert done.returncode == 0, f"{done.stderr[-2000:]}; the file is {whole}.last"
    assert int(done.stdout.split()[-1]) >= 20
    left = {file for file in set(os.listdir(tempfile.gettempdir())) - outside if file.startswith("tmp")}
    assert {file.name for file in tmp_path.iterdir()} == {"whole", "whole.last"}
    assert not [file for file in left if (Path(tempfile.gettempdir()) / file).suffix == ".jpg"]
