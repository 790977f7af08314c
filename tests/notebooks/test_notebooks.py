"""The notebooks run from top to bottom without a network, show the promised results, and contain no
logic.
"""

from __future__ import annotations

import ast
import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from flows.erase_text import erase_text
from flows.step_by_step import VEIL
from operators.decisions.gate import model_of

if TYPE_CHECKING:
    from tests.fixtures.ray import Finished

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def executed(name: str, **parameters: object) -> Any:
    """The notebook with its outputs; `parameters` override those of the cell with that tag."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += "".join(f"\n{key} = {value!r}" for key, value in parameters.items())
    return NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()


def outputs(notebook: Any, kind: str) -> list[str]:
    return [
        output.data[kind] for cell in notebook.cells for output in cell.get("outputs", []) if kind in output.get("data", {})
    ]


def pictures(notebook: Any) -> list[np.ndarray[Any, Any]]:
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in outputs(notebook, "image/png")
    ]


def test_there_are_three() -> None:
    assert [file.stem for file in NOTEBOOKS] == ["1_one_picture", "2_generators_and_thresholds", "3_ledger"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_kept_without_outputs_and_is_short(file: Path) -> None:
    cells = nbformat.read(file, as_version=4).cells
    assert len(cells) <= 15
    for cell in cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_calls_flows_and_decides_nothing(file: Path) -> None:
    code = "\n".join(cell.source for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code")
    logic = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.If, ast.IfExp, ast.While, ast.Try, ast.Compare)
    assert [type(node).__name__ for node in ast.walk(ast.parse(code)) if isinstance(node, logic)] == []


def test_one_picture_is_shown_before_and_after_and_after_each_operator_with_its_mask() -> None:
    notebook = executed("1_one_picture")
    flow = erase_text()
    (verdict, *titles), (source, edited, *steps) = outputs(notebook, "text/markdown"), pictures(notebook)
    assert verdict.strip() == "**edited**"
    assert titles[-1].endswith("edited")
    assert np.array_equal(edited, steps[-1])  # the one call gives what the operators give
    assert [title.split("**")[1] for title in titles] == [operator.name for operator in flow.operators]
    assert {picture.shape for picture in (source, edited, *steps)} == {(420, 640, 3)}

    def veiled(picture: np.ndarray[Any, Any]) -> float:
        return float((np.abs(picture.astype(int) - VEIL).sum(axis=2) < 130).mean())

    masked = [operator.name for operator in flow.operators].index("soften")
    assert veiled(steps[masked]) > 0.01
    assert veiled(steps[0]) < 0.001
    # The white letters are gone: nothing in the upper half is as bright as they were.
    assert source[:210].min(axis=2).max() > 240 and edited[:210].min(axis=2).max() < 160


def test_generators_and_thresholds_are_compared_on_a_sample() -> None:
    notebook = executed("2_generators_and_thresholds", images=2, generators=["telea", "navier_stokes"])
    compared, kept = outputs(notebook, "text/html")
    for generator in ("telea", "navier_stokes"):
        assert compared.count(generator) == 1
        assert kept.count(f"<td>{generator}</td>") == (4 if model_of(generator) else 0)
    (picture,) = pictures(notebook)
    assert min(picture.shape[:2]) > 32


def test_a_ledger_is_read_with_duckdb(finished: Finished) -> None:
    verdicts, times, checks, undelivered = outputs(executed("3_ledger", dest=str(finished.dest)), "text/plain")
    assert all(name in verdicts for name in ("edited", "failed", "texts", "erased", "refused", "kept"))
    assert all(name in times for name in ("fetch", "detect", "inpaint_patchmatch", "write"))
    assert "residual_text" in checks and "structure" in checks
    assert "broken.jpg" in undelivered and "not_an_image" in undelivered
