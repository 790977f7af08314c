"""The same images give the same bytes, whatever the layout and the order of work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from cluster.profile import Profile, laptop, load
from flows.engine.run import run
from flows.erase_text import erase_text
from flows.ladder import PRESETS, Fills
from operators.ledger import ledger

if TYPE_CHECKING:
    from tests.fixtures.ray import Finished

FLOW = erase_text(Fills(PRESETS["quality"], accept="best"))
LAYOUTS = {
    "fused, one worker": laptop().with_workers(1),
    "fused, two workers, one image a block": laptop().with_workers(2).model_copy(update={"images_per_block": 1}),
    "fused, one worker, eight images a block": laptop().with_workers(1).model_copy(update={"images_per_block": 8}),
    "staged": load("staged"),
}


def findings(dest: Path) -> dict[str, tuple[object, ...]]:
    """A run's decisions on every image and region, and the checksums of its outputs, by path."""
    return {
        row["path"]: (
            row["verdict"],
            row["reasons"],
            row["failure"],
            row["output_sha256"],
            [
                (region["crop"], region["rung"], region["seed"], region["passes"], region["state"], region["checks"])
                for region in row["regions"] or []
            ],
        )
        for row in ledger.read(str(dest)).to_pylist()
    }


def test_the_compared_images_include_edits_of_the_first_rung_and_of_a_later_one(finished: Finished) -> None:
    rows = ledger.read(str(finished.dest)).to_pylist()
    assert any(row["verdict"] == "edited" for row in rows)
    erased = [region for row in rows for region in row["regions"] or [] if region["state"] == "erased"]
    first, *later = (rung.model for rung in PRESETS["quality"])
    used = {region["rung"] for region in erased}
    assert first in used
    assert used & set(later)


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("profile", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_changes_no_byte_and_no_finding(
    finished: Finished, profile: Profile, tmp_path: Path, sums: Callable[[Path], dict[str, str]]
) -> None:
    run(FLOW, str(finished.source), str(tmp_path / "out"), profile)
    assert sums(tmp_path / "out" / "images") == sums(finished.dest / "images")
    assert findings(tmp_path / "out") == findings(finished.dest)


def test_in_process_in_any_order_the_bytes_are_the_same(finished: Finished, index_rows: Callable[..., pa.Table]) -> None:
    delivered = {row["uri"]: row["output_sha256"] for row in ledger.read(str(finished.dest)).to_pylist()}
    files = sorted((Path(uri) for uri in delivered), key=lambda file: file.name, reverse=True)
    for row in FLOW.run(index_rows(*files)).to_pylist():
        data = row["encoded"] or (row["bytes"] if row["verdict"] != "failed" else None)
        assert (data and hashlib.sha256(data).hexdigest()) == delivered[row["uri"]]


def test_another_seed_may_change_edited_images_only(finished: Finished, index_rows: Callable[..., pa.Table]) -> None:
    rows = ledger.read(str(finished.dest)).to_pylist()
    untouched = [row for row in rows if row["verdict"] == "untouched"]
    result = erase_text(Fills(PRESETS["quality"], seed=99, accept="best")).run(
        index_rows(*(Path(row["uri"]) for row in untouched))
    )
    assert result["verdict"].to_pylist() == ["untouched"] * len(untouched)
    assert result["encoded"].to_pylist() == [None] * len(untouched)
