"""Pages escape what they show, and thumbnails are small, upright pictures inside the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
import pytest
import tifffile
from PIL import Image

from flows.reports import page
from flows.reports.page import render_page, thumbnail

SCRIPT = '<script>alert("&")</script>'


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of templates with one file to write."""
    monkeypatch.setattr(page, "TEMPLATES", tmp_path)
    return tmp_path / "page.html.j2"


def test_text_is_escaped_wherever_it_comes_from(template: Path) -> None:
    template.write_text("<p title='{{ title }}'>{{ text | twice }}{% for name in names %}{{ name }}{% endfor %}</p>")
    html = render_page("page.html.j2", {"twice": lambda text: text + text}, title="it's", text=SCRIPT, names=["<b>"])
    escaped = "&lt;script&gt;alert(&#34;&amp;&#34;)&lt;/script&gt;"
    assert html == f"<p title='it&#39;s'>{escaped}{escaped}&lt;b&gt;</p>"


def test_blocks_leave_no_blank_lines(template: Path) -> None:
    template.write_text("{% for row in rows %}\n  {% if row %}\n{{ row }}\n  {% endif %}\n{% endfor %}")
    assert render_page("page.html.j2", rows=[1, 0, 2]) == "1\n2\n"


def test_a_page_does_not_keep_the_filters_of_another(template: Path) -> None:
    template.write_text("{{ 2 | squared }}")
    assert render_page("page.html.j2", {"squared": lambda number: number**2}) == "4"
    with pytest.raises(jinja2.TemplateAssertionError, match="squared"):
        render_page("page.html.j2")


@pytest.mark.parametrize("name", sorted(file.name for file in page.TEMPLATES.glob("*.j2")))
def test_shipped_templates_mark_only_charts_as_safe(name: str) -> None:
    text = (page.TEMPLATES / name).read_text()
    assert text.count("| safe") == text.count("{{ chart | safe }}")


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(uri: str) -> Image.Image:
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((640, 480), 200, (200, 150)), ((480, 640), 200, (150, 200)), ((3000, 30), 100, (100, 1)), ((40, 30), 200, (40, 30))],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_thumbnail_is_bounded_and_never_enlarged(
    kind: str, size: tuple[int, int], side: int, expected: tuple[int, int]
) -> None:
    assert opened(thumbnail(saved(Image.new("RGB", size, "teal"), kind), side)).size == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_thumbnail_is_upright(orientation: int) -> None:
    """The upper half of the upright picture is red, whichever way its pixels are stored."""
    upright = Image.new("RGB", (64, 128), "blue")
    upright.paste("red", (0, 0, 64, 64))
    stored = {
        1: (),
        2: (Image.Transpose.FLIP_LEFT_RIGHT,),
        3: (Image.Transpose.ROTATE_180,),
        4: (Image.Transpose.FLIP_TOP_BOTTOM,),
        5: (Image.Transpose.TRANSPOSE,),
        6: (Image.Transpose.ROTATE_90,),
        7: (Image.Transpose.TRANSVERSE,),
        8: (Image.Transpose.ROTATE_270,),
    }[orientation]
    picture = upright
    for turn in stored:
        picture = picture.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = opened(thumbnail(saved(picture, "JPEG", exif=exif), 32))
    assert shown.size == (16, 32)
    for row, channel, other in ((4, 0, 2), (28, 2, 0)):
        colour = shown.getpixel((8, row))
        assert colour[channel] > 200
        assert colour[other] < 60


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_of_pixels_has_a_thumbnail(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert opened(thumbnail(saved(Image.new(mode, (90, 60)), kind), 30)).mode == "RGB"


@pytest.mark.parametrize("damage", ["empty", "words", "half"])
def test_what_is_no_picture_raises_oserror(damage: str) -> None:
    whole = saved(Image.effect_noise((64, 64), 50), "PNG")
    data = {"empty": b"", "words": b"these are words", "half": whole[: len(whole) // 2]}[damage]
    with pytest.raises(OSError):
        thumbnail(data, 32)


def test_a_picture_with_premultiplied_alpha_has_a_thumbnail(tmp_path: Path) -> None:
    grey = np.full((40, 60, 2), 128, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="minisblack", extrasamples=["assocalpha"])
    assert Image.open(tmp_path / "a.tif").mode == "La"
    assert thumbnail((tmp_path / "a.tif").read_bytes(), 20).startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("data", [b"", b"words", b"II*\0\x08\0\0\0\xff\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_a_picture_that_cannot_be_shown_raises_one_kind_of_error(data: bytes) -> None:
    with pytest.raises(OSError):
        thumbnail(data, 20)
