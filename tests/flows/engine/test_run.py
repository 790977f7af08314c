"""A run processes every image once, writes a ledger, and does nothing if all images are done."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

from cluster.nodes import Node
from cluster.profile import Profile, Stage, laptop, load
from flows.engine import few_images
from flows.engine import run as run_module
from flows.engine.blocks import images_per_block
from flows.engine.run import plan, run
from flows.engine.settings import Options
from flows.enlarge import enlarge_pictures
from flows.erase_text import erase_text
from flows.flow import Flow
from flows.ladder import PRESETS, Fills
from flows.telemetry.summary import VERDICTS, Summary
from operators.ledger import ledger
from operators.ledger.index import read_shard
from operators.ledger.lease import Lease
from operators.rows.failure import RunError
from operators.rows.schema import LEDGER_SCHEMA
from operators.upscalers.enlargement import Routing
from operators.write import Write

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures
    from tests.fixtures.ray import Finished

FAST = erase_text(Fills(PRESETS["fast"]))
QUALITY = erase_text(Fills(PRESETS["quality"], accept="best"))


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if the run connects to Ray."""

    def refuse(flow: Flow, profile: Profile) -> None:
        raise AssertionError("the run connects to Ray")

    monkeypatch.setattr(run_module, "connect", refuse)


@pytest.fixture
def copy_of_finished(finished: Finished, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.dest, tmp_path / "copy"))


def texts(folder: Path, pictures: Pictures, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pictures.strip(number, f"NUMBER {number}").save(folder / f"{number:02d}.png")
    return folder


def test_the_ledger_has_one_row_for_every_image_of_the_source(finished: Finished) -> None:
    rows = ledger.read(str(finished.dest))
    assert sorted(rows["uri"].to_pylist()) == sorted(str(file) for file in finished.source.rglob("*") if file.is_file())
    assert len(set(rows["image_id"].to_pylist())) == len(rows) == 5


def test_the_ledger_holds_its_schema_and_no_pixels(finished: Finished) -> None:
    rows = ledger.read(str(finished.dest))
    assert rows.schema.remove_metadata().equals(LEDGER_SCHEMA)


def test_a_finished_shard_is_one_file(finished: Finished) -> None:
    assert [str(file.relative_to(finished.dest)) for file in (finished.dest / "ledger").rglob("*.parquet")] == [
        "ledger/shard=000000/complete.parquet"
    ]


def test_a_run_leaves_images_ledger_settings_and_report_and_no_lease(finished: Finished) -> None:
    assert {entry.name for entry in finished.dest.iterdir()} == {"images", "ledger", "index", "run.json", "report.html"}
    assert not [file for file in finished.dest.rglob("*") if file.name.endswith(".partial")]


def test_every_output_has_its_sources_path_and_the_checksum_in_the_ledger(
    finished: Finished, sums: Callable[[Path], dict[str, str]]
) -> None:
    rows = ledger.read(str(finished.dest)).to_pylist()
    delivered = {row["path"]: row["output_sha256"] for row in rows if row["verdict"] != "failed"}
    assert delivered == sums(finished.dest / "images")
    for row in rows:
        if row["verdict"] != "failed":
            assert row["output_uri"] == str(finished.dest / "images" / row["path"])


def test_an_image_without_text_and_one_that_is_rolled_back_are_delivered_byte_for_byte(finished: Finished) -> None:
    rows = ledger.read(str(finished.dest)).to_pylist()
    assert {row["path"]: row["verdict"] for row in rows}["nothing.png"] == "untouched"
    for row in rows:
        if row["verdict"] in {"untouched", "rolled_back"}:
            assert row["output_sha256"] == row["source_sha256"]
        if row["verdict"] == "edited":
            assert row["output_sha256"] != row["source_sha256"]
            assert any(region["state"] == "erased" for region in row["regions"])


def test_some_texts_are_erased(finished: Finished) -> None:
    assert "edited" in ledger.read(str(finished.dest))["verdict"].to_pylist()


@pytest.mark.parametrize("grey", [90, 200, 255])
def test_large_text_on_a_plain_background_is_erased(
    tmp_path: Path, pictures: Pictures, index_rows: Callable[..., pa.Table], grey: int
) -> None:
    file = tmp_path / "plain.png"
    pictures.written(Image.new("RGB", (320, 240), (grey, grey, grey)), "REMOVE").save(file)
    assert QUALITY.run(index_rows(file))["verdict"].to_pylist() == ["edited"]


def test_an_unreadable_file_is_a_failed_row_and_no_output(finished: Finished) -> None:
    (row,) = [row for row in ledger.read(str(finished.dest)).to_pylist() if row["path"] == "broken.jpg"]
    assert (row["verdict"], row["reasons"], row["output_uri"], row["output_sha256"]) == ("failed", ["not_an_image"], None, None)
    assert (row["failure"]["operator"], row["failure"]["code"]) == ("detect", "not_an_image")
    assert not (finished.dest / "images" / "broken.jpg").exists()


def test_every_row_says_where_its_milliseconds_went(finished: Finished) -> None:
    for row in ledger.read(str(finished.dest)).to_pylist():
        operators = [timing["operator"] for timing in row["timings"]]
        assert operators[:2] == ["fetch", "detect"]
        assert operators[-1] == "write"
        for timing in row["timings"]:
            assert 0 <= timing["model"] + timing["codec"] <= timing["total"] + 0.01


def test_run_json_holds_source_seed_settings_versions_and_model_checksums(finished: Finished) -> None:
    content = json.loads((finished.dest / "run.json").read_text())
    assert content["source"] == str(finished.source)
    assert content["seed"] == 0
    assert [entry["operator"] for entry in content["settings"]] == [
        *(operator.name for operator in QUALITY.operators),
        "write",
    ]
    assert {"ray", "numpy", "opencv-python-headless", "onnxruntime", "cleanplate"} <= set(content["versions"])
    assert [model["alias"] for model in content["models"]] == [
        "first-look",
        "pp-ocr-v6-small",
        "lines",
        "pp-ocr-v6-rec-small",
        "strokes",
        "efficientnet-lite0",
        "centerface",
        "hybrid",
        "builtin",
        "realesrgan-animevideov3-x4",
        "patchmatch",
    ]
    checksums = {model["alias"]: model["sha256"] for model in content["models"]}
    assert [len(checksum) for checksum in checksums.pop("realesrgan-animevideov3-x4").values()] == [64, 64]
    assert [len(checksum) for checksum in checksums.values()] == [64, 64, 64, 64, 64, 64, 64, 0, 64, 0]


def test_the_summary_counts_verdicts_and_failures(finished: Finished) -> None:
    rows = ledger.read(str(finished.dest)).to_pylist()
    summary = finished.summary
    assert isinstance(summary, Summary)
    assert (summary.total, summary.before, summary.worked, summary.transient) == (5, 0, 5, 0)
    for verdict in VERDICTS:
        assert summary.verdicts[verdict] == sum(row["verdict"] == verdict for row in rows)
    assert summary.failures == {"not_an_image": 1}
    assert summary.line().startswith("5 images, ")
    texts = {end: sum(row["texts"][end] for row in rows) for end in ("found", "erased", "refused", "kept")}
    assert summary.texts == texts
    assert f"1 failed | {texts['found']} texts: {texts['erased']} erased" in summary.line()
    assert " | not_an_image 1 | " in summary.line()
    assert summary.line().endswith(str(finished.dest / "report.html"))
    assert "\n" not in summary.line()


@pytest.mark.usefixtures("no_ray")
def test_a_second_run_works_nothing_and_needs_no_ray(finished: Finished, copy_of_finished: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (copy_of_finished / "images").rglob("*")}
    summary = run(QUALITY, str(finished.source), str(copy_of_finished), laptop())
    assert (summary.total, summary.before, summary.worked) == (5, 5, 0)
    assert before == {file: file.stat().st_mtime_ns for file in (copy_of_finished / "images").rglob("*")}


@pytest.mark.usefixtures("no_ray")
def test_a_second_run_leaves_the_report_and_makes_one_that_is_gone(finished: Finished, copy_of_finished: Path) -> None:
    report = copy_of_finished / "report.html"
    report.write_text("kept")
    assert run(QUALITY, str(finished.source), str(copy_of_finished), laptop()).report == str(report)
    assert report.read_text() == "kept"
    report.unlink()
    run(QUALITY, str(finished.source), str(copy_of_finished), laptop())
    assert report.read_text() == (finished.dest / "report.html").read_text()


@pytest.mark.usefixtures("no_ray")
def test_a_run_that_dies_on_its_way_leaves_no_report_of_an_earlier_one(finished: Finished, copy_of_finished: Path) -> None:
    shutil.rmtree(copy_of_finished / "ledger")
    with pytest.raises(AssertionError, match="the run connects to Ray"):
        run(QUALITY, str(finished.source), str(copy_of_finished), laptop())
    assert not (copy_of_finished / "report.html").exists()


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize(
    ("flow", "named"),
    [
        (erase_text(Fills(PRESETS["fast"], accept="best")), "inpaint_ground, refine_ground"),
        (erase_text(Fills(PRESETS["quality"][:1], accept="best")), "its operators"),
        (erase_text(Fills(PRESETS["quality"], seed=7, accept="best")), "inpaint_hybrid, inpaint_builtin, inpaint_patchmatch"),
    ],
    ids=["preset", "fewer rungs", "seed"],
)
def test_other_settings_into_the_same_destination_are_refused(
    finished: Finished, copy_of_finished: Path, flow: Flow, named: str
) -> None:
    with pytest.raises(RunError) as refused:
        run(flow, str(finished.source), str(copy_of_finished), laptop())
    assert (refused.value.code, refused.value.exit_code) == ("settings_changed", 2)
    assert f"({named})" in str(refused.value)


@pytest.mark.usefixtures("no_ray")
def test_another_source_into_the_same_destination_is_refused(
    copy_of_finished: Path, pictures: Pictures, tmp_path: Path
) -> None:
    pictures.plain(1, (16, 16)).save(tmp_path / "a.png")
    with pytest.raises(RunError, match="settings_changed") as refused:
        run(QUALITY, str(tmp_path), str(copy_of_finished), laptop())
    assert refused.value.exit_code == 2


@pytest.mark.usefixtures("no_ray")
def test_a_missing_source_leaves_the_destination_free_for_the_right_one(finished: Finished, tmp_path: Path) -> None:
    for source in ("/no/such/folder", "/no/such/other"):
        with pytest.raises(RunError) as refused:
            run(FAST, source, str(tmp_path / "out"), laptop())
        assert (refused.value.code, refused.value.exit_code) == ("source_missing", 2)
    assert not (tmp_path / "out" / "run.json").exists()


@pytest.mark.usefixtures("no_ray")
def test_an_empty_folder_is_refused_and_nothing_is_created(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(RunError, match=r"^no_images: 0 images in .*: it is empty$") as refused:
        run(FAST, str(tmp_path / "in"), str(tmp_path / "out"), laptop())
    assert refused.value.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_ray")
def test_a_destination_that_another_driver_holds_is_refused(finished: Finished, copy_of_finished: Path) -> None:
    with Lease(str(copy_of_finished)).hold(), pytest.raises(RunError) as refused:
        run(QUALITY, str(finished.source), str(copy_of_finished), laptop())
    assert (refused.value.code, refused.value.exit_code) == ("destination_in_use", 3)
    assert str(os.getpid()) in str(refused.value)


@pytest.mark.usefixtures("ray_here")
def test_a_profile_that_does_not_fit_is_refused_with_the_sum(finished: Finished, tmp_path: Path) -> None:
    stages = {"worker": Stage(cpus=100, pool=(2, 2)), "default": Stage(cpus=0.25)}
    profile = Profile(name="large", placement="fused", stages=stages)
    with pytest.raises(RunError) as refused:
        run(FAST, str(finished.source), str(tmp_path / "out"), profile)
    assert (refused.value.code, refused.value.exit_code) == ("profile_does_not_fit", 2)
    assert "needs 201 CPU (worker 2 x 100 + index 1)" in str(refused.value)


class Started(BaseException):
    """Raised instead of starting Ray; carries the number of CPUs."""


@pytest.mark.parametrize("workers", [None, 1, 3])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["laptop", "staged"])
def test_the_ray_that_a_run_starts_is_large_enough_for_its_flow(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, preset: str, workers: int | None
) -> None:
    def start(**settings: object) -> None:
        raise Started(settings["num_cpus"])

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", start)
    monkeypatch.setattr(few_images, "MOST_IMAGES", 0)
    profile = load(name) if workers is None else load(name).with_workers(workers)
    flow = erase_text(Fills(PRESETS[preset]))
    with pytest.raises(Started) as started:
        run(flow, str(finished.source), str(tmp_path / "out"), profile)
    assert flow.then(Write("out")).refusal(profile, [Node({"CPU": started.value.args[0]})]) is None


@pytest.mark.usefixtures("ray_here")
def test_new_and_changed_images_are_worked_and_the_others_are_not(
    pictures: Pictures, tmp_path: Path, sums: Callable[[Path], dict[str, str]]
) -> None:
    source, dest = texts(tmp_path / "in", pictures, 4), tmp_path / "out"
    profile = laptop().with_workers(1)
    first = run(FAST, str(source), str(dest), profile, Options(limit=3))
    assert (first.total, first.worked) == (3, 3)
    assert set(sums(dest / "images")) == {"00.png", "01.png", "02.png"}
    modified = {file.name: file.stat().st_mtime_ns for file in (dest / "images").iterdir()}

    pictures.strip(9).save(source / "01.png")
    second = run(FAST, str(source), str(dest), profile)
    assert (second.total, second.before, second.worked) == (4, 2, 2)
    rows = ledger.read(str(dest)).to_pylist()
    assert sorted(row["path"] for row in rows) == ["00.png", "01.png", "02.png", "03.png"]
    assert sums(dest / "images")["01.png"] == hashlib.sha256((source / "01.png").read_bytes()).hexdigest()
    untouched = {
        file.name: file.stat().st_mtime_ns for file in (dest / "images").iterdir() if file.name in {"00.png", "02.png"}
    }
    assert untouched == {name: modified[name] for name in untouched}

    fresh = run(erase_text(Fills(PRESETS["fast"], seed=5)), str(source), str(dest), profile, Options(seed=5, fresh=True))
    assert (fresh.total, fresh.before, fresh.worked) == (4, 0, 4)
    assert sorted(ledger.read(str(dest))["path"].to_pylist()) == ["00.png", "01.png", "02.png", "03.png"]


@pytest.mark.usefixtures("ray_here")
def test_progress_is_reported_when_the_work_begins_and_after_every_block(pictures: Pictures, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", pictures, 3)
    reports: list[tuple[int, int]] = []

    def report(summary: Summary) -> None:
        reports.append((summary.total, summary.worked))

    profile = laptop().with_workers(1).model_copy(update={"images_per_block": 1})
    run(FAST, str(source), str(tmp_path / "out"), profile, progress=report)
    assert reports == [(0, 0), (3, 0), (3, 0), (3, 1), (3, 2), (3, 3)]


@pytest.mark.usefixtures("ray_here")
def test_a_manifests_own_columns_reach_the_ledger_with_their_types(pictures: Pictures, tmp_path: Path) -> None:
    source = texts(tmp_path / "in", pictures, 2)
    own = pa.table(
        {
            "uri": [str(source / "00.png"), str(source / "01.png")],
            "licence": ["CC0", None],
            "weight": pa.array([1, 2], pa.int16()),
            "tags": pa.array([["a", "b"], []], pa.list_(pa.string())),
        }
    )
    pq.write_table(own, tmp_path / "list.parquet")
    run(FAST, str(tmp_path / "list.parquet"), str(tmp_path / "out"), laptop().with_workers(1))
    rows = ledger.read(str(tmp_path / "out"))
    by_uri = {row["uri"]: row for row in rows.to_pylist()}
    for wanted in own.to_pylist():
        assert {name: by_uri[wanted["uri"]][name] for name in wanted} == wanted
    assert (rows.schema.field("weight").type, rows.schema.field("tags").type) == (pa.int16(), pa.list_(pa.string()))


@pytest.mark.usefixtures("ray_here")
def test_a_transient_failure_ends_in_exit_code_3_and_only_that_image_is_redone(pictures: Pictures, tmp_path: Path) -> None:
    source, dest = texts(tmp_path / "in", pictures, 2), tmp_path / "out"
    unreachable = source / "loop.png"
    unreachable.symlink_to(unreachable)
    pq.write_table(
        pa.table({"uri": [str(source / name) for name in ("00.png", "01.png", "loop.png")]}), tmp_path / "list.parquet"
    )
    profile = laptop().with_workers(1)
    with pytest.raises(RunError) as ended:
        run(FAST, str(tmp_path / "list.parquet"), str(dest), profile)
    assert (ended.value.code, ended.value.exit_code) == ("incomplete", 3)
    assert "run again to retry: storage_error" in str(ended.value)
    codes = {row["uri"]: row["failure"] and row["failure"]["code"] for row in ledger.read(str(dest)).to_pylist()}
    assert codes == {str(source / "00.png"): None, str(source / "01.png"): None, str(unreachable): "storage_error"}

    unreachable.unlink()
    pictures.strip(5).save(unreachable)
    summary = run(FAST, str(tmp_path / "list.parquet"), str(dest), profile)
    assert (summary.total, summary.before, summary.worked) == (3, 2, 1)
    verdicts = {row["uri"]: (row["verdict"], row["failure"]) for row in ledger.read(str(dest)).to_pylist()}
    assert len(verdicts) == 3
    assert verdicts[str(unreachable)] == ("untouched", None)


def stages_before(stage: Any, kind: str) -> Any:
    """The last operator of a kind in a plan, at or before `stage`."""
    while type(stage).__name__ != kind:
        (stage,) = stage.input_dependencies
    return stage


def test_blocks_are_small_on_short_runs_and_never_exceed_sixteen_images(ray_here: None) -> None:
    for pending, expected in ((10, 1), (64, 2), (10**6, 16)):
        assert images_per_block(FAST.lay_out(laptop().with_workers(2))[0], pending) == expected
    for pending, profile, expected in (
        (10**6, laptop().with_workers(2), 16),
        (10**6, laptop().model_copy(update={"images_per_block": 3}), 3),
    ):
        dataset = plan(FAST, "out", profile, {0: pending})
        repartition = stages_before(dataset._logical_plan.dag, "StreamingRepartition")
        assert "num_rows_per_block=1," in str(repartition)
        assert repartition.input_dependencies[0].fn.args == ("out", expected)


def test_the_index_keeps_a_row_for_every_image(finished: Finished) -> None:
    shard = read_shard(str(finished.dest), 0)
    assert shard.num_rows == 5
    assert shard["shard"].to_pylist() == [0] * 5


def test_a_part_that_a_worker_commits_after_its_shard_was_complete_is_cleared_away(pictures: Pictures, tmp_path: Path) -> None:
    source, dest = tmp_path / "in", str(tmp_path / "out")
    source.mkdir()
    for number in range(3):
        pictures.plain(number, (24, 16)).save(source / f"{number}.png")
    flow = enlarge_pictures(2.0, None, Routing("lanczos"))
    run(flow, str(source), dest, laptop())
    rows = ledger.read(dest)
    ledger.commit(dest, rows.slice(0, 1))
    assert len(ledger.shard_files(dest, 0)) == 2
    summary = run(flow, str(source), dest, laptop())
    assert (summary.total, summary.before) == (3, 3)
    assert ledger.shard_files(dest, 0) == [ledger.COMPLETE]
    assert ledger.read(dest).equals(rows)
