"""The parts of a run end in one ledger, one record and one report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.profile import laptop
from flows.engine.merge import merge
from flows.engine.run import run
from flows.engine.settings import Options
from flows.enlarge import enlarge_pictures
from flows.find_text import find_text
from flows.flow import Flow
from flows.reports.parts import part_states
from operators.ledger import index, ledger
from operators.ledger.lease import Lease
from operators.ledger.part import WHOLE, Part, hold
from operators.rows.failure import RunError
from operators.upscalers.enlargement import Routing

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

FLOW = enlarge_pictures(2.0, None, Routing("lanczos"))
IMAGES = 6


@pytest.fixture
def source(tmp_path: Path, pictures: Pictures) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(IMAGES):
        pictures.plain(number, (24, 16)).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def work(source: Path, part: str, flow: Flow = FLOW) -> Path:
    dest = source.parent / "out"
    run(flow, str(source), str(dest), laptop(), Options(part=Part.parse(part)))
    return dest


def test_parts_in_any_order_make_one_ledger(source: Path) -> None:
    for part in ("3/3", "1/3", "2/3"):
        dest = work(source, part)
    merged = merge(str(dest))
    assert (merged.complete, len(merged.parts)) == (3, 3)
    assert sum(merged.counts.verdicts.values()) == IMAGES
    assert sorted(ledger.read(str(dest))["path"].to_pylist()) == [f"{number}.png" for number in range(IMAGES)]
    assert Path(merged.report).read_text().count("complete") == 3


def test_the_record_has_what_the_parts_left_out(source: Path) -> None:
    work(source, "1/2")
    dest = work(source, "2/2")
    assert "left_out" not in json.loads((dest / "run.json").read_text())
    merge(str(dest))
    content = json.loads((dest / "run.json").read_text())
    assert content["parts"] == 2
    assert content["left_out"] == {"not_pictures": {"count": 1, "by": {".txt": 1}, "examples": ["notes.txt"]}}


def test_a_part_without_images_is_complete(source: Path) -> None:
    uris = [str(file) for file in source.glob("*.png")]
    empty = next(number for number in range(1, 41) if not any(Part(number, 40).takes(uri) for uri in uris))
    dest = work(source, f"{empty}/40")
    assert part_states(str(dest))[empty - 1].line() == f"part {empty}/40: complete, 0 images"


def test_new_images_make_a_complete_part_incomplete_until_it_has_run_again(source: Path, pictures: Pictures) -> None:
    for part in ("1/2", "2/2"):
        dest = work(source, part)
    for number in range(IMAGES, IMAGES + 6):
        pictures.plain(number, (24, 16)).save(source / f"{number}.png")
    work(source, "1/2")
    states = part_states(str(dest))
    assert [state.complete for state in states] == [True, True]
    work(source, "2/2")
    assert sum(state.images for state in part_states(str(dest))) == IMAGES + 6


def test_a_part_whose_driver_died_says_what_is_done(source: Path) -> None:
    number = next(number for number in (1, 2) if any(Part(number, 2).takes(str(file)) for file in source.glob("*.png")))
    dest = work(source, f"{number}/2")
    (dest / "parts" / f"{number}-of-2" / "finished.json").unlink()
    shard = index.shards(str(dest), Part(number, 2))[0]
    images = len(index.read_shard(str(dest), shard))
    lines = [state.line() for state in part_states(str(dest))]
    assert lines[number - 1] == f"part {number}/2: {images} of {images} image{'s' * (images > 1)}"
    assert lines[2 - number] == f"part {3 - number}/2: not started"
    work(source, f"{number}/2")
    assert part_states(str(dest))[number - 1].complete


def test_the_report_of_an_undivided_run_is_made_again(source: Path) -> None:
    dest = work(source, "1/1")
    (dest / "report.html").unlink()
    merged = merge(str(dest))
    assert [state.part for state in merged.parts] == [WHOLE]
    assert merged.complete == 1
    assert (dest / "report.html").exists()
    assert not (dest / "parts").exists()


def test_the_last_report_of_a_run_of_find_has_the_findings(source: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    flow = find_text(str(dest), False, True)
    work(source, "1/2", flow)
    merge(str(dest))
    assert not (dest / "coco.json").exists()
    work(source, "2/2", flow)
    merge(str(dest))
    assert len(json.loads((dest / "coco.json").read_text())["images"]) == IMAGES


def test_a_destination_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError) as refused:
        merge(str(tmp_path))
    assert (refused.value.code, refused.value.exit_code) == ("run_missing", 2)


def test_parts_are_not_merged_while_one_of_them_runs_again(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "RENEWAL_SECONDS", 0.2)
    for part in ("1/2", "2/2"):
        dest = work(source, part)
    with hold(str(dest), Part(2, 2)), pytest.raises(RunError, match="destination_in_use"):
        merge(str(dest))


@pytest.mark.parametrize("part", ["1/1", "2/3"])
def test_another_number_of_parts_is_refused_and_changes_nothing(source: Path, part: str) -> None:
    dest = work(source, "1/2")
    before = sorted(dest.rglob("*"))
    with pytest.raises(RunError) as refused:
        work(source, part)
    assert (refused.value.code, refused.value.exit_code) == ("settings_changed", 2)
    assert refused.value.message == f"{dest} holds a run in 2 parts; use --part N/2, or another DEST"
    assert [path for path in sorted(dest.rglob("*")) if path.is_file()] == [path for path in before if path.is_file()]


def test_an_undivided_run_is_not_divided_later(source: Path) -> None:
    dest = work(source, "1/1")
    with pytest.raises(RunError) as refused:
        work(source, "1/2")
    assert refused.value.message == f"{dest} holds a run that is not divided; leave out --part, or use another DEST"


def test_a_part_that_is_refused_leaves_no_trace(source: Path) -> None:
    manifest = source.parent / "list.csv"
    manifest.write_text("uri,name\n" + "".join(f"in/{number}.png,same\n" for number in range(IMAGES)))
    with pytest.raises(RunError):
        run(FLOW, str(manifest), str(source.parent / "new"), laptop(), Options(part=Part(1, 2), allow=("s3://nowhere",)))
    assert not (source.parent / "new").exists()
