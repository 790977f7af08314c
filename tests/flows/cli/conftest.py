"""The command line in this process, and a folder to work in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.cli import Invoke

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

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

AssertRefused = Callable[[list[str], str, str], None]


@pytest.fixture
def assert_refused(invoke: Invoke) -> AssertRefused:
    """Check that arguments are refused with one line that has the code and names the culprit."""

    def check(arguments: list[str], code: str, named: str) -> None:
        exit_code, out, err = invoke(*arguments)
        assert (exit_code, out) == (2, "")
        (line,) = err.splitlines()
        assert line.startswith(f"error: {code}: ")
        assert named in line

    return check


@pytest.fixture
def workplace(tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a source `in`, flows and profiles, in which Ray must not start."""
    for folder in ("in", "empty"):
        (tmp_path / folder).mkdir()
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

    def fail(**settings: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("ray.init", fail)
    return tmp_path
