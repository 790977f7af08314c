"""The command line: wrong usage is one line with a code before anything starts; a flow of one's
own is a file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from ray import cloudpickle

from flows.cli import app as cli
from flows.erase_text import erase_text
from flows.ladder import Fills, Rung
from operators.ledger import ledger
from operators.ledger.lease import Lease

if TYPE_CHECKING:
    from tests.conftest import Command, Finished, Pictures

SOUND = """
from flows.erase_text import erase_text
from flows.ladder import Fills, Rung
flow = erase_text(Fills((Rung("telea"),)))
number = 7
"""
WRONG_ORDER = """
from flows.flow import Flow
from operators.detect import Detect
from operators.fetch import Fetch
flow = Flow((Detect(), Fetch()))
"""
UNFINISHED = """
from flows.flow import Flow
from operators.fetch import Fetch
flow = Flow((Fetch(),))
"""
BLACK_OUT = '''
import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageDraw

from flows.flow import Flow
from operators.detect import Detect
from operators.fetch import Fetch
from operators.operator import Operator
from operators.rows.table import map_rows

GREY = 128


@dataclass(frozen=True)
class BlackOut(Operator):
    """Paint over every text."""

    reads: ClassVar[tuple[str, ...]] = ("bytes", "regions.polygons")
    adds: ClassVar[tuple[str, ...]] = ("encoded", "verdict", "reasons")
    grey: int = 0

    def apply(self, batch):
        return map_rows(batch, self.name, self.adds, self._paint)

    def _paint(self, row):
        if not row.regions:
            return {"verdict": "untouched", "reasons": []}
        picture = Image.open(io.BytesIO(row.data("bytes"))).convert("RGB")
        for region in row.regions:
            for polygon in region["polygons"]:
                ImageDraw.Draw(picture).polygon([tuple(corner) for corner in polygon], fill=(self.grey,) * 3)
        output = io.BytesIO()
        picture.save(output, "PNG")
        return {"encoded": output.getvalue(), "verdict": "edited", "reasons": []}


flow = Flow((Fetch(), Detect(), BlackOut(GREY)))
'''


Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """The command in this process: its exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cleanplate", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


@pytest.fixture
def here(tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a source `in` and some flows; Ray may not be asked for."""
    (tmp_path / "in").mkdir()
    pictures.strip(1).save(tmp_path / "in" / "a.png")
    for name, content in (("sound", SOUND), ("wrong_order", WRONG_ORDER), ("unfinished", UNFINISHED)):
        (tmp_path / f"{name}.py").write_text(content)
    (tmp_path / "broken.py").write_text("flow = nothing\n")
    (tmp_path / "unclear.py").write_text("flow = (\n")
    (tmp_path / "odd.yaml").write_text("name: odd\nplacement: fused\nstages: {worker: {gpus: 0.4}}\n")
    (tmp_path / "huge.yaml").write_text(
        "name: huge\nplacement: fused\nlocal_cpus: 2\nstages: {default: {cpus: 50, pool: [1, 1]}}\n"
    )
    (tmp_path / "other.yaml").write_text("name: other\nplacement: staged\nstages: {detect: {cpus: 1}}\n")
    monkeypatch.chdir(tmp_path)

    def refuse(**settings: object) -> None:
        raise AssertionError("Ray is asked for")

    monkeypatch.setattr("ray.init", refuse)
    return tmp_path


WRONG = {
    "an unknown option": (["erase", "in", "out", "--colour", "red"], "option_invalid", "--colour"),
    "an option that is no number": (["erase", "in", "out", "--seed", "seven"], "option_invalid", "--seed"),
    "an option out of range": (["erase", "in", "out", "--workers", "0"], "option_invalid", "--workers"),
    "an argument too few": (["erase", "in"], "option_invalid", "DEST"),
    "an unknown command": (["remove", "in", "out"], "option_invalid", "remove"),
    "an unknown preset": (["erase", "in", "out", "--preset", "slow"], "option_invalid", "fast, balanced, quality"),
    "an unknown model": (["erase", "in", "out", "--model", "crayon"], "model_unknown", "telea"),
    "inpaint with an unknown preset": (["inpaint", "in", "out", "--masks", "in", "--preset", "slow"], "option_invalid", "slow"),
    "enlarge without a size": (["enlarge", "in", "out"], "option_invalid", "either --scale or --print"),
    "enlarge with two sizes": (["enlarge", "in", "out", "--scale", "2", "--print", "9x13cm"], "option_invalid", "either"),
    "enlarge by an odd factor": (["enlarge", "in", "out", "--scale", "3"], "option_invalid", "2, 4"),
    "enlarge to no paper": (["enlarge", "in", "out", "--print", "20x30"], "option_invalid", "20x30cm"),
    "enlarge by an unknown model": (["enlarge", "in", "out", "--scale", "2", "--model", "no"], "option_invalid", "lanczos"),
    "an unknown profile": (["erase", "in", "out", "--profile", "mainframe"], "profile_invalid", "mainframe"),
    "a missing profile file": (["erase", "in", "out", "--profile", "none.yaml"], "profile_invalid", "none.yaml"),
    "a profile with a wrong share": (["erase", "in", "out", "--profile", "odd.yaml"], "profile_invalid", "gpus"),
    "a profile without a stage": (["erase", "in", "out", "--profile", "other.yaml"], "profile_invalid", "'fetch'"),
    "a profile that its own Ray cannot hold": (
        ["erase", "in", "out", "--profile", "huge.yaml"],
        "profile_does_not_fit",
        "151 CPU",
    ),
    "a missing source": (["erase", "nowhere", "out"], "source_missing", "nowhere"),
    "a pattern that matches nothing": (["erase", "in/*.webp", "out"], "source_missing", "in/*.webp"),
    "a missing manifest": (["erase", "none.parquet", "out"], "source_missing", "none.parquet"),
    "a missing flow file": (["run", "none.py:flow", "in", "out"], "flow_missing", "none.py:flow"),
    "a flow file without a name": (["run", "sound.py", "in", "out"], "flow_missing", "sound.py"),
    "a missing flow": (["run", "sound.py:flows", "in", "out"], "flow_missing", "'flows'"),
    "a name that is no flow": (["run", "sound.py:number", "in", "out"], "flow_missing", "'number'"),
    "a flow in the wrong order": (["run", "wrong_order.py:flow", "in", "out"], "flow_invalid", "detect reads 'bytes'"),
    "a flow that cannot be written": (["run", "unfinished.py:flow", "in", "out"], "flow_invalid", "write reads 'encoded'"),
    "a flow file that fails": (["run", "broken.py:flow", "in", "out"], "flow_invalid", "NameError"),
    "a flow file that is no Python": (["run", "unclear.py:flow", "in", "out"], "flow_invalid", "SyntaxError"),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("arguments", "code", "named"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_line_with_its_code_before_ray_starts(
    invoke: Invoke, arguments: list[str], code: str, named: str
) -> None:
    exit_code, out, err = invoke(*arguments)
    assert (exit_code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"error: {code}: ")
    assert named in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["erase", "in", "out", "--preset", "slow"],
        ["erase", "in", "out", "--profile", "mainframe"],
        ["erase", "nowhere", "out"],
        ["run", "wrong_order.py:flow", "in", "out"],
        ["run", "unfinished.py:flow", "in", "out"],
    ],
    ids=lambda arguments: arguments[-1],
)
def test_wrong_usage_leaves_no_file_behind(here: Path, invoke: Invoke, arguments: list[str]) -> None:
    assert invoke(*arguments)[0] == 2
    assert not [file for file in (here / "out").rglob("*") if file.is_file()]


def test_a_wrong_command_ends_the_process_with_2_one_line_no_traceback_and_no_ray(here: Path, cleanplate: Command) -> None:
    ended = cleanplate("run", "wrong_order.py:flow", "in", "out", cwd=here)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err == "error: flow_invalid: detect reads 'bytes', which no operator before it adds\n"
    assert not ended.used_ray


def test_help_names_every_command(invoke: Invoke) -> None:
    exit_code, out, _ = invoke("--help")
    assert exit_code == 0
    assert all(command in out for command in ("erase", "inpaint", "run"))


def test_a_finished_run_is_one_line_on_standard_output(finished: Finished, tmp_path: Path, invoke: Invoke) -> None:
    dest = shutil.copytree(finished.dest, tmp_path / "out")
    answer = invoke("erase", str(finished.source), str(dest), "--preset", "quality")
    assert (answer[0], answer[2]) == (0, "")
    assert answer[1].startswith("5 images, 5 done before, ")
    assert answer[1].endswith(f" | not_an_image 1 | {dest / 'report.html'}\n")


def test_a_destination_in_use_ends_in_exit_code_3(finished: Finished, tmp_path: Path, invoke: Invoke) -> None:
    dest = shutil.copytree(finished.dest, tmp_path / "out")
    with Lease(str(dest)).hold():
        exit_code, out, err = invoke("erase", str(finished.source), str(dest), "--preset", "quality")
    assert (exit_code, out) == (3, "")
    (line,) = err.splitlines()
    assert line.startswith("error: destination_in_use: ")


@pytest.fixture(scope="module")
def own_flow(
    cleanplate: Command, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, dict[str, object]], str]:
    """A flow of three operators, one of them the user's, run by relative paths from the folder
    that holds it.
    """
    folder = tmp_path_factory.mktemp("own")
    (folder / "in").mkdir()
    pictures.written(pictures.plain(1, (480, 64)), "SECRET", 40).save(folder / "in" / "secret.png")
    pictures.strip(2).save(folder / "in" / "plain.png")
    (folder / "in" / "empty.png").write_bytes(b"")
    frames = [pictures.strip(number) for number in (1, 2)]
    frames[0].save(folder / "in" / "moving.gif", save_all=True, append_images=frames[1:])
    (folder / "my_flows.py").write_text(BLACK_OUT)
    ended = cleanplate("run", "my_flows.py:flow", "in", "out", "--workers", "1", cwd=folder)
    assert ended.code == 0 and "error" not in ended.err
    rows = {str(row["path"]): row for row in ledger.read(str(folder / "out")).to_pylist()}
    return folder, rows, ended.out


def test_a_flow_of_ones_own_runs_from_its_file(own_flow: tuple[Path, dict[str, dict[str, object]], str]) -> None:
    folder, rows, out = own_flow
    assert set(rows) == {"secret.png", "plain.png", "empty.png", "moving.gif"}
    assert out.startswith("4 images, 1 edited, 1 untouched, 1 skipped, 1 failed | animated 1, file_empty 1 | ")
    assert len(out.splitlines()) == 1
    assert [entry["operator"] for entry in json.loads((folder / "out" / "run.json").read_text())["settings"]] == [
        *("fetch", "detect", "blackout", "write"),
    ]


@pytest.mark.parametrize("name", ["flows", "operators", "json"])
def test_a_users_file_may_have_the_name_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    module = sys.modules[name]
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(cloudpickle, "register_pickle_by_value", lambda module: None)
    (tmp_path / f"{name}.py").write_text(SOUND)
    assert cli.load_flow(f"{tmp_path / name}.py:flow") == erase_text(Fills((Rung("telea"),)))
    assert sys.modules[name] is module


def test_a_users_operator_is_timed_like_any_other(own_flow: tuple[Path, dict[str, dict[str, object]], str]) -> None:
    timings = own_flow[1]["secret.png"]["timings"]
    assert isinstance(timings, list)
    assert [timing["operator"] for timing in timings] == ["fetch", "detect", "blackout", "write"]


def test_a_users_operator_edits_with_the_settings_of_its_file(own_flow: tuple[Path, dict[str, dict[str, object]], str]) -> None:
    folder, rows, _ = own_flow
    before = np.asarray(Image.open(folder / "in" / "secret.png"))
    after = np.asarray(Image.open(folder / "out" / "images" / "secret.png"))
    changed = (before != after).any(axis=2)
    assert rows["secret.png"]["verdict"] == "edited"
    assert changed.any()
    assert (after[changed] == 128).all()


def test_what_a_users_flow_does_not_edit_is_delivered_byte_for_byte(
    own_flow: tuple[Path, dict[str, dict[str, object]], str],
) -> None:
    folder, rows, _ = own_flow
    for name, verdict in (("plain.png", "untouched"), ("moving.gif", "skipped")):
        assert rows[name]["verdict"] == verdict
        assert (folder / "out" / "images" / name).read_bytes() == (folder / "in" / name).read_bytes()
        assert rows[name]["output_sha256"] == hashlib.sha256((folder / "in" / name).read_bytes()).hexdigest()
    assert rows["empty.png"]["verdict"] == "failed"
    assert not (folder / "out" / "images" / "empty.png").exists()
