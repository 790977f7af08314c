"""The house: which room may import which, what the folders show, and what importing costs."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from operators.operator import Operator

ROOT = Path(__file__).parents[1]
PACKAGES = ("operators", "flows", "cluster", "cleanplate")
FLOWS = set(
    "choose choose_in_python preview flow erase_text find_text enlarge ladder demo one_picture same_pixels step_by_step".split()
)
"""The files at the door of `flows`: the product."""
LINT = Path(sys.executable).parent / "lint-imports"

BROKEN = {
    "an operator imports another": ("operators/fetch.py", "from operators.inpaint import Inpaint"),
    "a low room imports a higher one": ("operators/rows/box.py", "import operators.storage.files"),
    "an operator knows flows": ("operators/detect.py", "import flows.flow"),
    "cluster knows operators": ("cluster/bounds.py", "import operators.rows.box"),
    "Ray outside the engine": ("operators/detect.py", "import ray"),
    "the engine from below": ("flows/telemetry/summary.py", "import flows.engine.run"),
    "Typer outside the command line": ("flows/ladder.py", "import typer"),
    "fsspec outside the storage": ("flows/reports/page.py", "import fsspec"),
}


def modules() -> list[str]:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return sorted(
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in files
        if file.name != "__main__.py"
    )


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            folder / package,
            ignore=lambda path, names: [name for name in names if "." in name and not name.endswith(".py")],
        )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_import_rules_hold() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_import_rule_is_found(fault: str, copied: Path) -> None:
    name, statement = BROKEN[fault]
    file = copied / name
    sound = file.read_text()
    file.write_text(f"{sound}\n\n{statement}\n")
    try:
        assert lint(copied).returncode == 1
    finally:
        file.write_text(sound)
    assert lint(copied).returncode == 0


def test_each_file_at_the_door_of_operators_is_one_operator_named_after_its_file() -> None:
    for file in (ROOT / "operators").glob("*.py"):
        if file.stem in ("__init__", "operator"):
            continue
        module = importlib.import_module(f"operators.{file.stem}")
        own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
        operators = [value.__name__ for value in own if isinstance(value, type) and issubclass(value, Operator)]
        assert operators == [file.stem.title().replace("_", "")]


def test_the_door_of_flows_shows_the_product() -> None:
    assert {file.stem for file in (ROOT / "flows").glob("*.py")} == FLOWS | {"__init__"}


def test_importing_every_module_loads_no_deep_learning_framework() -> None:
    code = (
        f"import importlib, sys\nfor name in {modules()}: importlib.import_module(name)\n"
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_command_line_starts_without_ray() -> None:
    code = "import sys, flows.cli.app\nprint('ray' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
