"""`--mark` takes one file or a folder; marks.yaml says where and how large each mark is."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.marks.mark import Mark, Search, write_mark
from operators.marks.mark_folder import load_marks, write_settings
from operators.rows.failure import RunError


@pytest.fixture
def folder(tmp_path: Path, white_mark: Mark) -> Path:
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(write_mark(white_mark))
    (tmp_path / "notes.txt").write_text("not a picture")
    load_marks.cache_clear()
    return tmp_path


def test_one_file_is_one_mark_that_is_looked_for_everywhere(folder: Path) -> None:
    (mark,) = load_marks(str(folder / "a.png"))
    assert (mark.name, mark.search) == ("a", Search())


def test_every_picture_of_a_folder_is_a_mark_in_the_order_of_the_names(folder: Path) -> None:
    assert [mark.name for mark in load_marks(str(folder))] == ["a", "b"]


def test_marks_yaml_names_the_marks_and_where_to_look(folder: Path) -> None:
    entry = {"file": "b.png", "zone": [0.5, 0.5, 1, 1], "width": [0.1, 0.2], "opacity": [0.3, 0.6], "turn": 0}
    (folder / "marks.yaml").write_text(write_settings([entry]))
    (mark,) = load_marks(str(folder))
    assert mark.name == "b"
    assert mark.search == Search((0.5, 0.5, 1.0, 1.0), width=(0.1, 0.2), opacity=(0.3, 0.6), turn=0.0)
    assert mark.search.scales(100, 1000) == pytest.approx((1.0, 2.0))


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("marks: [{file: none.png}]", "mark_missing", "names none.png"),
        ("marks: []", "marks_invalid", "names no mark"),
        ("marks: [{file: a.png, zon: [0, 0, 1, 1]}]", "marks_invalid", "marks.0.zon"),
        ("marks: [{file: a.png, zone: [0.5, 0, 0.5, 1]}]", "marks_invalid", "zone"),
        ("marks: [{file: a.png, scale: [2, 1]}]", "marks_invalid", "scale: 2.0 is larger than 1.0"),
        ("marks: [{file: a.png, scale: [0, 1]}]", "marks_invalid", "marks.0.scale.0"),
        ("[", "marks_invalid", "marks.yaml"),
    ],
)
def test_what_is_wrong_in_marks_yaml_is_said_in_one_line(folder: Path, text: str, code: str, words: str) -> None:
    (folder / "marks.yaml").write_text(text)
    with pytest.raises(RunError) as refused:
        load_marks(str(folder))
    assert refused.value.code == code
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_without_a_file_and_a_folder_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file"):
        load_marks(str(tmp_path / "none.png"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(RunError, match="no picture of a mark"):
        load_marks(str(tmp_path / "empty"))
