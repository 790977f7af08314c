"""What the user's rules keep comes out with its exact pixels, also beside a text that goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.choose import Choice
from flows.erase_text import erase_text
from flows.evaluation.draw_text import Caption, draw
from flows.find_text import look_for_text
from flows.ladder import PRESETS, Fills
from flows.step_by_step import index_row
from operators.rows.table import Row, row_views
from operators.selection.rule_file import Options

FAST = Fills(PRESETS["fast"])


def captions(font: str) -> list[Caption]:
    return [
        Caption("Mail: jane@example.org", font, 26, 0.5, 0.25, (20, 20, 20)),
        Caption("gently copying", font, 26, 0.5, 0.36, (20, 20, 20)),
        Caption("ACME", font, 40, 0.5, 0.75, (20, 20, 20), shadow=2),
    ]


@pytest.fixture(scope="module")
def page() -> tuple[np.ndarray, list[np.ndarray]]:
    """Lines that nearly touch, and where each of them is."""
    from font_roboto import RobotoMedium

    picture, covered = np.full((240, 420, 3), 240, np.uint8), []
    for caption in captions(RobotoMedium):
        picture, coverage = draw(picture, caption)
        covered.append(coverage > 0)
    return picture, covered


def erase(picture: np.ndarray, folder: Path, options: Options) -> tuple[Row, np.ndarray]:
    file = folder / "page.png"
    Image.fromarray(picture).save(file)
    (row,) = row_views(erase_text(FAST, choice=Choice(options.selection())).run(index_row(file)))
    if row.data("encoded") is not None:
        file.write_bytes(bytes(row.data("encoded") or b""))
    return row, np.asarray(Image.open(file).convert("RGB"))


@pytest.mark.parametrize(
    "options", [Options(only=("email",)), Options(keep=("gent.*", "ACME", "Mail:")), Options(keep=("jane.*",))]
)
def test_what_stays_keeps_its_exact_pixels(page: tuple[np.ndarray, list[np.ndarray]], tmp_path: Path, options: Options) -> None:
    picture, covered = page
    row, result = erase(picture, tmp_path, options)
    assert row["verdict"] == "edited"
    changed = (result != picture).any(axis=2)
    kept = covered[1:] if "jane.*" not in options.keep else []
    assert [int(changed[letters].sum()) for letters in kept] == [0] * len(kept)
    states = {region["text"]: region["state"] for region in row.regions}
    if "jane.*" in options.keep:
        assert states["jane@example.org"] == "kept"
        assert [(changed & letters).sum() / letters.sum() > 0.9 for letters in covered[1:]] == [True, True]
        return
    assert states["jane@example.org"] == "erased"
    left = np.flatnonzero(covered[0].any(axis=0))[0]
    assert not changed[:, left : left + 40].any()


def test_without_rules_the_flow_has_no_select() -> None:
    names = [operator.name for operator in erase_text(FAST).operators]
    assert "select" not in names
    selecting = [operator.name for operator in erase_text(FAST, choice=Choice(Options(most="50%").selection())).operators]
    assert selecting.count("select") == 2


def test_a_zone_is_where_a_viewer_shows_it(tmp_path: Path) -> None:
    """A zone of shares means the same in a picture that EXIF turns, in odd sizes and enlarged."""
    from font_roboto import RobotoMedium

    def look(size: tuple[int, int], orientation: int) -> list[tuple[str, str]]:
        scale = size[1] / 240
        picture = np.full((size[1], size[0], 3), 240, np.uint8)
        for text, x, y in (("LEFT top", 0.25, 0.15), ("13.05.2024", 0.75, 0.9)):
            picture, _ = draw(picture, Caption(text, RobotoMedium, round(30 * scale), x, y, (20, 20, 20)))
        turned = {1: picture, 6: np.rot90(picture, 1), 3: np.rot90(picture, 2), 8: np.rot90(picture, 3)}[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = tmp_path / f"{size[0]}-{orientation}.png"
        Image.fromarray(np.ascontiguousarray(turned)).save(file, exif=exif)
        rules = Options(zone=("bottom-right:50%x25%",))
        flow = look_for_text(masks=False, choice=Choice(rules.selection()))
        (row,) = row_views(flow.run(index_row(file)))
        return [(region["state"], region["rule"]) for region in row.regions]

    expected = [("kept", "--zone bottom-right:50%x25%"), ("open", "--zone bottom-right:50%x25%")]
    for size, orientation in (((420, 240), 1), ((420, 240), 6), ((421, 241), 8), ((333, 240), 3), ((1261, 721), 6)):
        assert sorted(look(size, orientation)) == expected
