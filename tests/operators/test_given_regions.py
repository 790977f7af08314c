"""`given_regions` adds what the user gives, alone or beside what was found, with its origin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from font_roboto import Roboto
from PIL import Image, ImageDraw, ImageFont

from operators.given_regions import GivenRegions
from operators.rows.failure import RunError
from operators.soften import Soften

Rows = Callable[..., pa.Table]


@pytest.fixture
def blank(saved: Callable[..., bytes]) -> bytes:
    return saved(np.full((100, 200, 3), 200, np.uint8), "PNG")


def regions(table: pa.Table) -> list[dict[str, Any]]:
    (row,) = table["regions"].to_pylist()
    return list(row)


def test_boxes_of_a_column_are_regions_without_a_detection(rows: Rows, blank: bytes) -> None:
    table = rows({"bytes": blank}).append_column("boxes", pa.array([[[20, 10, 40, 20]]]))
    result = GivenRegions(("column:boxes",)).apply(table)
    (region,) = regions(result)
    assert (region["origin"], region["kind"], region["state"], region["score"]) == ("column:boxes", "text", "open", 1.0)
    assert region["polygons"] == [[[20, 10], [59, 10], [59, 29], [20, 29]]]
    assert region["probability"]["data"] == b"\xff" * 800
    assert result["width"].to_pylist() == [200]


def test_several_sources_are_merged_with_their_origins(rows: Rows, blank: bytes, tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("0 0.8 0.5 0.1 0.2\n")
    table = rows({"bytes": blank}).append_column("boxes", pa.array(["[[20, 10, 40, 20]]"]))
    found = regions(GivenRegions(("column:boxes", str(tmp_path))).apply(table))
    assert [region["origin"] for region in found] == ["column:boxes", tmp_path.name]


def test_texts_found_inside_a_given_region_are_what_it_means(rows: Rows, blank: bytes, text_region: Callable[..., Any]) -> None:
    doubted = {**text_region(22, 12, 36, 16), "origin": "detect", "state": "kept", "reason": "not_confirmed"}
    beside = {**text_region(120, 60, 40, 20), "origin": "detect"}
    table = rows({"bytes": blank, "width": 200, "height": 100, "mode": "RGB", "regions": [doubted, beside]})
    table = table.append_column("boxes", pa.array([[[20, 10, 40, 20], [120, 10, 60, 30]]]))
    found = regions(GivenRegions(("column:boxes",)).apply(table))
    assert [(region["origin"], region["state"], region["reason"]) for region in found] == [
        ("detect + column:boxes", "open", None),
        ("detect", "open", None),
        ("column:boxes", "open", None),
    ]


def test_a_mask_is_erased_as_the_area_that_it_is(rows: Rows, blank: bytes, tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "0.png"}
    annotation = {"image_id": 1, "category_id": 1, "segmentation": [[10, 10, 60, 10, 10, 60]]}
    content = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "mask"}]}
    (tmp_path / "l.json").write_text(json.dumps(content))
    (region,) = regions(Soften().apply(GivenRegions((str(tmp_path / "l.json"),)).apply(rows({"bytes": blank}))))
    box = region["crop"]
    blend = np.frombuffer(region["mask"], np.uint8).reshape(box["height"], box["width"], 4)[:, :, 1]
    assert region["strokes"] == "given"
    assert np.count_nonzero(blend) == pytest.approx(51 * 51 / 2, rel=0.05)


def test_regions_that_do_not_fit_end_the_row_and_not_the_run(rows: Rows, blank: bytes) -> None:
    table = rows({"bytes": blank}, {"bytes": blank}).append_column("boxes", pa.array(["[[500, 10, 40, 20]]", "[[5, 5, 9, 9]]"]))
    result = GivenRegions(("column:boxes",)).apply(table).to_pylist()
    assert [row["failure"] and row["failure"]["code"] for row in result] == ["regions_unfit", None]
    assert len(result[1]["regions"]) == 1


def test_a_wrong_file_is_refused_before_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="regions_invalid"):
        GivenRegions((str(tmp_path / "none.json"),)).check()
    with pytest.raises(RunError, match="regions_invalid"):
        GivenRegions(("column:",)).check()


def test_changed_regions_under_the_same_name_are_other_settings(tmp_path: Path) -> None:
    labels, table = tmp_path / "labels", tmp_path / "l.json"
    (labels / "a").mkdir(parents=True)
    (labels / "a" / "1.txt").write_text("0 0.8 0.5 0.1 0.2\n")
    table.write_text(json.dumps({"images": [], "annotations": []}))
    given = GivenRegions((str(labels), str(table), "column:boxes"))
    first = given.settings()
    assert list(first["checksums"]) == [str(labels), str(table)]
    assert given.settings() == first
    (labels / "a" / "1.txt").write_text("0 0.8 0.5 0.1 0.3\n")
    second = given.settings()
    table.write_text(json.dumps({"images": [], "annotations": [], "info": {}}))
    third = given.settings()
    (labels / "a" / "1.txt").rename(labels / "a" / "2.txt")
    assert len({json.dumps(each["checksums"]) for each in (first, second, third, given.settings())}) == 4


def test_a_given_text_does_not_grow_over_what_stands_beside_it(rows: Rows, saved: Callable[..., bytes]) -> None:
    image = Image.new("RGB", (420, 80), (245, 246, 248))
    canvas, font = ImageDraw.Draw(image), ImageFont.truetype(Roboto, 28)
    canvas.text((20, 24), "Mail:", (20, 24, 30), font=font)
    canvas.text((92, 24), "jane.doe@example.com", (20, 24, 30), font=font)
    table = rows({"bytes": saved(np.asarray(image), "PNG")}).append_column("boxes", pa.array([[[88, 20, 300, 40]]]))
    (region,) = regions(Soften().apply(GivenRegions(("column:boxes",)).apply(table)))
    assert region["polygons"] == [[[88, 20], [387, 20], [387, 59], [88, 59]]]
    crop = region["crop"]
    mask = np.frombuffer(region["mask"], np.uint8).reshape(crop["height"], crop["width"], 4)
    assert not mask[:, : 82 - crop["x"], :2].any()
    assert mask[:, 92 - crop["x"] :, 1].any()


def test_a_file_that_names_no_image_of_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "yolo" / "acme").mkdir(parents=True)
    (tmp_path / "yolo" / "acme" / "1.txt").write_text("0 0.5 0.5 0.1 0.1")
    operator = GivenRegions((str(tmp_path / "yolo"), "column:boxes"))
    operator.check_images(lambda: ["globex/1.png", "acme/1.png"])
    operator.check_images(lambda: ["local/data/acme/1.png"])
    operator.check_images(lambda: (f"globex/{number}.png" for number in range(1000)))
    with pytest.raises(RunError, match=r"regions_invalid: .*yolo names none of the 2 images, such as globex/1\.png"):
        operator.check_images(lambda: ["globex/1.png", "globex/2.png"])
