"""Images of the same pixels are worked once, and each keeps its own file around the edit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jpeglib
import mozjpeg_lossless_optimization
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cluster.profile import Profile, laptop, load
from flows.engine.run import run
from flows.engine.twin_coder import TwinCoder
from flows.engine.twins import _put_edit
from flows.erase_text import delivered, erase_text
from flows.find_text import find_text
from flows.ladder import PRESETS, Fills
from flows.same_pixels import share_results
from operators.identify import Identify
from operators.ledger import ledger
from operators.rows.failure import Failure, RunError
from operators.write import Write

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

FAST = erase_text(Fills(PRESETS["fast"], accept="best"))
BY_PIXELS = share_results(FAST, "pixels")
PROFILES = {"few": laptop(), "fused": laptop().with_workers(2), "staged": load("staged")}


def png(picture: Image.Image, title: str, level: int) -> bytes:
    buffer, info = io.BytesIO(), PngInfo()
    info.add_text("Title", title)
    picture.save(buffer, "PNG", pnginfo=info, compress_level=level)
    return buffer.getvalue()


def jpeg(picture: Image.Image, artist: str, orientation: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x013B], exif[0x0112] = artist, orientation
    picture.save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


@pytest.fixture
def source(tmp_path: Path, pictures: Pictures) -> Path:
    """Two pictures with text, as three and two files of the same pixels; one without, as two."""
    folder = tmp_path / "in"
    folder.mkdir()
    one, two, empty = pictures.strip(1, "NUMBER 1"), pictures.strip(2, "NUMBER 2"), pictures.plain(3, (200, 64))
    for number, title in enumerate(("first", "second", "third")):
        (folder / f"one-{title}.png").write_bytes(png(one, title, 3 * number + 1))
    for artist in ("Ann", "Benedict"):
        (folder / f"two-{artist}.jpg").write_bytes(jpeg(two, artist))
        (folder / f"empty-{artist}.jpg").write_bytes(jpeg(empty, artist))
    return folder


def rows_of(dest: Path) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in ledger.read(str(dest)).to_pylist()}


pytestmark = pytest.mark.usefixtures("without_ray")
"""Runs start faster so; a test that asks for a `profile` gets it with Ray."""


@pytest.fixture(params=list(PROFILES))
def profile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, without_ray: None) -> Profile:
    monkeypatch.setattr("flows.engine.run.suits", lambda profile, images: request.param == "few")
    if request.param != "few":
        request.getfixturevalue("ray_here")
    return PROFILES[request.param]


def test_files_of_the_same_pixels_are_worked_once_and_keep_their_metadata(
    source: Path, tmp_path: Path, profile: Profile
) -> None:
    dest = tmp_path / "out"
    summary = run(BY_PIXELS, str(source), str(dest), profile)
    rows = rows_of(dest)
    assert summary.verdicts == {"edited": 5, "untouched": 2}
    for group, count in (("one", 3), ("two", 2), ("empty", 2)):
        members = [row for path, row in rows.items() if path.startswith(group)]
        (first,) = [row["image_id"] for row in members if row["twin_of"] is None]
        assert [row["twin_of"] for row in members].count(first) == count - 1
    for title in ("first", "second", "third"):
        with Image.open(dest / "images" / f"one-{title}.png") as picture:
            assert picture.info["Title"] == title
            pixels = np.asarray(picture)
        with Image.open(dest / "images" / "one-first.png") as picture:
            assert np.array_equal(pixels, np.asarray(picture))
    for artist in ("Ann", "Benedict"):
        assert (dest / "images" / f"empty-{artist}.jpg").read_bytes() == (source / f"empty-{artist}.jpg").read_bytes()
        with Image.open(dest / "images" / f"two-{artist}.jpg") as picture:
            assert picture.getexif()[0x013B] == artist
            assert np.asarray(picture).shape == (64, 480, 3)


def test_whichever_file_is_worked_a_png_has_the_same_bytes(source: Path, tmp_path: Path) -> None:
    run(BY_PIXELS, str(source), str(tmp_path / "out"), laptop())
    for path, row in rows_of(tmp_path / "out").items():
        if path.startswith("one"):
            run(BY_PIXELS, row["uri"], str(tmp_path / "alone" / path), laptop())
            (single,) = rows_of(tmp_path / "alone" / path).values()
            assert single["twin_of"] is None
            assert Path(single["output_uri"]).read_bytes() == Path(row["output_uri"]).read_bytes()


def test_a_jpeg_twin_has_the_coefficients_of_the_first_file(source: Path, tmp_path: Path) -> None:
    progressive = mozjpeg_lossless_optimization.optimize((source / "two-Ann.jpg").read_bytes())
    (source / "two-progressive.jpg").write_bytes(progressive)
    run(BY_PIXELS, str(source), str(tmp_path / "out"), laptop())
    files = [tmp_path / "out/images" / f"two-{name}.jpg" for name in ("Ann", "Benedict", "progressive")]
    assert len({row["twin_of"] for path, row in rows_of(tmp_path / "out").items() if path.startswith("two")}) == 2
    first, *others = ([getattr(jpeglib.read_dct(str(file)), name) for name in ("Y", "Cb", "Cr")] for file in files)
    for other in others:
        assert all(np.array_equal(one, two) for one, two in zip(first, other, strict=True))
    with Image.open(files[2]) as picture:
        assert picture.info["progressive"]
    with Image.open(files[0]) as picture:
        assert "progressive" not in picture.info


def test_a_later_run_finds_the_pixels_in_the_ledger(source: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    run(BY_PIXELS, str(source), str(dest), laptop())
    with Image.open(source / "one-first.png") as picture:
        (source / "one-fourth.png").write_bytes(png(picture, "fourth", 9))
    run(BY_PIXELS, str(source), str(dest), laptop())
    rows = rows_of(dest)
    (first,) = [row["image_id"] for path, row in rows.items() if path.startswith("one") and row["twin_of"] is None]
    assert rows["one-fourth.png"]["twin_of"] == first
    with Image.open(dest / "images" / "one-fourth.png") as picture:
        assert picture.info["Title"] == "fourth"


def test_what_the_pixels_mean_tells_pictures_apart(source: Path, tmp_path: Path, pictures: Pictures) -> None:
    for file in source.iterdir():
        file.unlink()
    picture = pictures.strip(1, "NUMBER 1")
    (source / "upright.jpg").write_bytes(jpeg(picture, "Ann"))
    (source / "turned.jpg").write_bytes(jpeg(picture, "Ann", orientation=3))
    (source / "other-format.png").write_bytes(png(picture, "first", 1))
    (source / "broken.png").write_bytes(png(picture, "second", 1)[:600])
    run(BY_PIXELS, str(source), str(tmp_path / "out"), laptop())
    rows = rows_of(tmp_path / "out")
    assert {row["twin_of"] for row in rows.values()} == {None}
    sums = [row["pixels_sha256"] for path, row in rows.items() if path != "broken.png"]
    assert len(set(sums)) == 3
    assert rows["broken.png"]["pixels_sha256"] is None
    assert rows["broken.png"]["failure"]["operator"] == "identify"


def test_an_edit_is_not_shared_where_edited_files_are_converted(source: Path, tmp_path: Path) -> None:
    flow = delivered(BY_PIXELS, to_format="png")
    summary = run(flow, str(source), str(tmp_path / "out"), laptop())
    rows = rows_of(tmp_path / "out")
    assert summary.verdicts == {"edited": 5, "untouched": 2}
    assert sum(row["twin_of"] is not None for path, row in rows.items() if path.startswith("two")) == 0
    assert sum(row["twin_of"] is not None for path, row in rows.items() if path.startswith("empty")) == 1


def test_a_first_file_that_was_changed_meanwhile_is_no_source_of_an_edit(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delivers_other_bytes(row: dict[str, Any]) -> bytes:
        Path(row["output_uri"]).write_bytes(b"another file")
        return original(row)

    from flows.engine import twins

    original = twins._read_delivered
    monkeypatch.setattr(twins, "_read_delivered", delivers_other_bytes)
    summary = run(BY_PIXELS, str(source), str(tmp_path / "out"), laptop())
    rows = rows_of(tmp_path / "out")
    assert summary.verdicts == {"edited": 5, "untouched": 2}
    assert {row["twin_of"] for path, row in rows.items() if path.startswith(("one", "two"))} == {None}


def test_a_twin_that_cannot_be_coded_is_worked_by_itself(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(coder: TwinCoder, row: dict[str, Any], data: bytes, edited: bytes) -> tuple[bytes, list[str]]:
        raise Failure("worker_crashed", "a library gave up")

    monkeypatch.setattr(TwinCoder, "edit_like", broken)
    summary = run(BY_PIXELS, str(source), str(tmp_path / "out"), laptop())
    rows = rows_of(tmp_path / "out")
    assert summary.verdicts == {"edited": 5, "untouched": 2}
    assert {row["twin_of"] for path, row in rows.items() if path.startswith(("one", "two"))} == {None}


def test_files_of_the_same_bytes_share_their_result_with_those_of_the_same_pixels(source: Path, tmp_path: Path) -> None:
    # They come after the first two, so they wait for each other, and one of them for the first.
    for name in ("one-third-copy.png", "one-third-copy-2.png"):
        (source / name).write_bytes((source / "one-third.png").read_bytes())
    (source / "broken.png").write_bytes((source / "one-first.png").read_bytes()[:900])
    (source / "broken-copy.png").write_bytes((source / "broken.png").read_bytes())
    run(BY_PIXELS, str(source), str(tmp_path / "out"), laptop())
    rows = rows_of(tmp_path / "out")
    (first,) = [row["image_id"] for path, row in rows.items() if path.startswith("one") and row["twin_of"] is None]
    assert [row["twin_of"] for path, row in rows.items() if path.startswith("one")].count(first) == 4
    copies = [
        (tmp_path / "out/images" / name).read_bytes()
        for name in ("one-third.png", "one-third-copy.png", "one-third-copy-2.png")
    ]
    assert copies[0] == copies[1] == copies[2]
    assert sorted(rows[name]["twin_of"] is None for name in ("broken.png", "broken-copy.png")) == [False, True]


def test_the_failure_of_one_file_is_not_that_of_another_one_of_its_pixels(tmp_path: Path) -> None:
    first = {"failure": {"code": "worker_crashed"}, "output_uri": None, "output_sha256": None, "notes": None}
    with pytest.raises(Failure, match="it need not be that of another file"):
        _put_edit(Write(str(tmp_path)), TwinCoder(None, None), first, {"uri": "a.png"})


def test_masks_of_the_same_pixels_are_found_once(source: Path, tmp_path: Path) -> None:
    dest = str(tmp_path / "out")
    run(share_results(find_text(dest), "pixels"), str(source), dest, laptop())
    rows = rows_of(tmp_path / "out")
    assert sum(row["twin_of"] is None for row in rows.values()) == 3
    masks = [Path(dest, "masks", f"one-{title}.png.png").read_bytes() for title in ("first", "second", "third")]
    assert masks[0] == masks[1] == masks[2]


def test_bytes_are_what_is_shared_unless_pixels_are_asked_for() -> None:
    assert share_results(FAST, "bytes") is FAST
    assert [type(operator) for operator in BY_PIXELS.operators[:2]] == [type(FAST.operators[0]), Identify]
    with pytest.raises(RunError, match="--same colours: choose from bytes, pixels"):
        share_results(FAST, "colours")
