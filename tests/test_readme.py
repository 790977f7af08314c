"""The pages of the project: their links, paths, modules and Python code are valid."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from flows.cli.flow_file import load_flow
from operators.write import Write

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        ROOT / "training" / "README.md",
        *ROOT.glob("operators/models/weights/*/README.md"),
    }
    # The change log names files that later versions may have moved.
    - {ROOT / "CHANGELOG.md"}
)
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED_CODE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")
PATH = re.compile(r"(?<![\w./:*=-])(?:[\w.*-]+/)+[\w.*-]*")
SOURCE_ENDING = re.compile(r"\.(py|md|ipynb|yaml|onnx|safetensors)$")
PLACEHOLDER = re.compile(r"(?<![A-Z])(NAME|ALIAS|FILE|FOLDER|PACKAGE)(?![A-Z])")
"""Words that a path or module in a page may contain instead of a real name."""
MODULE = re.compile(r"python(?:3[.\d]*)? -m ([\w.]+)")
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDERS = {folder.name for folder in ROOT.iterdir() if folder.is_dir()} - {"build"}
"""The folders in the root. Commands write into `build`, which need not exist."""

pages = pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCED_CODE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_valid(link: str, page: Path) -> bool:
    """Whether the file of a relative link exists, and the heading that its fragment names."""
    file, _, fragment = link.partition("#")
    target = (page.parent / file) if file else page
    return target.exists() and (target.suffix != ".md" or not fragment or fragment in anchors(target))


def repository_paths(text: str) -> set[str]:
    """The paths in a text that name files or folders of this repository."""
    paths = {match.rstrip(".") for match in PATH.findall(text) if not PLACEHOLDER.search(match)}
    return {path for path in paths if path.split("/")[0] in FOLDERS or (SOURCE_ENDING.search(path) and path[0] != ".")}


def exists(path: str, page: Path) -> bool:
    """Whether a path exists, from the root or from its page's folder; a module needs no `.py`."""
    return any(
        any(folder.glob(name)) if "*" in name else (folder / name).exists()
        for folder in (ROOT, page.parent)
        for name in (path, f"{path}.py")
    )


@pages
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = INLINE_CODE.sub("", FENCED_CODE.sub("", page.read_text()))
    links = [link for link in LINK.findall(text) if "://" not in link]
    assert [link for link in links if not is_valid(link, page)] == []


@pages
def test_every_path_exists(page: Path) -> None:
    text = LINK.sub("]", page.read_text())
    assert [path for path in sorted(repository_paths(text)) if not exists(path, page)] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "Makefile"], ids=[*PAGE_NAMES, "Makefile"])
def test_every_module_of_a_command_can_be_found(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    modules = {module.rstrip(".") for module in MODULE.findall(page.read_text()) if not PLACEHOLDER.search(module)}
    assert [module for module in sorted(modules) if not can_be_found(module)] == []


def can_be_found(module: str) -> bool:
    """Whether `python -m` finds a module."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def test_the_readme_names_links_paths_modules_and_code() -> None:
    assert LINK.search(README) and repository_paths(README) and MODULE.search(README) and PYTHON_BLOCK.search(README)


@pytest.mark.parametrize("code", PYTHON_BLOCK.findall(README))
def test_python_code_in_the_readme_compiles_and_its_imports_resolve(code: str) -> None:
    for statement in ast.walk(ast.parse(code)):
        if isinstance(statement, ast.Import):
            for name in statement.names:
                importlib.import_module(name.name)
        if isinstance(statement, ast.ImportFrom):
            module = importlib.import_module(statement.module or "")
            assert [name.name for name in statement.names if not hasattr(module, name.name)] == []


def test_the_readmes_flow_builds_and_finds_text_without_an_edit(
    tmp_path: Path, pictures: Pictures, index_rows: Callable[..., pa.Table]
) -> None:
    [(file, name)] = re.findall(r"cleanplate run (\w+\.py):(\w+)", README)
    [code] = [block for block in PYTHON_BLOCK.findall(README) if block.startswith(f"# {file}\n")]
    (tmp_path / file).write_text(code)
    flow = load_flow(f"{tmp_path / file}:{name}")
    flow.then(Write(str(tmp_path / "out")))
    pictures.strip(1, "CAPTION").save(tmp_path / "strip.png")
    (row,) = flow.run(index_rows(tmp_path / "strip.png")).to_pylist()
    assert (row["verdict"], row["encoded"], row["failure"]) == ("untouched", None, None)
    assert len(row["regions"]) == 1
