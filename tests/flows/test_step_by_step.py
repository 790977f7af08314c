"""Each step shows the picture with an overlay, and the last one shows the delivered picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from flows.erase_text import erase_text
from flows.ladder import PRESETS, Fills
from flows.step_by_step import ACCEPTED, FOUND, OPEN, VEIL, Step, draw_regions, index_row, steps
from operators.masks.mask import CORE
from operators.rows.table import row_views

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

FLOW = erase_text(Fills(PRESETS["fast"]))


@pytest.fixture(scope="module")
def source(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("steps") / "text.png"
    pictures.written(pictures.plain(2)).save(file)
    return file


@pytest.fixture(scope="module")
def by_name(source: Path) -> dict[str, Step]:
    shown: dict[str, Step] = {}
    for step in steps(FLOW, source):
        shown.setdefault(step.operator, step)
    return shown


def share(step: Step, colour: tuple[int, int, int]) -> float:
    return float((np.asarray(step.picture) == colour).all(axis=2).mean())


def test_there_is_a_step_for_each_operator_in_order(by_name: dict[str, Step]) -> None:
    assert list(by_name) == list(dict.fromkeys(operator.name for operator in FLOW.operators))
    assert all(step.milliseconds > 0 for step in by_name.values())


def test_texts_are_outlined_then_regions_in_the_colour_of_their_state(by_name: dict[str, Step]) -> None:
    assert [share(by_name[name], FOUND) > 0 for name in ("fetch", "detect", "soften")] == [False, True, False]
    assert [share(by_name[name], OPEN) > 0 for name in ("detect", "soften", "inpaint_ground", "verify")] == [
        False,
        True,
        True,
        False,
    ]
    assert [share(by_name[name], ACCEPTED) > 0 for name in ("soften", "verify", "compose")] == [False, True, False]


def test_the_veil_lies_on_the_masks_core_and_makes_room_for_the_fill(source: Path, by_name: dict[str, Step]) -> None:
    row = row_views(FLOW.run(index_row(source)))[0]
    (region,) = row.regions
    box, core = region["crop"], region.array("mask", 4)[:, :, CORE] > 0
    crop = np.s_[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]]
    before, veiled, filled = (np.asarray(by_name[name].picture)[crop] for name in ("fetch", "soften", "inpaint_ground"))
    expected = before[core] + (200 / 255) * (np.array(VEIL, np.float64) - before[core])
    assert np.abs(veiled[core] - expected).max() <= 1
    assert np.abs(filled[core].astype(int) - VEIL).sum(axis=1).min() > 100


def test_the_last_picture_is_the_delivered_one(source: Path, by_name: dict[str, Step]) -> None:
    encoded = row_views(FLOW.run(index_row(source)))[0].data("encoded")
    assert encoded is not None
    assert (np.asarray(by_name["compose"].picture) == np.asarray(Image.open(io.BytesIO(bytes(encoded))))).all()
    assert by_name["compose"].summary == "edited"


def test_a_file_that_is_no_picture_is_blank_and_says_why(tmp_path: Path) -> None:
    file = tmp_path / "words.jpg"
    file.write_bytes(b"these are words")
    last = list(steps(FLOW, file))[-1]
    assert last.summary.startswith("not_an_image: ")
    assert last.picture.size == (1, 1)
    assert draw_regions(row_views(index_row(file))[0]).size == (1, 1)
