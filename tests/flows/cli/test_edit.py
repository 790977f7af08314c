"""The commands that edit images: what they refuse, and what they print when they end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.cli.execute import cost_limit, cost_note
from flows.enlarge import enlarge_pictures
from flows.erase_text import erase_text
from flows.ladder import Fills, Rung
from operators.decisions.budget import USUAL_BUDGET, Budget
from operators.ledger.lease import Lease
from tests.fixtures.cli import Invoke
from tests.flows.cli.conftest import AssertRefused

if TYPE_CHECKING:
    from tests.fixtures.ray import Finished

WRONG = {
    "an unknown preset": (["erase", "in", "out", "--preset", "slow"], "option_invalid", "fast, balanced, quality"),
    "an unknown model": (["erase", "in", "out", "--model", "crayon"], "model_unknown", "telea"),
    "inpaint with an unknown preset": (["inpaint", "in", "out", "--masks", "in", "--preset", "slow"], "option_invalid", "slow"),
    "an unknown way to accept": (["erase", "in", "out", "--accept", "all"], "option_invalid", "gate, best"),
    "a mask name without a field": (
        ["inpaint", "in", "out", "--masks", "in", "--mask-name", "m.png"],
        "option_invalid",
        "{stem}",
    ),
    "masks of other images": (["inpaint", "in", "out", "--masks", "empty"], "masks_missing", "--mask-name"),
    "a folder of masks that is not there": (
        ["inpaint", "in", "out", "--masks", "nowhere"],
        "masks_missing",
        "nowhere is no folder",
    ),
    "enlarge without a size": (["enlarge", "in", "out"], "option_invalid", "either --scale or --print"),
    "enlarge with two sizes": (["enlarge", "in", "out", "--scale", "2", "--print", "9x13cm"], "option_invalid", "either"),
    "enlarge by an odd factor": (["enlarge", "in", "out", "--scale", "3"], "option_invalid", "2, 4"),
    "enlarge to no paper": (["enlarge", "in", "out", "--print", "20x30"], "option_invalid", "20x30cm"),
    "enlarge by an unknown model": (["enlarge", "in", "out", "--scale", "2", "--model", "no"], "option_invalid", "lanczos"),
    "an unknown format": (["erase", "in", "out", "--to-format", "gif"], "option_invalid", "png, tiff, jpeg, webp"),
    "enlarge to an unknown format": (["enlarge", "in", "out", "--scale", "2", "--to-format", "bmp"], "option_invalid", "png"),
    "an unknown kind of collection": (["erase", "in", "out", "--to", "zarr"], "option_invalid", "files, parquet, webdataset"),
    "a collection of a folder": (["erase", "in", "out", "--to", "parquet"], "option_invalid", ".parquet files that hold"),
    "a collection and another format": (
        ["erase", "in", "out", "--to", "parquet", "--to-format", "png"],
        "option_invalid",
        "--to-format changes the endings",
    ),
    "a format and whole names": (
        ["erase", "in", "out", "--to-format", "png", "--output-column", "name"],
        "option_invalid",
        "--output-column",
    ),
    "an unknown profile": (["erase", "in", "out", "--profile", "mainframe"], "profile_invalid", "mainframe"),
    "a missing profile file": (["erase", "in", "out", "--profile", "none.yaml"], "profile_invalid", "none.yaml"),
    "a profile with a wrong share": (["erase", "in", "out", "--profile", "odd.yaml"], "profile_invalid", "gpus"),
    "a profile without a stage": (["erase", "in", "out", "--profile", "other.yaml"], "profile_invalid", "'fetch'"),
    "a profile that its own Ray cannot hold": (
        ["erase", "in", "out", "--profile", "huge.yaml"],
        "profile_does_not_fit",
        "51 CPU",
    ),
    "a missing source": (["erase", "nowhere", "out"], "source_missing", "nowhere"),
    "a pattern that matches nothing": (["erase", "in/*.webp", "out"], "source_missing", "in/*.webp"),
    "a missing manifest": (["erase", "none.parquet", "out"], "source_missing", "none.parquet"),
}


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("arguments", "code", "named"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_line_with_its_code_before_ray_starts(
    assert_refused: AssertRefused, arguments: list[str], code: str, named: str
) -> None:
    assert_refused(arguments, code, named)


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
def test_wrong_usage_leaves_no_file_behind(workplace: Path, invoke: Invoke, arguments: list[str]) -> None:
    assert invoke(*arguments)[0] == 2
    assert not [file for file in (workplace / "out").rglob("*") if file.is_file()]


def test_a_finished_run_is_one_line_on_standard_output(finished: Finished, tmp_path: Path, invoke: Invoke) -> None:
    dest = shutil.copytree(finished.dest, tmp_path / "out")
    answer = invoke("erase", str(finished.source), str(dest), "--preset", "quality", "--accept", "best")
    assert (answer[0], answer[2]) == (0, "")
    assert answer[1].startswith("5 images, 5 done before, ")
    assert answer[1].endswith(f" | not_an_image 1 | {dest / 'report.html'}\n")


def test_a_destination_in_use_ends_in_exit_code_3(finished: Finished, tmp_path: Path, invoke: Invoke) -> None:
    dest = shutil.copytree(finished.dest, tmp_path / "out")
    with Lease(str(dest)).hold():
        exit_code, out, err = invoke("erase", str(finished.source), str(dest), "--preset", "quality", "--accept", "best")
    assert (exit_code, out) == (3, "")
    (line,) = err.splitlines()
    assert line.startswith("error: destination_in_use: ")


def test_what_the_fills_of_one_image_may_cost_is_said_in_words() -> None:
    assert cost_limit(erase_text()) == (
        "filling one image takes at most 120 s of one core, by estimate; --budget-ms sets another limit"
    )
    assert "at most 0.5 s" in cost_limit(erase_text(Fills(budget=Budget(500, USUAL_BUDGET.rates))))
    assert "no limit on how long inpaint_telea may work" in cost_limit(erase_text(Fills((Rung("telea"),))))
    assert "no limit" in cost_limit(erase_text(Fills(budget=None)))
    assert cost_limit(enlarge_pictures(2.0)) == ""


def test_a_run_says_its_limit_only_if_it_is_not_the_usual_one() -> None:
    assert cost_note(erase_text()) == cost_note(enlarge_pictures(2.0)) == ""
    for fills in (Fills(budget=Budget(500, USUAL_BUDGET.rates)), Fills((Rung("telea"),)), Fills(budget=None)):
        assert cost_note(erase_text(fills)) == cost_limit(erase_text(fills)) != ""
