"""The sheets for the eye show what was delivered, and the agreement is counted right."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.looks import GAP, LABEL, MOST_SIDE, agreement, draw_sheet, spread, write_looks
from flows.evaluation.suite import Entry, load
from operators.rows.arrays import Pixels


def image(file: str, bucket: str = "photo", accepted: bool = True, **more: Any) -> Any:
    refusal = None if accepted else "stain"
    return {"file": file, "bucket": bucket, "picture": file, "outcome": "", "accepted": accepted, "refusal": refusal, **more}


def grey(level: int, height: int = 400, width: int = 600) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


def square(x: float, y: float, side: float = 40) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def test_a_sample_is_spread_over_the_buckets_and_depends_on_the_seed_alone() -> None:
    images = [image(f"{number}.png", bucket) for bucket in ("photo", "page") for number in range(20)]
    images += [image("rare.png", "graphics")]
    chosen = spread(images, 7, 0)
    assert sorted(member["bucket"] for member in chosen) == ["graphics", *["page"] * 3, *["photo"] * 3]
    assert spread(images, 7, 0) == chosen != spread(images, 7, 1)
    assert len(spread(images, 99, 0)) == 41


def test_pictures_that_the_rule_could_not_judge_are_not_sampled() -> None:
    without_truth = {"file": "1.png", "bucket": "photo"}
    assert spread([without_truth, image("2.png")], 5, 0) == [image("2.png")]  # type: ignore[list-item]


def test_a_sheet_shows_the_three_pictures_at_full_size_around_the_text() -> None:
    entry = Entry("a.png", "report", "photo", "", [square(100, 200)])
    sheet = np.asarray(draw_sheet(image("a.png", texts=[{"accepted": True}]), entry, grey(10), grey(20), grey(30)))
    side = 41 + 2 * 32
    assert sheet.shape == (LABEL + 3 * side + 2 * GAP, side, 3) or sheet.shape == (LABEL + side, 3 * side + 2 * GAP, 3)
    assert [int(sheet[LABEL + 5, 5 + number * (side + GAP), 0]) for number in range(3)] == [10, 20, 30]


def test_a_wide_text_puts_the_pictures_below_each_other() -> None:
    entry = Entry("a.png", "report", "photo", "", [[[50.0, 50.0], [900.0, 50.0], [900.0, 90.0], [50.0, 90.0]]])
    pictures = (grey(level, width=1000) for level in (10, 20, 30))
    sheet = draw_sheet(image("a.png", texts=[{"accepted": True}]), entry, *pictures)
    assert sheet.size == (851 + 64, LABEL + 3 * (41 + 64) + 2 * GAP)


def test_what_does_not_fit_is_cut_around_the_refused_text() -> None:
    source = grey(0, 3000, 3000)
    source[2900:2940, 2900:2940] = 255
    entry = Entry("a.png", "report", "photo", "", [square(10, 10), square(2900, 2900)])
    record = image("a.png", accepted=False, texts=[{"accepted": True}, {"accepted": False}])
    sheet = draw_sheet(record, entry, source, source, source)
    assert max(sheet.size) <= MOST_SIDE
    assert int((np.asarray(sheet)[LABEL:, :, 0] == 255).sum()) == 3 * 40 * 40


def test_a_picture_without_texts_is_cut_around_its_change() -> None:
    source = grey(0, 3000, 3000)
    delivered = source.copy()
    delivered[2900:2940, 10:50] = 255
    sheet = draw_sheet(image("a.png"), Entry("a.png", "report", "photo", "", []), source, delivered, source)
    assert int((np.asarray(sheet)[LABEL:, :, 0] == 255).sum()) == 40 * 40


def test_looks_are_written_with_the_rule_and_room_for_the_eye(tmp_path: Path) -> None:
    for folder in ("suite/images", "suite/truth", "evaluation/images"):
        (tmp_path / folder).mkdir(parents=True)
        for file in ("1.png", "2.png"):
            Image.fromarray(grey(90)).save(tmp_path / folder / file)
    entries = [
        {"file": file, "set": "report", "bucket": "photo", "prompt": "", "texts": [square(9, 9)]} for file in ("1.png", "2.png")
    ]
    (tmp_path / "suite/suite.json").write_text(json.dumps({"name": "mine", "entries": entries}))
    images = [image("1.png", texts=[{"accepted": True}]), image("2.png", accepted=False, texts=[{"accepted": False}])]
    (tmp_path / "evaluation/evaluation.json").write_text(json.dumps({"images": images}))
    path = write_looks(tmp_path / "evaluation", load(tmp_path / "suite"), tmp_path / "looks", 60, 0)
    with path.open(newline="") as file:
        rows = sorted(csv.reader(file))
    assert rows == [
        ["1.png", "photo", "accepted", "", ""],
        ["2.png", "photo", "refused", "stain", ""],
        ["file", "bucket", "rule", "part", "eye"],
    ]
    assert sorted(child.name for child in path.parent.iterdir()) == ["1.png", "2.png", "looks.csv"]


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("file,bucket,rule,part,eye", *lines)))
    return path


def test_the_agreement_is_of_the_answered_pictures_and_names_the_others(tmp_path: Path) -> None:
    path = table(
        tmp_path / "looks.csv",
        "1.png,photo,accepted,,accepted",
        "2.png,photo,refused,stain,Accepted",
        "3.png,photo,accepted,,refused",
        "4.png,page,refused,distance,refused",
        "5.png,page,refused,distance,",
    )
    assert agreement(path) == [
        "4 of 5 pictures answered, 50% agree (95 % 15% to 85%)",
        "accepted by the rule 50%, by the eye 50%",
        "2.png: rule refused stain, eye accepted",
        "3.png: rule accepted, eye refused",
    ]


def test_an_answer_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1\.png has 'perhaps' for eye"):
        agreement(table(tmp_path / "looks.csv", "1.png,photo,accepted,,perhaps"))
