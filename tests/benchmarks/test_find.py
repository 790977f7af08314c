"""The benchmark of finding text: what counts as found, and what as invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from font_fredoka_one import FredokaOne
from font_roboto import RobotoBold
from PIL import Image

from benchmarks.find import Scene, scenes, score, styles, table
from operators.masks.geometry import rasterised
from operators.rows.box import Box

OUTLINE = [[20.0, 20.0], [119.0, 20.0], [119.0, 39.0], [20.0, 39.0]]
SCENE = Scene("plain", np.zeros((200, 300, 3), np.uint8), [(OUTLINE, rasterised([OUTLINE], Box(0, 0, 300, 200)) > 0, 14.0)])


def test_a_text_is_found_if_polygons_cover_nine_tenths_of_it() -> None:
    assert score(SCENE, [OUTLINE], 0.1).found == 1
    most = [[20.0, 20.0], [111.0, 20.0], [111.0, 39.0], [20.0, 39.0]]
    assert score(SCENE, [most], 0.1).found == 1
    less = [[20.0, 20.0], [105.0, 20.0], [105.0, 39.0], [20.0, 39.0]]
    assert score(SCENE, [less], 0.1).found == 0
    rest = [[100.0, 20.0], [119.0, 20.0], [119.0, 39.0], [100.0, 39.0]]
    assert score(SCENE, [less, rest], 0.1).found == 1


def test_a_polygon_beside_all_texts_is_invented_and_its_area_false() -> None:
    beside = [[200.0, 100.0], [249.0, 100.0], [249.0, 149.0], [200.0, 149.0]]
    result = score(SCENE, [OUTLINE, beside], 0.1)
    assert (result.polygons, result.invented) == (2, 1)
    assert result.false_area == pytest.approx(50 * 50 / (200 * 300), rel=0.03)
    assert score(SCENE, [OUTLINE], 0.1).false_area == 0.0


def test_every_bucket_shows_its_texts_and_clean_pictures_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (1300, 900), (140, 160, 150)).save(tmp_path / "ground.png")
    fonts = {script: [RobotoBold, FredokaOne] for script in ("latin", "greek", "han", "kana", "hangul")}
    monkeypatch.setattr("benchmarks.find.HANDWRITTEN", ("fredoka",))
    drawn = list(scenes([tmp_path / "ground.png"], fonts, 3, "test"))
    assert {scene.bucket for scene in drawn} == set(styles(fonts))
    for scene in drawn:
        assert bool(scene.texts) == (scene.bucket != "clean")
        for outline, pixels, _ in scene.texts:
            inside = rasterised([outline], Box(0, 0, *scene.picture.shape[1::-1])) > 0
            assert inside[pixels].mean() > 0.9
    again = list(scenes([tmp_path / "ground.png"], fonts, 3, "test"))
    assert all(np.array_equal(one.picture, other.picture) for one, other in zip(drawn, again, strict=True))


def test_the_table_has_a_line_for_each_bucket_and_one_for_all() -> None:
    lines = table({"packaged": [score(SCENE, [OUTLINE], 0.2)], "found": [score(SCENE, [], 0.1)]}).splitlines()
    assert [line.split()[0] for line in lines] == ["bucket", "plain", "all"]
    assert lines[1].split()[1:] == ["1.000", "0.00", "0.00%", "0.20", "0.000", "0.00", "0.00%", "0.10"]
