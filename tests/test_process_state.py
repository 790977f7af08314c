"""What a process keeps is listed on one page, and one function resets it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
from PIL import Image

from operators.models.in_process import load_once
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.deadline import keep_deadlines
from operators.storage.retries import STORE_OUTAGES
from tests.fixtures.process_state import RESETS, reset_process_state

ROOT = Path(__file__).parents[1]
MUTABLE = {"dict", "list", "set", "defaultdict", "Counter", "OrderedDict", "deque", "count", "local"}


def state_of(module: ast.Module) -> set[str]:
    """The module-level names that hold state: globals, caches, empty containers, own objects."""
    classes = {node.name for node in module.body if isinstance(node, ast.ClassDef) and not _frozen(node)}
    found = {name for node in ast.walk(module) if isinstance(node, ast.Global) for name in node.names}
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and any("cache" in ast.unparse(each) for each in node.decorator_list):
            found.add(node.name)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and _changes(node.value, classes):
                found.add(target.id)
    return found


def _frozen(node: ast.ClassDef) -> bool:
    return any("frozen=True" in ast.unparse(each) for each in node.decorator_list) or any(
        ast.unparse(base) in ("BaseModel", "NamedTuple", "TypedDict", "Protocol") for base in node.bases
    )


def _changes(value: ast.expr, classes: set[str]) -> bool:
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List):
        return not value.elts
    if isinstance(value, ast.Call):
        name = ast.unparse(value.func).rpartition(".")[2]
        return name in classes or (name in MUTABLE and not value.args)
    return False


def test_the_page_lists_what_the_code_keeps() -> None:
    found = set()
    for package in ("operators", "flows", "cluster"):
        for file in (ROOT / package).rglob("*.py"):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found |= {f"{module}.{name}" for name in state_of(ast.parse(file.read_text()))}
    page = (ROOT / "docs" / "process-state.md").read_text()
    listed = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))
    assert listed == found
    assert set(RESETS) == found


def test_a_reset_forgets_models_pictures_and_outages(tmp_path: Path) -> None:
    file = tmp_path / "grey.png"
    Image.fromarray(np.full((8, 8, 3), 128, np.uint8)).save(file)
    first = load_once("alias", "checksum", "cpu", object)
    picture = FRAME_CACHE.decode("sha", file.read_bytes(), Limits())
    STORE_OUTAGES.seconds_silent("s3://silent")
    keep_deadlines(lambda operator: 60.0)
    reset_process_state()
    assert load_once("alias", "checksum", "cpu", object) is not first
    assert FRAME_CACHE.decode("sha", file.read_bytes(), Limits()) is not picture
    assert STORE_OUTAGES.seconds_silent("s3://silent") == 0.0
    reset_process_state()
