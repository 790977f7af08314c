"""The command `preview` writes one page and edits nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from flows.evaluation.draw_text import Caption, draw
from tests.flows.cli.conftest import Invoke


def test_the_command_writes_one_page_and_no_run(tmp_path: Path, invoke: Invoke) -> None:
    from font_roboto import RobotoMedium

    source, out = tmp_path / "in", tmp_path / "page.html"
    source.mkdir()
    picture, _ = draw(np.full((150, 420, 3), 230, np.uint8), Caption("ACME shoes", RobotoMedium, 40, colour=(30, 30, 30)))
    for name in ("1.png", "2.png"):
        Image.fromarray(picture).save(source / name)
    code, printed, _ = invoke("preview", str(source), "--keep", "ACME", "--limit", "1", "--out", str(out))
    assert code == 0
    assert printed.strip() == f"1 image: 1 text would go, 1 would stay | {out}"
    assert "kept_by_rule" in out.read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in", "page.html"]
    assert sorted(file.name for file in source.iterdir()) == ["1.png", "2.png"]
