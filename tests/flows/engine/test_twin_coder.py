"""A file that gets the edit of another one is coded in a process that may be lost."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cluster.profile import laptop
from flows.engine.quarantine import Child
from flows.engine.twin_coder import EditLike, TwinCoder, open_coder
from flows.erase_text import delivered, erase_text
from flows.find_text import look_for_text
from operators.rows.failure import Failure
from operators.rows.table import Additions, Row

ROW: dict[str, Any] = {"image_id": "0" * 32, "uri": "/a.png", "path": "a.png", "shard": 0}
BOUNDS = laptop().image


class Crashing(EditLike):
    """Ends its process."""

    def _edit(self, row: Row) -> Additions:
        ctypes.string_at(0)
        return {}


def png(level: int, compress_level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (level, 20, 30)).save(buffer, "PNG", compress_level=compress_level)
    return buffer.getvalue()


@pytest.fixture
def crashing() -> Iterator[TwinCoder]:
    child = Child(Crashing(), BOUNDS)
    yield TwinCoder(Crashing(), child)
    child.close()


def test_a_file_gets_the_pixels_of_the_other_one() -> None:
    with open_coder(erase_text(), BOUNDS) as coder:
        data, notes = coder.edit_like(ROW, png(10, 1), png(200, 9))
    assert np.array_equal(Image.open(io.BytesIO(data)), Image.open(io.BytesIO(png(200, 1))))
    assert notes == []


def test_a_file_that_ends_the_process_is_a_failure(crashing: TwinCoder) -> None:
    for _ in range(2):
        with pytest.raises(Failure) as raised:
            crashing.edit_like(ROW, png(10, 1), png(200, 9))
        assert raised.value.code == "worker_crashed"


def test_pictures_of_other_shapes_are_a_failure() -> None:
    other = io.BytesIO()
    Image.new("RGB", (41, 30)).save(other, "PNG")
    with open_coder(erase_text(), BOUNDS) as coder, pytest.raises(Failure) as raised:
        coder.edit_like(ROW, png(10, 1), other.getvalue())
    assert raised.value.code == "mode_unsupported"


@pytest.mark.parametrize("flow", [delivered(erase_text(), to_format="png"), look_for_text()], ids=["converted", "found"])
def test_flows_whose_edits_cannot_be_shared_have_a_coder_that_refuses(flow: Any) -> None:
    with open_coder(flow, BOUNDS) as coder, pytest.raises(Failure, match="only shared between files of one format"):
        coder.edit_like(ROW, png(10, 1), png(200, 9))
