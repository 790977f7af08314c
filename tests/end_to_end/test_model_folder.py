"""A folder in diffusers' format as a rung: from the command line to pixels and ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from cluster.profile import Profile, laptop
from flows.cli.app import app
from flows.engine.run import run
from flows.erase_text import erase_text
from flows.ladder import Fills, Rung
from operators.generators.prompt import CONTINUED, describe_surface
from operators.rows.failure import RunError
from tests.operators.generators.tiny import saved

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("sd9", tmp_path_factory.mktemp("models") / "tiny-sd")


@pytest.fixture
def source(pictures: Pictures, tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    pictures.written(pictures.photo("moon"), "MOON").save(folder / "moon.png")
    return folder


def test_a_folders_fills_reach_the_ledger_with_prompt_and_hash(
    ray_here: None, source: Path, tmp_path: Path, tiny: Path
) -> None:
    dest = tmp_path / "out"
    summary = run(erase_text(Fills((Rung(str(tiny)),), accept="best")), str(source), str(dest), laptop().with_workers(1))
    assert sum(summary.verdicts.values()) == 1 and not summary.failures
    [row] = pq.read_table(dest / "ledger", partitioning=None).to_pylist()
    assert row["verdict"] in ("edited", "rolled_back")
    for region in row["regions"]:
        assert (region["rung"], region["repeatable"]) == ("tiny-sd", True)
        assert region["prompt"].startswith(CONTINUED)
        assert region["prompt"] == describe_surface(dict(region["metadata"]), "")
        assert len(region["prompt_sha256"]) == 64
        assert {check["name"] for check in region["checks"]} >= {"residual_text", "structure"}
    settings = json.loads((dest / "run.json").read_text())["settings"]
    cards = [operator["card"] for operator in settings if "card" in operator]
    assert [card["alias"] for card in cards] == ["tiny-sd", "tiny-sd"]
    assert all(card["files"]["model_index.json"] for card in cards)


@pytest.mark.parametrize("command", [("erase",), ("inpaint", "--masks", "masks")])
def test_a_truncated_weight_file_is_one_line_before_anything_starts(
    source: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    broken = saved("sd9", tmp_path / "broken")
    file = broken / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    arguments = [command[0], str(source), str(tmp_path / "out"), *command[1:], "--model", str(broken)]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"error: model_invalid: {file} is truncated")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "wrong_shape"])
def test_weights_that_do_not_fit_are_one_line_before_ray_starts(source: Path, tmp_path: Path, missing: bool) -> None:
    broken = saved("sd9", tmp_path / "broken")
    file = broken / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    misfit = {} if missing else {"conv_in.bias": np.zeros(3, np.float32)}
    save_file({**{name: tensors[name] for name in tensors if name != "conv_in.bias"}, **misfit}, file, {"format": "pt"})
    flow = erase_text(Fills((Rung(str(broken)),)))
    with pytest.raises(
        RunError, match=r"^model_invalid: broken: .*unet: 1 (missing|mismatched) keys.*conv_in\.bias"
    ) as refusal:
        run(flow, str(source), str(tmp_path / "out"), profile_of_no_machine())
    assert refusal.value.exit_code == 2 and "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def profile_of_no_machine() -> Profile:
    """A profile that no machine can satisfy: a run that asks for its processes is refused."""
    return laptop().with_workers(100).model_copy(update={"local_cpus": 1})


def test_a_folder_that_is_no_model_is_one_line(source: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["erase", str(source), str(tmp_path / "out"), "--model", str(source)])
    assert ended.exit_code == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: model_invalid: ") and "not a folder in diffusers' format" in line
