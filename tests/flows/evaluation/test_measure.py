"""What becomes of a delivered picture, and whether a refused fill was good."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from font_roboto import RobotoBold
from PIL import Image

from flows.evaluation.draw_text import Caption, draw, polygon_around
from flows.evaluation.measure import FlowJob, deliver, detect_and_soften, wrongly_refused
from flows.evaluation.records import EvaluatedImage
from flows.evaluation.suite import Entry, Suite, load
from flows.flow import Flow
from operators.compose import Compose
from operators.detect import Detect
from operators.fetch import Fetch
from operators.inpaint import Inpaint
from operators.rows.arrays import Pixels
from operators.rows.table import fill_record, row_views, swap_children
from operators.soften import Soften
from operators.verify import CheckLimits, Verify

CLEAN = np.full((120, 200, 3), 205, np.uint8)
CAPTION = Caption("SALE 20", RobotoBold, 32, colour=(200, 20, 30))
UNFILLED = Flow((Fetch(), Detect(), Soften(), Inpaint("telea", takes=("nothing",)), Verify(gated=False), Compose()))
"""A flow whose only rung fills nothing."""
UNVERIFIED = Flow((Fetch(), Detect(), Soften(), Inpaint("telea"), Verify(CheckLimits(structure=-1.0)), Compose()))
"""A flow that fills well and never accepts a fill."""
ERASING = Flow((Fetch(), Detect(), Soften(), Inpaint("telea"), Verify(gated=False), Compose()))


def suite_of(folder: Path, picture: Pixels, clean: Pixels, texts: list[list[list[float]]]) -> Suite:
    for part, pixels in (("images", picture), ("truth", clean)):
        (folder / part).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / part / "a.png")
    entry = Entry("a.png", "report", "flat", "", texts)
    (folder / "suite.json").write_text(json.dumps({"name": "mine", "entries": [asdict(entry)]}))
    return load(folder)


def captioned(folder: Path) -> Suite:
    picture, coverage = draw(CLEAN, CAPTION)
    return suite_of(folder, picture, CLEAN, [polygon_around(coverage)])


def delivered(suite: Suite, flow: Flow, out: Path) -> EvaluatedImage:
    return deliver(FlowJob(suite, suite.entries[0], flow, str(out)))


def test_text_that_nothing_fills_is_missed_and_no_fill_was_refused(tmp_path: Path) -> None:
    image = delivered(captioned(tmp_path / "suite"), UNFILLED, tmp_path)
    assert (image["verdict"], image["outcome"], image["accepted"]) == ("rolled_back", "missed", False)
    assert image["texts"][0]["signal_left"] == 1.0
    assert image["texts"][0]["wrongly_refused"] is None


def test_a_refused_fill_that_equals_the_clean_picture_is_wrongly_refused(tmp_path: Path) -> None:
    image = delivered(captioned(tmp_path / "suite"), UNVERIFIED, tmp_path)
    assert (image["verdict"], image["outcome"]) == ("rolled_back", "missed")
    assert image["texts"][0]["wrongly_refused"] is True


def test_a_refused_fill_that_shows_is_rightly_refused(tmp_path: Path) -> None:
    suite = captioned(tmp_path)
    entry = suite.entries[0]
    table = detect_and_soften(suite, entry)
    (region,) = row_views(table)[0].regions
    black = fill_record(np.zeros_like(region.array("pixels", 3)))
    fills = pa.array([black], table["regions"].type.value_type.field("fill").type)
    regions = row_views(swap_children(table, {"fill": fills}))[0].regions
    source = np.asarray(Image.open(suite.image(entry)))
    assert wrongly_refused(regions, source, source, CLEAN, entry.texts) == [False]
    elsewhere = [[5.0, 5.0], [25.0, 5.0], [25.0, 15.0], [5.0, 15.0]]
    assert wrongly_refused(regions, source, source, CLEAN, [elsewhere]) == [None]


def test_a_picture_without_texts_is_accepted_as_it_was_and_damaged_if_it_is_edited(tmp_path: Path) -> None:
    printed, _ = draw(CLEAN, CAPTION)
    untexted = suite_of(tmp_path / "suite", printed, printed, [])
    left = delivered(untexted, UNFILLED, tmp_path)
    assert (left["outcome"], left["refusal"]) == ("accepted", None)
    edited = delivered(untexted, ERASING, tmp_path)
    assert (edited["verdict"], edited["outcome"], edited["refusal"]) == ("edited", "damaged", "touched")


def test_a_changed_picture_that_is_not_acceptable_is_damaged(tmp_path: Path) -> None:
    picture, coverage = draw(CLEAN, CAPTION)
    other = CLEAN - 40
    suite = suite_of(tmp_path / "suite", picture, other, [polygon_around(coverage)])
    image = delivered(suite, ERASING, tmp_path)
    assert (image["verdict"], image["outcome"], image["refusal"]) == ("edited", "damaged", "flat_error")
