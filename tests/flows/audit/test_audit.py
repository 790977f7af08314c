"""The audit of real files: what it finds, what it refuses, and how it ends."""

import json
import re

import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.audit.audit import Audit, MeasuredPicture, Models, audit, load_models
from flows.audit.boundaries.crossing import Crossing
from flows.audit.boundaries.embedding import Sight
from flows.audit.contracts import BOUNDS, Bound
from flows.cli.app import app


@pytest.fixture(scope="module")
def source(tmp_path_factory, pictures):
    """Text on a photo as PNG and JPEG, a picture without text, a truncated file, and text that
    calls itself a picture.
    """
    folder = tmp_path_factory.mktemp("audited")
    written = pictures.written(pictures.photo("moon"), "MOON")
    written.save(folder / "moon.png")
    (folder / "deeper").mkdir()
    written.save(folder / "deeper" / "moon.jpg", quality=90)
    pictures.plain(3).save(folder / "plain.png")
    whole = (folder / "moon.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    (folder / "words.jpg").write_text("no picture at all")
    return folder


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    def command(*arguments):
        out = tmp_path_factory.mktemp("audit")
        return CliRunner().invoke(app, ["audit", str(source), "--out", str(out), *map(str, arguments)]), out

    return command


@pytest.fixture(scope="module")
def plain_run(run):
    return run()


def test_an_audit_without_a_broken_bound_ends_with_zero(plain_run):
    result, _ = plain_run
    assert result.exit_code == 0, result.output
    assert "broken:" not in result.output
    last = re.sub(r"\s+", " ", result.output).strip()
    assert "3 pictures, 0 bounds broken | 1 not_an_image | 1 truncated |" in last


def test_bad_files_are_counted_with_their_codes(plain_run):
    content = json.loads((plain_run[1] / "audit.json").read_text())
    assert content["failures"] == {"truncated": 1, "not_an_image": 1}
    assert sorted(content["by_picture"]) == ["deeper/moon.jpg", "moon.png", "plain.png"]


def test_the_figures_hold_every_boundary_and_say_why_one_was_not_crossed(plain_run):
    content = json.loads((plain_run[1] / "audit.json").read_text())
    found = {record["boundary"]: record for record in content["boundaries"]}
    assert list(found) == list(BOUNDS)
    assert found["latent round trip"]["not_crossed"] == "no --model is given"
    assert found["file: edited pixels, coded again"]["not_crossed"] == "no picture of the sample crosses it"
    assert found["file: untouched pixels"]["exact"]
    assert found["file: edited pixels, JPEG"]["pictures"] == 1
    assert found["colour space and back"]["pictures"] == 3
    assert found["strokes to latent cells, max-pooled"]["cells_lost"] == 0


def test_the_page_stands_by_itself_and_names_every_boundary(plain_run):
    page = (plain_run[1] / "audit.html").read_text()
    assert "0 bounds broken" in page
    assert "Information cliffs" in page
    assert all(boundary in page for boundary in BOUNDS)
    assert not re.search(r'(src|href)="', page)


def test_the_page_fits_a_phone(plain_run, assert_fits_phone):
    assert_fits_phone(plain_run[1] / "audit.html")


def test_a_broken_bound_is_one_line_and_exit_code_one(run, monkeypatch):
    monkeypatch.setitem(BOUNDS, "file: edited pixels, JPEG", Bound("what no JPEG can do", grey_levels=0.0))
    result, out = run()
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if line.startswith("broken:")]
    assert len(lines) == 1
    assert lines[0].startswith("broken: file: edited pixels, JPEG: 1 of 1 picture, such as deeper/moon.jpg: largest error")
    page = (out / "audit.html").read_text()
    assert "1 bound broken" in page
    assert 'class="bad"' in page


def test_a_models_autoencoder_is_crossed(run, tiny_model):
    result, out = run("--model", tiny_model, "--limit", 3)
    found = {record["boundary"]: record for record in json.loads((out / "audit.json").read_text())["boundaries"]}
    assert found["latent round trip"]["pictures"] == 1
    assert result.exit_code == 1
    assert "broken: latent round trip: 1 of 1 picture" in result.output


def test_a_model_without_an_autoencoder_is_not_crossed(tmp_path):
    found = load_models(tmp_path)
    assert found.autoencoder is None
    assert found.no_autoencoder.endswith("has no autoencoder (no vae/)")


@pytest.mark.parametrize("bad", ["missing", "empty", "garbled"])
def test_a_model_that_cannot_be_read_is_one_line_and_exit_code_two(run, tmp_path, bad):
    folder = tmp_path / bad
    if bad != "missing":
        (folder / "vae").mkdir(parents=True)
    if bad == "garbled":
        (folder / "vae" / "config.json").write_text('{"_class_name": "AutoencoderKL", "block_out_channels": [8')
    result, _ = run("--model", folder)
    assert result.exit_code == 2
    assert "error: model_missing" in result.output if bad == "missing" else "error: model_invalid" in result.output


def test_a_source_that_is_not_there_is_exit_code_two(tmp_path):
    result = CliRunner().invoke(app, ["audit", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "error: source_missing" in result.output


def test_a_source_without_images_is_exit_code_two(tmp_path):
    (tmp_path / "in").mkdir()
    result = CliRunner().invoke(app, ["audit", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert (result.exit_code, (tmp_path / "out").exists()) == (2, False)
    assert result.output == f"error: no_images: 0 images in {tmp_path}/in: it is empty\n"


def test_a_source_of_which_nothing_can_be_measured_is_exit_code_two(tmp_path):
    (tmp_path / "words.jpg").write_text("no picture")
    result = CliRunner().invoke(app, ["audit", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "error: nothing_measured: none of 1 file could be read (1 not_an_image)" in result.output


def test_the_listing_is_cut_at_the_limit_and_leaves_out_the_audits_own_folder(source, tmp_path):
    inside = source / "out"
    inside.mkdir(exist_ok=True)
    Image.new("RGB", (9, 9)).save(inside / "chart.png")
    seen = []
    found = audit(str(source), str(inside), Models(), 4, lambda now: seen.append(len(now.measured)))
    assert len(seen) == 4
    assert len(found.measured) + found.failures.total() == 4
    assert not any("chart" in one.path for one in found.measured)


def test_an_encoder_is_given_every_picture_and_what_it_no_longer_sees_is_broken(source):
    embed = lambda rgb: rgb.mean(axis=(0, 1)).astype("float32")  # noqa: E731
    found = audit(str(source), "", Models(embed=embed))
    assert found.pooled("embedding to stored type").grey_levels <= 255 * 2**-11
    assert found.visibility()


def test_a_starved_band_is_one_line():
    found = Audit("here", Models())
    found.measured.append(MeasuredPicture("a.png", (), (Sight("2-4 px", 10, 0.001), Sight("16-32 px", 10, 0.5))))
    assert found.broken_bounds() == ["embedding: 2-4 px seen at 0.002 of the best seen, bound 0.1"]


def test_bounds_are_held_to_each_picture_and_not_to_the_mean():
    found = Audit("here", Models())
    fine = Crossing("latent round trip", values=10**6, squared=1.0)
    poor = Crossing("latent round trip", values=10, squared=1.0)
    found.measured += [MeasuredPicture("fine.png", (fine,)), MeasuredPicture("poor.png", (poor,))]
    assert found.pooled("latent round trip").psnr > 50
    assert found.broken_bounds() == ["latent round trip: 1 of 2 pictures, such as poor.png: PSNR 10 dB, bound 23.4 dB"]
