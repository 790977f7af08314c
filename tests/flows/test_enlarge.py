"""A run that enlarges: print sizes, wrong usage in one line, and files that keep their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from cluster.profile import laptop
from flows.engine.run import run
from flows.enlarge import enlarge_pictures, parse_paper
from operators.ledger import ledger
from operators.rows.failure import RunError
from operators.write import Write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "centimetres"), [("20x30cm", (20, 30)), ("200x300mm", (20, 30)), ("8x10in", (20.32, 25.4)), ("1.5X2CM", (1.5, 2))]
)
def test_a_paper_has_its_size_in_centimetres(text: str, centimetres: tuple[float, float]) -> None:
    paper = parse_paper(text, 300)
    assert (paper.width, paper.height, paper.dots_per_inch) == (*(pytest.approx(side) for side in centimetres), 300)


@pytest.mark.parametrize("text", ["20x30", "20cm", "0x30cm", "-1x2cm", "20x30 furlongs", ""])
def test_an_invalid_print_size_is_refused(text: str) -> None:
    with pytest.raises(RunError, match="option_invalid: --print"):
        parse_paper(text, 300)


def test_the_flow_is_sound_up_to_its_write() -> None:
    assert enlarge_pictures(4).then(Write("out")).operators[-1] == Write("out")


def test_a_folder_is_enlarged_under_the_same_names_and_taken_up_again(ray_here: None, tmp_path: Path) -> None:
    source, dest = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 36, 3), np.uint8))
    picture.save(source / "deep" / "a.jpg")
    picture.convert("RGBA").save(source / "b.png")
    (source / "c.png").write_bytes(b"")
    summary = run(enlarge_pictures(2), str(source), str(dest), laptop().with_workers(1))
    assert dict(summary.verdicts) == {"edited": 2, "failed": 1}
    assert Image.open(dest / "images" / "deep" / "a.jpg").size == (72, 48)
    assert Image.open(dest / "images" / "b.png").mode == "RGBA"
    figures = {row["path"]: dict(row["metadata"] or []) for row in ledger.read(str(dest)).to_pylist()}
    assert figures["b.png"]["factor"] == 2
    assert run(enlarge_pictures(2), str(source), str(dest), laptop().with_workers(1)).before == 3
