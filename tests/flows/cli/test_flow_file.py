"""A user's flow runs from its Python file, and a wrong file is one line with a code."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from ray import cloudpickle

from cluster.profile import laptop
from cluster.profile import load as load_profile
from flows.cli.flow_file import load_flow
from flows.engine.run import run
from flows.erase_text import erase_text
from flows.flow import Flow, FlowError
from flows.ladder import Fills, Rung
from operators.ledger import ledger
from operators.operator import Operator
from operators.rows.schema import SchemaError, add_columns
from tests.flows.cli.conftest import SOUND, AssertRefused

if TYPE_CHECKING:
    from tests.fixtures.cli import Command
    from tests.fixtures.pictures import Pictures

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

WRONG = {
    "a missing flow file": (["run", "none.py:flow", "in", "out"], "flow_missing", "none.py:flow"),
    "a flow file without a name": (["run", "sound.py", "in", "out"], "flow_missing", "sound.py"),
    "a missing flow": (["run", "sound.py:flows", "in", "out"], "flow_missing", "'flows'"),
    "a name that is no flow": (["run", "sound.py:number", "in", "out"], "flow_missing", "'number'"),
    "a flow in the wrong order": (["run", "wrong_order.py:flow", "in", "out"], "flow_invalid", "detect reads 'bytes'"),
    "a flow that cannot be written": (["run", "unfinished.py:flow", "in", "out"], "flow_invalid", "write reads 'encoded'"),
    "a flow file that fails": (["run", "broken.py:flow", "in", "out"], "flow_invalid", "NameError"),
    "a flow file that is no Python": (["run", "unclear.py:flow", "in", "out"], "flow_invalid", "SyntaxError"),
}


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("arguments", "code", "named"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_line_with_its_code_before_ray_starts(
    assert_refused: AssertRefused, arguments: list[str], code: str, named: str
) -> None:
    assert_refused(arguments, code, named)


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
    pictures.strip(1).convert("F").save(folder / "in" / "floats.tif")
    (folder / "my_flows.py").write_text(BLACK_OUT)
    ended = cleanplate("run", "my_flows.py:flow", "in", "out", "--workers", "1", cwd=folder)
    assert ended.code == 0 and "error" not in ended.err
    rows = {str(row["path"]): row for row in ledger.read(str(folder / "out")).to_pylist()}
    return folder, rows, ended.out


def test_a_flow_of_ones_own_runs_from_its_file(own_flow: tuple[Path, dict[str, dict[str, object]], str]) -> None:
    folder, rows, out = own_flow
    assert set(rows) == {"secret.png", "plain.png", "empty.png", "floats.tif"}
    assert out.startswith("4 images, 1 edited, 1 untouched, 1 skipped, 1 failed | file_empty 1, mode_unsupported 1 | ")
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
    assert load_flow(f"{tmp_path / name}.py:flow") == erase_text(Fills((Rung("telea"),)))
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
    for name, verdict in (("plain.png", "untouched"), ("floats.tif", "skipped")):
        assert rows[name]["verdict"] == verdict
        assert (folder / "out" / "images" / name).read_bytes() == (folder / "in" / name).read_bytes()
        assert rows[name]["output_sha256"] == hashlib.sha256((folder / "in" / name).read_bytes()).hexdigest()
    assert rows["empty.png"]["verdict"] == "failed"
    assert not (folder / "out" / "images" / "empty.png").exists()


NEIGHBOUR = """
def count(text): return len(text)
"""
COUNT_LETTERS = '''
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
from letters import count

from cleanplate import Flow, Operator, map_rows
from operators.fetch import Fetch


@dataclass(frozen=True)
class Letters(Operator):
    """How long is the name of the file?"""

    reads: ClassVar[tuple[str, ...]] = ("path",)
    columns: ClassVar[dict[str, pa.DataType]] = {"letters": pa.int16()}
    adds: ClassVar[tuple[str, ...]] = ("letters", "encoded", "verdict", "reasons")

    def apply(self, batch):
        return map_rows(batch, self.name, self.adds, self._count)

    def _count(self, row):
        return {"letters": count(row["path"]), "verdict": "untouched", "reasons": []}


flow = Flow((Fetch(), Letters()))
'''


def test_a_flow_imports_its_neighbour_and_its_operators_have_columns_of_their_own(
    ray_here: None, pictures: Pictures, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    pictures.plain(1, (32, 32)).save(tmp_path / "in" / "four.png")
    (tmp_path / "in" / "empty.png").write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "letters.py").write_text(NEIGHBOUR)
    (tmp_path / "elsewhere" / "own.py").write_text(COUNT_LETTERS)
    before = list(sys.path)
    flow = load_flow(str(tmp_path / "elsewhere" / "own.py") + ":flow")
    assert sys.path == before
    # The workers cannot import the neighbour: its code travels with the flow.
    for profile in (laptop().with_workers(1), load_profile("staged").with_workers(1)):
        dest = str(tmp_path / profile.name)
        run(flow, str(tmp_path / "in"), dest, profile)
        rows = {row["path"]: row["letters"] for row in ledger.read(dest).to_pylist()}
        assert rows == {"four.png": 8, "empty.png": 9}
        assert ledger.read(dest).schema.field("letters").type == pa.int16()


def test_a_column_of_ones_own_may_not_be_one_of_the_row() -> None:
    @dataclass(frozen=True)
    class Wrong(Letterless):
        columns: ClassVar[dict[str, pa.DataType]] = {"verdict": pa.string()}

    with pytest.raises(FlowError, match="wrong: the row has a column 'verdict' already"):
        Flow((Wrong(),))
    rows = pa.table({"letters": pa.array(["five"])})
    with pytest.raises(SchemaError, match="letters: column 'letters' is string already, not int16"):
        add_columns(rows, {"letters": pa.int16()}, "letters")


@dataclass(frozen=True)
class Letterless(Operator):
    """An operator that does nothing."""

    def apply(self, batch: pa.Table) -> pa.Table:
        return batch
