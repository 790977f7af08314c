"""A sample's places filled by several generators, and the fills that the gate keeps at each
threshold.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from flows.evaluation.calibrate import BAD
from flows.evaluation.default_suite import default_folder, default_suite
from flows.evaluation.side_by_side import generator_table, measure_generators, sample, side_by_side, threshold_table
from flows.evaluation.suite import Suite
from operators.decisions.gate import fit_model


@pytest.fixture(scope="module")
def suite() -> Suite:
    return sample(default_suite(default_folder()), 2)


@pytest.fixture(scope="module")
def records(suite: Suite) -> list[dict[str, Any]]:
    return measure_generators(suite, ("navier_stokes", "telea"))


def test_a_sample_is_spread_over_the_whole_suite_and_repeats_nothing() -> None:
    whole = default_suite(default_folder())
    chosen = [whole.entries.index(entry) for entry in sample(whole, 5).entries]
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, len(whole.entries) - 1, 5)
    assert np.ptp(np.diff(chosen)) <= 1
    assert sample(whole, 10 * len(whole.entries)).entries == whole.entries


def test_every_region_is_tried_by_every_generator(records: list[dict[str, Any]]) -> None:
    places = {(record["file"], record["region"]) for record in records}
    assert {(record["file"], record["region"], record["rung"]) for record in records} == {
        (*place, generator) for place in places for generator in ("navier_stokes", "telea")
    }
    table = generator_table(records)
    assert [(row["generator"], row["fills"]) for row in table] == [("navier_stokes", len(places)), ("telea", len(places))]
    for row in table:
        fills = [record["figures"]["psnr"] for record in records if record["rung"] == row["generator"]]
        assert row["psnr"] == pytest.approx(np.mean(fills))


def test_a_higher_threshold_keeps_more_down_to_nothing_and_up_to_all(
    records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fills = [record for record in records if record["rung"] == "telea"]
    errors = [record["figures"]["visible_error"] for record in fills]
    model = fit_model([record["measured"] for record in fills], errors, BAD)
    monkeypatch.setattr("flows.evaluation.side_by_side.model_of", lambda rung: model)
    rows = threshold_table(fills, (-1.0, 0.02, 0.04, math.inf))
    assert [row["threshold"] for row in rows] == [-1.0, 0.02, 0.04, math.inf]
    kept = [row["kept"] for row in rows]
    assert kept == sorted(kept) and (kept[0], kept[-1]) == (0.0, 1.0)
    everything = pytest.approx(np.mean(errors))
    assert rows[0]["error_of_refused"] == rows[-1]["error_of_kept"] == everything
    assert math.isnan(rows[0]["error_of_kept"]) and math.isnan(rows[-1]["error_of_refused"])


def test_a_generator_that_the_gate_does_not_know_has_no_rows(records: list[dict[str, Any]]) -> None:
    assert threshold_table([{**record, "rung": "unknown"} for record in records], (0.1,)) == []


def test_each_region_is_a_row_from_source_to_truth(suite: Suite, records: list[dict[str, Any]]) -> None:
    picture = np.asarray(side_by_side(suite, ("navier_stokes", "telea")))
    assert picture.shape[1] % 4 == 0
    assert len(picture) > 8 * len({(record["file"], record["region"]) for record in records})
