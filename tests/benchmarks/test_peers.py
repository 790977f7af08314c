"""The benchmark against other tools: its manifest, functions, measurements and page."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from benchmarks.peers import functions, notes
from benchmarks.peers.__main__ import one_round
from benchmarks.peers.contenders import CONTENDERS, Contender
from benchmarks.peers.manifest import Manifest, draw_manifest, size_of
from benchmarks.peers.page import OURS, Target, ratio_of
from benchmarks.peers.watch import watch
from flows.flow import Flow
from operators.compose import Compose
from operators.detect import Detect
from operators.fetch import Fetch
from operators.inpaint import Inpaint
from operators.ledger import index, ledger
from operators.rows.schema import complete_rows
from operators.soften import Soften
from operators.verify import Verify
from operators.write import Write


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_manifest(tmp_path_factory.mktemp("peers") / "manifest", 5)


def test_the_manifest_spans_its_sizes_and_formats_and_leaves_every_fifth_picture_without_text(manifest: Manifest) -> None:
    sizes = [np.prod(Image.open(path).size) / 1e6 for path in manifest.paths]
    assert min(sizes) == pytest.approx(0.2, rel=0.01)
    assert max(sizes) == pytest.approx(12.0, rel=0.01)
    assert [path.suffix for path in manifest.paths] == [".jpg", ".png", ".jpg", ".jpg", ".png"]
    masks = [np.asarray(Image.open(manifest.masks / f"{path.stem}.png")) for path in manifest.paths]
    assert [bool(mask.any()) for mask in masks] == [True, True, False, True, True]
    assert [mask.shape[::-1] for mask in masks] == [Image.open(path).size for path in manifest.paths]


def test_most_pictures_of_a_manifest_are_small() -> None:
    areas = sorted(np.prod(size_of(number, 48, 1.0)) / 1e6 for number in range(48))
    assert areas[24] < 1.5 < areas[-1]


def test_the_functions_of_all_contenders_make_the_same_bytes_as_the_flow(manifest: Manifest, tmp_path: Path) -> None:
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    index.build(str(manifest.images), ours)
    flow = Flow((Fetch(), Detect(), Soften(), Inpaint(functions.FILL), Verify(), Compose(), Write(ours)))
    flow.run(complete_rows(index.read_shard(ours, 0)))
    results = {path.name: functions.clean(str(path), theirs) for path in manifest.paths}
    rows = ledger.read(ours).to_pylist()
    assert {row["path"]: row["verdict"] for row in rows} == {name: result["verdict"] for name, result in results.items()}
    assert "edited" in {row["verdict"] for row in rows}
    for name in results:
        assert (tmp_path / "ours/images" / name).read_bytes() == (tmp_path / "theirs/images" / name).read_bytes()


def test_a_frame_of_another_decoder_is_coded_again_as_the_file_it_came_from(manifest: Manifest) -> None:
    path = manifest.paths[1]
    data = path.read_bytes()
    picture = functions.picture_of_frame(np.asarray(Image.open(path)), data)
    regions = functions.erase(picture, functions.detect(picture))
    assert functions.encode_edited(picture, regions, data) == functions.encode_edited(
        functions.decode_to_detect(data), regions, data
    )


SPENDS_AND_LEAVES_A_CHILD = """
import subprocess, sys, time, numpy
block = numpy.ones(25_000_000)
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
open(sys.argv[2], "w").write(str(left.pid))
open(sys.argv[1], "wb").write(bytes(50_000_000))
end = time.process_time() + 1.5
while time.process_time() < end: pass
time.sleep(2.5)
"""


def test_a_watched_command_is_seen_with_its_memory_its_time_and_what_it_wrote_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SPENDS_AND_LEAVES_A_CHILD, str(tmp_path / "written"), str(tmp_path / "pid")]
    with subprocess.Popen([sys.executable, "-c", "b = b'1' * 400_000_000; input()"], stdin=subprocess.PIPE) as earlier:
        watched = watch(command, {}, tmp_path / "errors")
        assert earlier.poll() is None
        earlier.kill()
    assert watched.code == 0
    assert 200 < watched.peak("memory") < 300
    assert watched.peak("processor") == pytest.approx(1.7, abs=0.6)
    assert watched.peak("written") == pytest.approx(50, abs=2)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_what_comes_before_the_first_and_after_the_last_picture_is_not_in_the_window(tmp_path: Path) -> None:
    before = time.monotonic()
    notes.note_start(str(tmp_path))
    notes.note_start(str(tmp_path))
    (tmp_path / "picture").write_bytes(b"1")
    after = time.monotonic()
    time.sleep(0.2)
    notes.note_end(str(tmp_path))
    first, last, done = notes.window(tmp_path, [tmp_path / "picture"])
    assert before <= first <= last + 0.05 <= after + 0.1 < done


def test_a_target_is_a_median_of_ratios_within_rounds_and_for_memory_one_of_the_highest_peaks() -> None:
    rounds = [
        {OURS: {"images_per_second": ours, "peak_megabytes": peak}, "pool": {"images_per_second": 1.0, "peak_megabytes": 100.0}}
        for ours, peak in ((0.5, 40.0), (0.9, 60.0), (2.0, 50.0))
    ]
    assert ratio_of(rounds, Target(OURS, "pool", "images_per_second")) == 0.9
    assert ratio_of(rounds, Target(OURS, "pool", "peak_megabytes")) == 0.6


def test_every_contender_names_its_outputs_as_it_writes_them(manifest: Manifest, tmp_path: Path) -> None:
    names = {peer.name: [path.name for path in peer.outputs(manifest, tmp_path)] for peer in CONTENDERS}
    assert names["IOPaint"] == [f"{number:04d}.png" for number in range(5)]
    assert names["plain loop"] == ["0000.jpg", "0001.png", "0002.jpg", "0003.jpg", "0004.png"]


def test_a_contender_that_fails_is_out_and_the_others_go_on(
    manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert one_round((Contender("broken", "text", "no_such_module"),), manifest, tmp_path / "run", 1.0) == {}
    assert "broken is out" in capsys.readouterr().out
