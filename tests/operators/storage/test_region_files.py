"""Regions from COCO, YOLO, Parquet and cells of a manifest are the same regions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.rows.failure import Failure, RunError
from operators.storage.region_files import GivenRegion, open_regions, regions_of

CORNERS = [[20.0, 10.0], [59.0, 10.0], [59.0, 29.0], [20.0, 29.0]]
"""A box of 40 x 20 pixels at (20, 10)."""


def coco(folder: Path, **annotation: Any) -> Path:
    file = folder / "labels.json"
    image = {"id": 7, "file_name": "1.png", "width": 200, "height": 100}
    entry = {"id": 1, "image_id": 7, "category_id": 2, "bbox": [20, 10, 40, 20], **annotation}
    content = {"images": [image], "annotations": [entry], "categories": [{"id": 2, "name": "mark"}, {"id": 3, "name": "cat"}]}
    file.write_text(json.dumps(content))
    return file


def test_coco_gives_boxes_kinds_and_scores(tmp_path: Path) -> None:
    found = open_regions(str(coco(tmp_path, score=0.4)))("1.png")
    assert found.regions == [GivenRegion([CORNERS], "mark", 0.4)]
    assert found.size == (200, 100)
    assert open_regions(str(coco(tmp_path, category_id=3)))("any/where/1.png").regions[0].kind == "text"


def test_coco_gives_polygons_where_it_has_them_and_no_text_that_find_doubts(tmp_path: Path) -> None:
    segmentation = [[0, 0, 9, 0, 9, 5], [1, 1, 2, 1, 2, 2]]
    polygons = [[[0.0, 0.0], [9.0, 0.0], [9.0, 5.0]], [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0]]]
    assert open_regions(str(coco(tmp_path, segmentation=segmentation)))("1.png").regions[0].polygons == polygons
    assert open_regions(str(coco(tmp_path, segmentation={"counts": [1]})))("1.png").regions[0].polygons == [CORNERS]
    assert open_regions(str(coco(tmp_path, confirmed=False)))("1.png").regions == []


def test_yolo_gives_shares_of_the_picture(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "classes.txt").write_text("cat\nmark\n")
    (tmp_path / "a" / "1.txt").write_text("1 0.2 0.2 0.2 0.2 0.9\n\n0 0.1 0.1 0.3 0.1 0.3 0.3\n")
    box, polygon = open_regions(str(tmp_path))("a/1.png").regions
    assert (box.kind, box.score, polygon.kind) == ("mark", 0.9, "text")
    (corners,) = box.in_pixels(200, 100)
    assert [value for corner in corners for value in corner] == pytest.approx([19.5, 9.5, 59.5, 9.5, 59.5, 29.5, 19.5, 29.5])
    assert len(polygon.in_pixels(200, 100)[0]) == 3
    assert open_regions(str(tmp_path))("a/2.png").regions == []


def test_a_table_has_a_row_for_each_region(tmp_path: Path) -> None:
    rows = [
        {"path": "1.png", "polygons": [CORNERS], "kind": "text", "score": 0.7, "confirmed": True, "width": 200, "height": 100},
        {"path": "1.png", "polygons": [CORNERS], "kind": "text", "score": 0.1, "confirmed": False, "width": 200, "height": 100},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "part-00000.parquet")
    for uri in (tmp_path, tmp_path / "part-00000.parquet"):
        found = open_regions(str(uri))("1.png")
        assert (found.regions, found.size) == ([GivenRegion([CORNERS], "text", 0.7)], (200, 100))


@pytest.mark.parametrize("value", [[[20, 10, 40, 20]], [CORNERS], json.dumps([[20, 10, 40, 20]]), json.dumps([CORNERS])])
def test_a_cell_holds_boxes_or_polygons(value: Any) -> None:
    assert regions_of(value) == [GivenRegion([CORNERS])]


def test_an_empty_cell_holds_nothing() -> None:
    assert regions_of(None) == regions_of([]) == regions_of("[]") == regions_of("") == []


@pytest.mark.parametrize("value", ["[[1, 2", "5", [[1, 2, 0, 4]], [5], [[["a", 1]]]])
def test_a_cell_that_holds_something_else_is_refused(value: Any) -> None:
    with pytest.raises(Failure, match="regions_unfit"):
        regions_of(value)


@pytest.mark.parametrize("polygon", [[[1, 1], [2, 2]], [[300, 5], [310, 5], [310, 9]], [[float("nan"), 1], [2, 2], [3, 1]]])
def test_what_is_no_area_of_the_picture_is_refused(polygon: list[list[float]]) -> None:
    with pytest.raises(Failure, match="regions_unfit"):
        GivenRegion([polygon]).in_pixels(200, 100)


def test_regions_of_the_unturned_picture_are_refused(tmp_path: Path) -> None:
    found = open_regions(str(coco(tmp_path)))("1.png")
    found.check_size(200, 100)
    with pytest.raises(Failure, match="upright image"):
        found.check_size(100, 200)


@pytest.mark.parametrize("content", ["[", "{}", '{"images": [], "annotations": [{}]}'])
def test_a_file_that_is_no_coco_is_one_line_before_a_run(tmp_path: Path, content: str) -> None:
    file = tmp_path / "labels.json"
    file.write_text(content)
    with pytest.raises(RunError) as error:
        open_regions(str(file))
    assert error.value.code == "regions_invalid"
    assert "\n" not in error.value.message


def test_files_that_hold_no_regions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="neither COCO"):
        open_regions(str(tmp_path))
    pq.write_table(pa.table({"uri": ["a"]}), tmp_path / "t.parquet")
    with pytest.raises(RunError, match="no column path, polygons"):
        open_regions(str(tmp_path / "t.parquet"))


def test_pictures_that_a_manifest_names_absolutely_are_known_by_all_endings_of_their_paths(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    (labels / "acme").mkdir(parents=True)
    (labels / "acme" / "1.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    pq.write_table(pa.table({"path": ["acme/1.jpg"], "polygons": [[CORNERS]]}), tmp_path / "found.parquet")
    for source in (labels, tmp_path / "found.parquet"):
        read = open_regions(str(source))
        assert len(read("local/data/shop/acme/1.jpg").regions) == len(read("s3/bucket/acme/1.jpg").regions) == 1
        assert not read("local/data/shop/globex/1.jpg").is_named
        assert not read("shop/acme/1.jpg").is_named


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "an empty file": ("a.json", b"", "no JSON: Expecting value"),
    "no JSON": ("a.json", b"{]", "no JSON: Expecting property name"),
    "a picture": ("a.json", b"\x89PNG\r\n", "no text in UTF-8; --regions takes COCO JSON"),
    "a list": ("a.json", b"[1]", "no COCO: it needs the lists 'images' and 'annotations'"),
    "no list of annotations": (
        "a.json",
        b'{"images": [], "annotations": {}}',
        "no COCO: it needs the lists 'images' and 'annotations'",
    ),
    "an annotation of no picture": (
        "a.json",
        b'{"images": [], "annotations": [{}]}',
        "no COCO: annotations.0 has no 'image_id'",
    ),
    "an annotation that is none": ("a.json", b'{"images": [], "annotations": [5]}', "no COCO: annotations.0 has no 'image_id'"),
    "a picture without a name": (
        "a.json",
        b'{"images": [{"id": 1}], "annotations": []}',
        "no COCO: images.0 has no 'file_name'",
    ),
    "a box of two numbers": (
        "a.json",
        b'{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2]}]}',
        "annotations.0: ",
    ),
    "no Parquet": ("a.parquet", b"PAR?", "Parquet"),
    "no table": ("a.parquet", b"", "Parquet"),
}


@pytest.mark.parametrize(("name", "content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_one_line_with_its_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError) as error:
        open_regions(str(tmp_path / name))
    assert str(error.value).startswith(f"regions_invalid: {tmp_path / name}: ")
    assert message in error.value.message
    assert "\n" not in error.value.message


@pytest.mark.parametrize("name", ["none.json", "none.parquet", "labels"])
def test_a_missing_file_or_folder_is_one_line_with_the_way_on(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match=rf"regions_invalid: .*{name}: there is no such file.*; --regions takes COCO JSON"):
        open_regions(str(tmp_path / name))
