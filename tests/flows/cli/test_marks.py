"""`cleanplate marks` writes a folder for `erase --mark`, and says what it could not count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from operators.marks.mark_folder import load_marks
from operators.rows.failure import RunError
from tests.fixtures.pictures import Pictures


def test_pictures_without_a_mark_give_a_page_and_no_mark(
    pictures: Pictures, invoke: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    for number in range(3):
        pictures.plain(number).save(tmp_path / "source" / f"{number}.png")
    (tmp_path / "source" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    out = tmp_path / "marks"
    code, printed, _ = invoke("marks", str(tmp_path / "source"), "--out", str(out))
    assert code == 0
    assert printed.startswith("0 marks in 3 pictures | 1 not counted: corrupt | ")
    assert "No mark recurs" in (out / "marks.html").read_text()
    with pytest.raises(RunError, match="names no mark"):
        load_marks(str(out))


def test_a_source_without_images_is_refused(invoke: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    code, _, said = invoke("marks", str(tmp_path / "source"), "--out", str(tmp_path / "marks"))
    assert code == 2
    assert "no_images" in said
    assert not (tmp_path / "marks").exists()
