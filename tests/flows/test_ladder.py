"""The ladder: each fill is judged before the next one, and each rung fills only its own regions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from PIL import Image

from flows.engine.fill_rates import measure_rates, rates_for
from flows.erase_text import erase_text, inpaint_masks
from flows.flow import Flow
from flows.ladder import PRESETS, Fills, Rung, ladder, resolve_cards
from operators.decisions.budget import Budget, Rate
from operators.inpaint import Inpaint
from operators.rows.checks import judged_rungs
from operators.rows.failure import RunError
from operators.upscale import Upscale
from operators.verify import CheckLimits, Verify

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures


@pytest.fixture(scope="module")
def signs(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A photograph and a plain picture, each with a text."""
    folder = tmp_path_factory.mktemp("signs")
    pictures.written(pictures.photo("chelsea"), "CLEAN PLATE").save(folder / "photo.png")
    pictures.strip(3, "HELLO").save(folder / "strip.png")
    return [folder / "photo.png", folder / "strip.png"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_fill_is_judged_before_the_next_one(preset: str) -> None:
    operators = ladder(Fills(PRESETS[preset]))
    for position, operator in enumerate(operators):
        if isinstance(operator, Inpaint):
            following = [later for later in operators[position + 1 :] if not isinstance(later, Upscale)]
            assert isinstance(following[0], Verify)


def test_fills_of_a_model_get_their_size_and_detail_before_they_are_judged(
    model_folder: Callable[..., Path], tmp_path: Path
) -> None:
    operators = ladder(Fills((Rung(str(model_folder(tmp_path / "own"))), Rung("telea"))))
    assert [type(operator) for operator in operators] == [Inpaint, Upscale, Verify, Inpaint, Verify]


def test_a_refinement_is_filled_by_the_same_rung_and_only_where_a_mask_grew() -> None:
    names = [operator.name for operator in ladder(Fills((Rung("patchmatch", refinements=2),)))]
    assert names == ["inpaint_patchmatch", "verify", *["refine_patchmatch", "inpaint_patchmatch", "verify"] * 2]
    takes = [
        operator.takes for operator in ladder(Fills((Rung("patchmatch", refinements=1),))) if isinstance(operator, Inpaint)
    ]
    assert takes == [(), ("refined",)]


def test_a_model_that_nobody_knows_is_refused_when_the_flow_is_built() -> None:
    with pytest.raises(RunError, match="patchmatch") as raised:
        resolve_cards((Rung("patchmach"),))
    assert raised.value.code == "model_unknown"


def refused_by_all(flow_fills: Fills, files: list[Path], index_rows: Callable[..., pa.Table]) -> list[dict[str, object]]:
    """The rows of a flow whose checks no fill can pass."""
    operators = [
        Verify(CheckLimits(seam=-1.0, colour_shift=-1.0, structure=-1.0)) if isinstance(operator, Verify) else operator
        for operator in erase_text(flow_fills).operators
    ]
    result: list[dict[str, object]] = type(erase_text())(tuple(operators)).run(index_rows(*files)).to_pylist()
    return result


@pytest.mark.parametrize("preset", PRESETS)
def test_fills_made_to_fail_go_down_rung_by_rung_to_the_original(
    preset: str, signs: list[Path], index_rows: Callable[..., pa.Table]
) -> None:
    for row in refused_by_all(Fills(PRESETS[preset]), signs, index_rows):
        assert row["verdict"] == "rolled_back"
        assert row["encoded"] is None
        assert row["regions"]
        for region in row["regions"]:  # type: ignore[attr-defined]
            rungs = judged_rungs(region["checks"])
            expected = [rung.model for rung in PRESETS[preset] if not rung.takes or region["route"] in rung.takes]
            assert list(dict.fromkeys(rungs)) == list(dict.fromkeys(expected))
            assert region["passes"] == len(rungs)
            assert (region["state"], bool(region["reason"])) == ("refused", True)


def verifies(flow: Flow) -> list[Verify]:
    """The `verify` steps of a flow in their order."""
    return [operator for operator in flow.operators if isinstance(operator, Verify)]


def test_given_masks_get_the_best_fill_and_texts_the_gate_unless_told_otherwise() -> None:
    for flow in (inpaint_masks("masks"), erase_text(Fills(accept="best"))):
        assert all(step.remembers for step in verifies(flow))
    for flow in (inpaint_masks("masks", Fills(accept="gate")), erase_text()):
        assert not any(step.remembers or step.delivers for step in verifies(flow))


@pytest.mark.parametrize("preset", PRESETS)
def test_only_the_end_of_a_ladder_delivers_the_best_fill(preset: str) -> None:
    *others, last = verifies(inpaint_masks("masks", Fills(PRESETS[preset])))
    assert last.delivers
    assert not any(step.delivers for step in others)
    assert sum(step.delivers for step in verifies(erase_text(Fills(PRESETS[preset], accept="best")))) == 2


def test_another_way_to_accept_is_refused() -> None:
    with pytest.raises(RunError, match="gate, best") as raised:
        Fills(accept="all")
    assert raised.value.code == "option_invalid"


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_a_mask_whose_fills_are_all_refused_is_edited_with_the_reasons(
    preset: str, signs: list[Path], index_rows: Callable[..., pa.Table], tmp_path: Path
) -> None:
    photo = signs[0]
    mask = Image.new("L", Image.open(photo).size)
    mask.paste(255, (20, 20, 60, 40))
    mask.save(tmp_path / photo.name)
    limits = CheckLimits(seam=1e-6, colour_shift=1e-6, structure=1e-6)
    for accept, verdict in (("best", "edited"), ("gate", "rolled_back")):
        flow = inpaint_masks(str(tmp_path), Fills(PRESETS[preset], accept=accept))
        steps = [replace(step, limits=limits) if isinstance(step, Verify) else step for step in flow.operators]
        (row,) = Flow(tuple(steps)).run(index_rows(photo)).to_pylist()
        assert (row["verdict"], row["failure"]) == (verdict, None)
        assert row["reasons"]
        if accept == "best":
            (region,) = row["regions"]
            assert {reason.partition(":")[0] for reason in row["reasons"]} == {region["rung"]}
            assert (region["state"], region["reason"]) == ("erased", None)


def test_a_rung_leaves_other_routes_alone(signs: list[Path], index_rows: Callable[..., pa.Table]) -> None:
    (row, *_) = refused_by_all(Fills((Rung("telea", ("nowhere",)), Rung("navier_stokes"))), signs[:1], index_rows)
    assert {check["rung"] for region in row["regions"] for check in region["checks"]} == {"navier_stokes"}  # type: ignore[attr-defined]


RATES = (Rate("navier_stokes", 1.0, 1.0), Rate("patchmatch", 10_000.0, 0.0), Rate("hybrid", 10_000.0, 0.0))


def test_a_fill_beyond_the_budget_is_skipped_and_the_reason_recorded(
    signs: list[Path], index_rows: Callable[..., pa.Table]
) -> None:
    fills = Fills((Rung("patchmatch"),), budget=Budget(50, RATES))
    for row in erase_text(fills).run(index_rows(*signs)).to_pylist():
        assert row["verdict"] == "rolled_back"
        assert row["failure"] is None
        assert row["reasons"] == ["patchmatch: budget 1e+04 > 50"] * len(row["regions"])
        assert [region["fill"] for region in row["regions"]] == [None] * len(row["regions"])


def test_a_budget_takes_the_rung_that_it_affords(signs: list[Path], index_rows: Callable[..., pa.Table]) -> None:
    rows = refused_by_all(Fills((Rung("patchmatch"), Rung("navier_stokes")), budget=Budget(50, RATES)), signs, index_rows)
    for row in rows:
        for region in row["regions"]:  # type: ignore[attr-defined]
            assert judged_rungs(region["checks"]) == ["navier_stokes"]
            assert region["checks"][0]["name"] == "budget"


def test_rates_are_measured_once_and_then_read_from_the_run(signs: list[Path], tmp_path: Path, ray_here: None) -> None:
    from cluster.profile import laptop
    from flows.engine.run import run

    rungs, dest = PRESETS["fast"], str(tmp_path / "out")
    rates = (Rate("ground", 1.5, 2.5), Rate("hybrid", 2.5, 3.5))
    fast = Fills(rungs, budget=Budget(5_000, rates))
    run(erase_text(fast), str(signs[0].parent), dest, laptop().with_workers(1))
    assert rates_for(dest, rungs, fresh=False) == rates
    assert rates_for(dest, rungs, fresh=True) != rates


def test_patchmatch_is_measured_to_cost_more_than_a_smooth_fill() -> None:
    rates = {rate.rung: rate for rate in measure_rates((Rung("navier_stokes"), Rung("patchmatch")))}
    assert rates["patchmatch"].milliseconds(200_000) > 3 * rates["navier_stokes"].milliseconds(200_000)
