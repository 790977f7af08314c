"""The examples do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cluster.profile import laptop
from examples.own_generator import MeanColour, TestMeanColour
from flows.cli.flow_file import load_flow
from flows.engine.run import run
from operators.generators.classical import CLASSICAL, Classical
from operators.generators.contract import GeneratorContract
from operators.generators.generator import Generator, Request
from operators.ledger import ledger
from operators.rows.arrays import Pixels

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures
    from tests.fixtures.ray import Finished

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def source(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "in"
    folder.mkdir()
    pictures.written(pictures.plain(1, (320, 96)), "CAPTION", 40).save(folder / "text.png")
    pictures.plain(2, (40, 30)).save(folder / "plain.png")
    return folder


def worked(reference: str, source: Path, dest: Path) -> dict[str, dict[str, object]]:
    run(load_flow(str(ROOT / "examples" / reference)), str(source), str(dest), laptop().with_workers(1))
    return {row["path"]: row for row in ledger.read(str(dest)).to_pylist()}


def test_captions_are_read_into_columns_of_their_own(ray_here: None, source: Path, tmp_path: Path) -> None:
    rows = worked("captions.py:captions", source, tmp_path)
    assert [(rows[name]["caption"], rows[name]["words"]) for name in ("text.png", "plain.png")] == [("CAPTION", 1), ("", 0)]
    assert (tmp_path / "images" / "text.png").read_bytes() == (source / "text.png").read_bytes()


def test_black_boxes_cover_every_text(ray_here: None, source: Path, tmp_path: Path) -> None:
    rows = worked("black_out.py:black_out", source, tmp_path)
    assert [rows[name]["verdict"] for name in ("text.png", "plain.png")] == ["edited", "untouched"]
    before, after = (np.asarray(Image.open(folder / "text.png")) for folder in (source, tmp_path / "images"))
    changed = (before != after).any(axis=2)
    assert changed.sum() > 1000 and (after[changed] == 0).all()


def test_a_generator_of_ones_own_fills_as_a_rung(ray_here: None, source: Path, tmp_path: Path) -> None:
    rows = worked("own_generator.py:mean_fill", source, tmp_path)
    (region,) = rows["text.png"]["regions"]  # type: ignore[misc]
    assert (region["rung"], region["passes"]) == ("mean_colour", 1)
    assert {check["rung"] for check in region["checks"]} == {"mean_colour"}  # and it is judged like any other


CONTRACT = [name for name in dir(GeneratorContract) if name.startswith("test_")]


@pytest.mark.parametrize("promise", CONTRACT)
@pytest.mark.parametrize("alias", ["mean_colour", *sorted(set(CLASSICAL) - {"patchmatch", "hybrid", "ground"})])
def test_generators_keep_the_contract(alias: str, promise: str) -> None:
    class Shipped(GeneratorContract):
        def generator(self) -> Generator:
            return MeanColour() if alias == "mean_colour" else Classical(alias)

    getattr(Shipped(), promise)()


class Forgetful(MeanColour):
    """Breaks the contract: it numbers its calls, writes to the request, and returns one row."""

    calls = 0

    def _fill(self, request: Request) -> Pixels:
        Forgetful.calls += 1
        return np.full((1, request.pixels.shape[1], 3), Forgetful.calls % 256, np.uint8)


@pytest.mark.parametrize(
    "promise", ["test_a_fill_has_the_size_and_type_of_its_crop", "test_the_same_request_gives_the_same_bytes"]
)
def test_the_contract_finds_a_generator_that_breaks_it(promise: str) -> None:
    class Broken(TestMeanColour):
        def generator(self) -> Generator:
            return Forgetful()

    with pytest.raises((AssertionError, ValueError)):
        getattr(Broken(), promise)()


def test_a_review_shows_edits_with_the_doubtful_ones_first(finished: Finished, tmp_path: Path) -> None:
    page = tmp_path / "review.html"
    review = [sys.executable, ROOT / "examples" / "review.py", finished.dest, page]
    subprocess.run(review, cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)})
    text = page.read_text()
    erased = sum(row["texts"]["erased"] for row in ledger.read(str(finished.dest)).to_pylist() if row["texts"])
    assert f"<h1>{erased} edits</h1>" in text and text.count("<img ") == 2 * erased > 0
    shares = [int(part.split("%")[0].rpartition(" ")[2]) for part in text.split("<figcaption>")[1:]]
    assert shares == sorted(shares, reverse=True)
