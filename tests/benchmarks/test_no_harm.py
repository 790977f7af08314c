"""`no_harm` says how often, and how much, the flow changes pictures that hold no text."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from font_roboto import RobotoBold

from benchmarks.no_harm import Harm, measure, pictures, summary
from flows.erase_text import erase_text
from flows.evaluation.draw_text import Caption, draw

GROUND = np.full((400, 600, 3), (176, 168, 150), np.uint8)


def test_a_picture_without_text_is_untouched_and_one_with_text_is_changed(tmp_path: Path) -> None:
    clean, marked = tmp_path / "clean.png", tmp_path / "marked.png"
    cv2.imwrite(str(clean), GROUND)
    cv2.imwrite(str(marked), draw(GROUND, Caption("Fresh coffee", RobotoBold, 44, 0.5, 0.5))[0])
    assert measure(clean, erase_text()) == Harm("clean.png", "untouched", 0, 0, 0.0)
    harm = measure(marked, erase_text())
    assert (harm.verdict, harm.kept, harm.confirmed) == ("edited", 0, 1)
    assert 0.005 < harm.changed < 0.1


def test_only_pictures_are_taken_subfolders_included(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("b.PNG", "a.jpg", "notes.txt", "below/c.webp"):
        (tmp_path / name).touch()
    assert [str(file.relative_to(tmp_path)) for file in pictures(tmp_path)] == ["a.jpg", "b.PNG", "below/c.webp"]


def test_the_summary_counts_pictures_and_not_detections() -> None:
    harms = [Harm("a", "untouched", 3, 0, 0.0), Harm("b", "edited", 0, 2, 0.02), Harm("c", "rolled_back", 1, 1, 0.0)]
    assert summary(harms) == {
        "pictures": 3,
        "with_detections": 3,
        "with_confirmed_texts": 2,
        "changed": 1,
        "largest_changed_share": pytest.approx(0.02),
    }
