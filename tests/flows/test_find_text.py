"""`find` says where text is and edits nothing; other programs read what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cluster.profile import laptop
from flows.choose import Choice
from flows.engine.run import run
from flows.find_text import find_text
from flows.reports.findings import FINDINGS, export_findings
from flows.step_by_step import index_row
from operators.ledger import ledger
from operators.rows.failure import Failure, RunError
from operators.rows.schema import check_schema


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, captioned: tuple[np.ndarray, np.ndarray], photo: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("source")
    Image.fromarray(captioned[0]).save(folder / "caption.png")
    Image.fromarray(photo[:, ::-1]).save(folder / "photo.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


@pytest.fixture(scope="module")
def found(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The destination of a run over a picture with text, one without and a broken one."""
    dest = tmp_path_factory.mktemp("dest")
    table = pa.concat_tables([index_row(file) for file in sorted(source.iterdir())])
    check_schema(find_text(str(dest), reads=True).run(table), "record")
    export_findings(str(dest))
    return dest


def rows(dest: Path) -> dict[str, dict]:
    return {row["path"]: row for row in ledger.read(str(dest)).to_pylist()}


def test_each_picture_has_a_verdict_and_none_is_delivered(found: Path) -> None:
    verdicts = {path: row["verdict"] for path, row in rows(found).items()}
    assert verdicts == {"caption.png": "found", "photo.png": "nothing_found", "broken.png": "failed"}
    assert not (found / "images").exists()


def test_the_mask_has_the_pictures_size_and_covers_its_letters(found: Path, captioned: tuple[np.ndarray, np.ndarray]) -> None:
    mask = np.asarray(Image.open(found / "masks" / "caption.png.png"))
    assert mask.shape == captioned[1].shape
    assert set(np.unique(mask)) == {0, 255}
    assert (mask > 0)[captioned[1]].mean() > 0.97
    assert (mask > 0).mean() < 0.15
    assert [file.name for file in (found / "masks").iterdir()] == ["caption.png.png"]


def test_the_findings_hold_one_row_for_each_text_and_what_it_says(found: Path) -> None:
    table = pq.read_table(found / "findings")
    assert table.schema == FINDINGS
    texts = [row for row in table.to_pylist() if row["confirmed"]]
    assert {row["path"] for row in texts} == {"caption.png"}
    assert {row["text"].replace(" ", "") for row in texts} >= {"SALETODAY", "photobynobody"}
    assert all(row["text_confidence"] > 0.7 and row["reason"] is None for row in texts)
    assert [row["number"] for row in texts] == sorted({row["number"] for row in texts})


def test_the_coco_file_names_every_picture_that_was_looked_at(found: Path) -> None:
    coco = json.loads((found / "coco.json").read_text())
    assert [(image["file_name"], image["width"], image["height"]) for image in coco["images"]] == [
        ("caption.png", 512, 512),
        ("photo.png", 512, 512),
    ]
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    kinds = {category["id"]: category["name"] for category in coco["categories"]}
    for one in coco["annotations"]:
        assert kinds[one["category_id"]] == "text"
        assert names[one["image_id"]] in ("caption.png", "photo.png")
        left, top, width, height = one["bbox"]
        points = np.array(one["segmentation"]).reshape(-1, 2)
        assert (points.min(axis=0) == [left, top]).all()
        assert (points.max(axis=0) == [left + width, top + height]).all()
        assert 0 < one["area"] <= width * height
    assert [one["id"] for one in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))


def test_without_masks_only_the_findings_are_written(source: Path, tmp_path: Path) -> None:
    flow = find_text(str(tmp_path), masks=False)
    flow.run(index_row(source / "caption.png"))
    assert not (tmp_path / "masks").exists()
    (row,) = rows(tmp_path).values()
    assert row["verdict"] == "found"
    assert all(region["text"] is None for region in row["regions"])


def test_a_ledger_without_a_text_has_empty_findings(tmp_path: Path) -> None:
    Image.new("RGB", (400, 300), (120, 140, 160)).save(tmp_path / "plain.png")
    find_text(str(tmp_path / "out")).run(index_row(tmp_path / "plain.png"))
    export_findings(str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "coco.json").read_text())["annotations"] == []
    assert pq.read_table(tmp_path / "out" / "findings").num_rows == 0


def test_a_run_of_a_flow_that_commits_its_rows_delivers_nothing(ray_here: None, source: Path, tmp_path: Path) -> None:
    dest = str(tmp_path / "out")
    summary = run(find_text(dest, masks=False), str(source), dest, laptop().with_workers(1))
    assert summary.verdicts == {"found": 1, "nothing_found": 1, "failed": 1}
    assert not (tmp_path / "out" / "images").exists()
    texts = sum(row["texts"]["found"] for row in rows(tmp_path / "out").values())
    assert f'<td>found</td><td class="number">{texts}</td>' in (tmp_path / "out" / "report.html").read_text()


def test_findings_that_cannot_be_stored_are_one_line_and_exit_code_3(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_text(str(tmp_path), masks=False).run(index_row(source / "caption.png"))

    def refuse(uri: str, data: bytes) -> None:
        raise Failure("access_denied", uri)

    monkeypatch.setattr("flows.reports.findings.storage.write", refuse)
    with pytest.raises(RunError, match="access_denied") as refused:
        export_findings(str(tmp_path))
    assert refused.value.exit_code == 3


def test_what_is_read_stays_out_of_everything_that_is_written_if_it_may_be_private(source: Path, tmp_path: Path) -> None:
    flow = find_text(str(tmp_path), reads=True, masks=False, choice=Choice(keeps_text=False))
    flow.run(index_row(source / "caption.png"))
    export_findings(str(tmp_path))
    regions = rows(tmp_path)["caption.png"]["regions"]
    assert {(region["text"], region["text_confidence"] > 0.5) for region in regions} == {(None, True)}
    assert set(pq.read_table(tmp_path / "findings")["text"].to_pylist()) == {None}
