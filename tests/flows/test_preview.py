"""The preview shows what would go and what would stay, and edits nothing."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from flows.choose import Choice
from flows.evaluation.draw_text import Caption, draw_all
from flows.find_text import look_for_text
from flows.preview import Sheet, look_at, render_preview
from operators.selection.rule_file import Options, read_rules
from operators.storage.listing import list_source

if TYPE_CHECKING:
    from tests.fixtures.chromium import FitsPhone


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from font_roboto import RobotoMedium

    folder = tmp_path_factory.mktemp("source")
    captions = (
        Caption("ACME shoes", RobotoMedium, 40, 0.5, 0.3, (30, 30, 30)),
        Caption("$ 19.99", RobotoMedium, 40, 0.5, 0.7, (30, 30, 30)),
    )
    Image.fromarray(draw_all(np.full((300, 420, 3), 230, np.uint8), captions)[0]).save(folder / "1.png")
    (folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


def look(source: Path, options: Options) -> list[Sheet]:
    flow = look_for_text(choice=Choice(options.selection()))
    return list(look_at(flow, list_source(str(source), "")))


def test_each_text_is_shown_with_what_becomes_of_it(source: Path) -> None:
    shown, broken = look(source, Options(only=("price",)))
    assert [(text.text, text.goes, text.rule) for text in shown.texts] == [
        ("ACME shoes", False, "otherwise"),
        ("$ 19.99", True, "--only price"),
    ]
    assert (shown.path, shown.size, shown.going) == ("1.png", "420 x 300", 1)
    assert broken.failure.startswith("corrupt")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.picture.partition(",")[2])))).astype(int)
    reddish = (picture[:, :, 0] - picture[:, :, 1]) > 80
    assert reddish[180:240].sum() > 500
    assert reddish[60:120].sum() == 0


def test_the_page_fits_a_phone(source: Path, tmp_path: Path, assert_fits_phone: FitsPhone) -> None:
    shown, broken = look(source, Options(only=("price",)))
    texts = [replace(text, text="long words, " * 20) for text in shown.texts]
    page = tmp_path / "preview.html"
    page.write_text(render_preview("in", [replace(shown, texts=texts), broken]))
    assert_fits_phone(page)


def test_the_page_escapes_what_is_read(source: Path) -> None:
    sheet = Sheet("<b>.png", "1 x 1", "", "corrupt: <script>")
    page = render_preview("in", [sheet])
    assert "<script>" not in page
    assert "<b>.png" not in page
    assert "0 texts would go, 0 would stay" in page


def test_rules_by_a_column_are_shown_too(source: Path, tmp_path: Path) -> None:
    manifest, rules = tmp_path / "list.csv", tmp_path / "rules.yaml"
    manifest.write_text(f"uri,supplier\n{source}/1.png,b\n")
    rules.write_text("sources: [{column: supplier, equals: b, rules: [{name: brand, keep: {text: ACME}}]}]\notherwise: keep\n")
    choice = Choice(read_rules(str(rules)))
    (sheet,) = look_at(look_for_text(choice=choice), list_source(str(manifest), ""))
    names = [(False, "supplier b: brand"), *[(True, "supplier b: otherwise")] * 2]
    assert [(text.goes, text.rule) for text in sheet.texts] == names
