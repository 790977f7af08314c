"""`cleanplate models`: list, show and pull."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from flows.cli.app import app
from operators.models.pull import checksums
from operators.models.registry import cards, resolve

Folder = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("model_cache")


def models(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)], env={"COLUMNS": "200"})


def test_list_shows_every_alias_its_licence_and_whether_it_is_downloaded() -> None:
    result = models("list")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines()[1:]}
    assert set(rows) == set(cards())
    assert "FLUX.1 [dev] Non-Commercial License" in rows["flux-fill"]
    assert rows["flux-fill"].split()[-1] == "no"
    assert rows["telea"].split()[-1] == "code"


def test_show_prints_the_card_of_an_alias() -> None:
    result = models("show", "flux-fill")
    card = resolve("flux-fill")
    lines = dict(line.partition(": ")[::2] for line in result.output.splitlines())
    assert lines["revision"] == f"{card.revision} (a commit)"
    assert lines["licence"] == card.licence
    assert lines["note"] == card.note
    assert lines["steps"] == str(card.steps)
    assert lines["downloaded"] == "no"
    assert lines["sha256"] == "unknown until the model is downloaded"


def test_show_of_a_folder_prints_its_place_its_checksums_and_that_nothing_pins_it(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    result = models("show", folder)
    assert f"folder: {folder}\n" in result.output
    assert "revision: none (not pinned: its files may change)\n" in result.output
    for name, sha256 in checksums(resolve(str(folder))).items():
        assert f"  {sha256}  {name}\n" in result.output


def test_pull_prints_the_checksums_that_a_card_lacks(s3: object, model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    files = s3.files()  # type: ignore[attr-defined]
    files.makedirs("pulled", exist_ok=True)
    files.put(f"{folder}/", "pulled/tiny/", recursive=True)
    result = models("pull", "s3://pulled/tiny")
    assert result.exit_code == 0
    first, _, rest = result.output.partition("\n")
    assert first.startswith("tiny: 33.4 kB verified in ")
    assert yaml.safe_load(rest) == {"files": checksums(resolve("s3://pulled/tiny"))}
    shown = models("show", "s3://pulled/tiny").output
    assert "downloaded: 33.4 kB\n" in shown
    for name, sha256 in checksums(resolve(str(folder))).items():
        assert f"  {sha256}  {name}\n" in shown


def test_pull_of_code_and_of_a_folder_leaves_them_as_they_are(model_folder: Folder, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    result = models("pull", "telea", folder)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "telea: code of an installed package, nothing to download",
        f"model: 33.4 kB verified in {folder}",
    ]


@pytest.mark.parametrize("command", ["show", "pull"])
def test_an_unknown_model_is_one_line_and_exit_code_2(command: str) -> None:
    result = models(command, "teela")
    assert result.exit_code == 2
    assert result.output == "error: model_unknown: 'teela' is neither an alias nor a folder; there are: telea\n"
