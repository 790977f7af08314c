"""The pages of the project: their links, paths, modules and Python code are valid."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from deltalake import write_deltalake
from PIL import Image, ImageDraw

import cleanplate
from cluster.profile import Profile, Stage
from cluster.profile import load as load_profile
from flows.cli.app import app
from flows.cli.flow_file import load_flow
from flows.erase_text import erase_text
from flows.evaluation.suite import load as load_suite
from operators.rows.schema import PIXEL_CHILDREN, PIXEL_COLUMNS, REGION, SCHEMA
from operators.write import Write
from tests.fixtures.cli import Invoke

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

GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON_BLOCKS = [
    (page.name, code)
    for page in GUIDES
    # The design shows an excerpt, which leaves things out.
    if page.name != "design.md"
    for code in PYTHON_BLOCK.findall(page.read_text())
]
FLOW_BLOCK = next(code for _, code in PYTHON_BLOCKS if code.startswith("# my_flows.py\n"))
JSON_BLOCKS = [
    text for page in GUIDES for text in re.findall(r"^```json\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]
COMMAND_LINES = sorted(
    {
        line.replace(" | kubectl create -f -", "")
        for page in GUIDES
        for line in re.findall(
            r"^(?:    )(?:[A-Z_]+=\S+ )?cleanplate (.+)$", page.read_text().replace("\\\n", ""), re.MULTILINE
        )
    }
)
"""What follows `cleanplate` in the code blocks of the pages."""
GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = {**GROUP.commands}
FOREIGN_LINES = re.compile(r"^.*(?:python -m|pip install|kubectl [ak]|benchmarks\.).*$", re.MULTILINE)
"""Lines whose options belong to other programs."""
FOREIGN_OPTIONS = {"--agreement", "--help", "--temp-dir"}
"""Those of lines that do not name their program, and the one that every command has."""

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
    assert len(README.splitlines()) <= 90


@pytest.fixture
def workplace(tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with what the snippets of the pages name."""
    for folder in ("photos", "masks", "evaluation", "candidate"):
        (tmp_path / folder).mkdir()
    picture = pictures.written(pictures.plain(1, (200, 64)), "POSTER", 30)
    picture.save(tmp_path / "photos" / "poster.jpg", quality=95)
    for name in ("poster.png", "poster_mask.png"):
        Image.new("L", picture.size, 255).save(tmp_path / "masks" / name)
    (tmp_path / "list.csv").write_text("uri,name\nphotos/poster.jpg,a.jpg\n")
    boxes = pa.array([[[20.0, 10.0, 60.0, 30.0]]], pa.list_(pa.list_(pa.float32())))
    pq.write_table(pa.table({"uri": ["photos/poster.jpg"], "boxes": boxes}), tmp_path / "list.parquet")
    (tmp_path / "labels").mkdir()
    coco = {
        "images": [{"id": 1, "file_name": "poster.jpg", "width": 200, "height": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 10, 60, 30]}],
        "categories": [{"id": 1, "name": "text"}],
    }
    (tmp_path / "labels" / "coco.json").write_text(json.dumps(coco))
    (tmp_path / "my_flows.py").write_text(FLOW_BLOCK)
    (tmp_path / "marks").mkdir()
    logo = Image.new("RGBA", (60, 30), (255, 255, 255, 0))
    ImageDraw.Draw(logo).ellipse((5, 5, 50, 25), fill=(255, 255, 255, 128))
    for file in (tmp_path / "logo.png", tmp_path / "marks" / "logo.png"):
        logo.save(file)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Ran:
    """A block of Python that has run: its names, and the lines that it has printed."""

    names: dict[str, Any]
    lines: list[str]


def pixels(file: str | Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


BLOCK = 16
"""Pixels on each side of what a JPEG with halved colours encodes together."""


def maximum_of_blocks(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % BLOCK), (0, -width % BLOCK)))
    return padded.reshape(padded.shape[0] // BLOCK, BLOCK, -1, BLOCK).max(axis=(1, 3))


def assert_erased(file: str | Path) -> None:
    """Check that a file is the poster with other pixels, and without a text."""
    assert Image.open(file).format == "JPEG"
    assert (pixels(file) != pixels("photos/poster.jpg")).any()
    assert not cleanplate.find(file).regions


def readme(ran: Ran) -> None:
    """The file without its text; the verdict, no reasons, and the size of the mask."""
    assert ran.lines == ["edited () (64, 200)"]
    assert_erased("clean.jpg")


def a_flow_of_ones_own(ran: Ran) -> None:
    """See test_the_flow_of_the_pages_counts_boxes_without_an_edit."""
    assert [operator.name for operator in ran.names["captions"].operators] == ["fetch", "detect", "count"]


def a_flow_in_this_process(ran: Ran) -> None:
    """The text of the poster is erased."""
    assert ran.lines == ["edited {'found': 1, 'erased': 1, 'kept': 0, 'refused': 0}"]


def the_contract_of_generators(ran: Ran) -> None:
    """The class inherits its tests, and they pass."""
    tests = [name for name in dir(ran.names["TestMine"]) if name.startswith("test_")]
    assert len(tests) >= 6
    for name in tests:
        getattr(ran.names["TestMine"](), name)()


def one_picture(ran: Ran) -> None:
    """What each comment says about the edit."""
    edit = ran.names["edit"]
    assert edit.image == edit.data == Path("clean.jpg").read_bytes()
    assert (edit.verdict, list(edit.reasons)) == ("edited", [])
    assert (edit.mask.dtype, edit.mask.shape) == (np.uint8, (64, 200))
    changed = (pixels("clean.jpg") != pixels("photos/poster.jpg")).any(axis=2)
    blocks = np.kron(maximum_of_blocks(edit.mask), np.ones((BLOCK, BLOCK), np.uint8))[:64, :200]
    # A decoder that smooths the colours of a JPEG looks one pixel beyond a block.
    assert changed.any() and not changed[cv2.dilate(blocks, np.ones((3, 3), np.uint8)) == 0].any()
    (line,) = ran.lines
    assert line.startswith("erased None ")
    assert_erased("clean.jpg")


def pillow_and_arrays(ran: Ran) -> None:
    """A Pillow image gives a Pillow image, an array an array; the text is gone from both."""
    clean, array = ran.names["clean"], ran.names["pixels"]
    assert isinstance(clean, Image.Image)
    assert (clean.mode, clean.size) == ("RGB", (200, 64))
    assert (array.dtype, array.shape) == (np.uint8, (64, 200, 3))
    assert (np.asarray(clean) != pixels("photos/poster.jpg")).any()
    assert not cleanplate.find(array).regions


def what_goes_and_what_stays(ran: Ran) -> None:
    """The name is kept by its rule, and the given region is the only one that goes."""
    assert ran.lines == ["[('POSTER', 'kept', 'kept_by_rule', '--keep POSTER', 'detect')]"]
    assert [(region.origin, region.state) for region in ran.names["hidden"].regions] == [("column:given_regions", "erased")]


def finding_filling_and_enlarging(ran: Ran) -> None:
    """The text is read, what its mask covers is filled, and a picture is twice as large."""
    assert ran.lines == ["['POSTER']"]
    assert 0.02 < ran.names["mask"].mean() < 0.6
    filled = ran.names["filled"]
    assert filled.verdict == "edited"
    Path("filled.jpg").write_bytes(filled.data)
    assert_erased("filled.jpg")


def a_wrong_picture(ran: Ran) -> None:
    """The error is raised, so that the `except` of the block is what has run."""
    with pytest.raises(cleanplate.Failure):
        cleanplate.erase(b"these are words")


def the_ledger(ran: Ran) -> None:
    """Three rows with the columns that are named."""
    (line,) = ran.lines
    rows = ast.literal_eval(line)
    assert [list(row) for row in rows] == [["path", "verdict", "texts", "reasons"]] * 3


PROMISES: list[Callable[[Ran], None]] = [
    readme,
    a_flow_of_ones_own,
    a_flow_in_this_process,
    the_contract_of_generators,
    one_picture,
    pillow_and_arrays,
    what_goes_and_what_stays,
    finding_filling_and_enlarging,
    a_wrong_picture,
    the_ledger,
]
"""What the pages say of each block of Python, in the order of the blocks."""


@pytest.mark.parametrize(
    ("page", "code", "promise"),
    [(*block, promise) for block, promise in zip(PYTHON_BLOCKS, PROMISES, strict=True)],
    ids=[f"{page}-{promise.__name__}" for (page, _), promise in zip(PYTHON_BLOCKS, PROMISES, strict=True)],
)
def test_python_code_in_the_pages_does_what_they_say(
    page: str,
    code: str,
    promise: Callable[[Ran], None],
    workplace: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "cleaned/" in code:
        shutil.copytree(request.getfixturevalue("finished").dest, workplace / "cleaned")
    names: dict[str, Any] = {"__name__": "snippet"}
    capsys.readouterr()
    exec(compile(code, page, "exec"), names)
    promise(Ran(names, capsys.readouterr().out.splitlines()))


@pytest.mark.parametrize("text", JSON_BLOCKS)
def test_json_in_the_pages_is_a_suite(text: str, workplace: Path) -> None:
    (workplace / "suite").mkdir()
    (workplace / "suite" / "suite.json").write_text(text)
    shutil.copytree(workplace / "photos", workplace / "suite" / "images")
    assert load_suite(workplace / "suite").entries


def test_profiles_in_the_pages_are_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "profiles.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.yaml").write_text(block)
        erase_text().lay_out(load_profile(str(tmp_path / f"{number}.yaml")))
    keys = {*Profile.model_fields, *Stage.model_fields} - {"name"}
    section = text.split("## A profile of your own")[1].split("## On Kubernetes")[0]
    listed = {name for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)}
    assert blocks and listed == keys


def lay_out_collection(line: str, workplace: Path) -> None:
    """The collection that a command line names, with one image."""
    rows = pa.table({"image": [(workplace / "photos" / "poster.jpg").read_bytes()]})
    if "_delta_log" in line:
        write_deltalake(workplace / "photos", rows)
    if ".lance" in line:
        lance.write_dataset(rows, workplace / "photos.lance")
    if ".arrow" in line:
        with pa.ipc.new_stream(workplace / "photos" / "data.arrow", rows.schema) as stream:
            stream.write_table(rows)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_lines_in_the_pages_are_valid(line: str, workplace: Path, invoke: Invoke) -> None:
    arguments = shlex.split(line, comments=True)
    command, options = arguments[0], list(arguments[1:])
    assert command in COMMANDS, line
    if command == "submit":
        nested = options[options.index("erase") :]
        command, options = nested[0], nested[1:]
    if command == "models":
        assert invoke(*arguments)[0] == 0
        return
    COMMANDS[command].make_context(command, list(options))  # raises for an option that is not there
    local = not any("://" in option or option.endswith(("balanced.yaml", "suppliers.yaml")) for option in options)
    if command in ("erase", "find", "inpaint", "enlarge", "run") and local:
        options = [option.replace("shop/", "photos/").replace("screens/", "photos/") for option in options]
        options = [option.replace("scans/", "photos/").replace("pages/", "photos/") for option in options]
        lay_out_collection(line, workplace)
        exit_code, _, err = invoke(command, *options, *([] if "--dry-run" in options else ["--dry-run"]))
        assert (exit_code, err) == (0, ""), err


def test_every_option_is_documented_and_every_documented_option_exists() -> None:
    text = FOREIGN_LINES.sub("", "\n".join(page.read_text() for page in GUIDES))
    documented = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9](?![\w>-])", text)) - FOREIGN_OPTIONS
    existing = {
        option
        for command in [*COMMANDS.values(), *COMMANDS["models"].commands.values(), GROUP]
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    assert sorted(existing - documented) == []
    assert sorted(documented - existing) == []


def test_every_column_is_on_the_page_of_the_row_with_whether_the_ledger_has_it() -> None:
    text = (ROOT / "docs" / "row.md").read_text()
    for heading, fields, left_out in (
        ("## Columns", SCHEMA, PIXEL_COLUMNS),
        ("## Regions", REGION, PIXEL_CHILDREN),
    ):
        section = text.split(heading)[1].split("## ")[0]
        rows = [line.split("|")[1:4] for line in section.splitlines() if line.startswith("| `")]
        listed = {name: cells[2].strip() for cells in rows for name in re.findall(r"`(\w+)`", cells[0])}
        assert list(listed) == [field.name for field in fields]
        assert {name for name, kept in listed.items() if kept == "no"} == set(left_out)


def test_the_flow_of_the_pages_counts_boxes_without_an_edit(
    workplace: Path, pictures: Pictures, index_rows: Callable[..., pa.Table]
) -> None:
    flow = load_flow("my_flows.py:captions")
    flow.then(Write("out"))
    (row,) = flow.run(index_rows(workplace / "photos" / "poster.jpg")).to_pylist()
    assert (row["verdict"], row["encoded"], row["failure"], row["boxes"]) == ("untouched", None, None, 1)
