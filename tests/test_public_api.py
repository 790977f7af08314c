"""`import cleanplate`: its names, one picture in each kind, the bytes of a run, and its errors."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import cleanplate
from cluster.profile import laptop
from flows.engine.run import run
from flows.engine.settings import Options
from flows.erase_text import erase_text
from flows.ladder import PRESETS, Fills

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

ROOT = Path(__file__).parents[1]
NAMES = (
    "Edit Eraser Failure Flow FlowError Generator Operator Picture Region Request Row RunError "
    "enlarge erase find inpaint map_rows"
).split()


@pytest.fixture(scope="module")
def caption(pictures: Pictures) -> Image.Image:
    return pictures.written(pictures.plain(1, (320, 96)), "CAPTION", 40)


@pytest.fixture(scope="module")
def file(caption: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("one") / "in" / "caption.png"
    file.parent.mkdir()
    caption.save(file)
    return file


@pytest.fixture(scope="module")
def eraser() -> cleanplate.Eraser:
    return cleanplate.Eraser("fast", accept="best")


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_these_names_are_exported() -> None:
    assert sorted(cleanplate.__all__) == sorted(NAMES)
    assert all(getattr(cleanplate, name) is not None for name in NAMES)
    assert set(NAMES) < set(dir(cleanplate))
    with pytest.raises(AttributeError, match="paint"):
        cleanplate.__getattr__("paint")


def test_the_packages_say_that_they_are_typed() -> None:
    assert all((ROOT / package / "py.typed").exists() for package in ("cleanplate", "flows", "operators", "cluster"))


def test_importing_it_loads_nothing_and_using_it_starts_no_ray(file: Path) -> None:
    code = (
        "import sys, cleanplate; assert 'numpy' not in sys.modules\n"
        f"print(cleanplate.find({str(file)!r}).verdict, 'ray' in sys.modules, cleanplate.__version__)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split()[:2] == ["found", "False"]


def test_a_folder_is_no_picture(eraser: cleanplate.Eraser, file: Path) -> None:
    with pytest.raises(cleanplate.Failure, match=f"not_an_image: {file.parent} is a folder"):
        eraser.erase(file.parent)


def test_every_kind_of_picture_comes_back_as_its_kind(eraser: cleanplate.Eraser, file: Path, caption: Image.Image) -> None:
    by_path = eraser.erase(file)
    assert (by_path.verdict, by_path.edited, type(by_path.image)) == ("edited", True, bytes)
    assert by_path.image == by_path.data == eraser.erase(str(file)).data == eraser.erase(file.read_bytes()).image
    image, array = eraser.erase(caption).image, eraser.erase(np.asarray(caption)).image
    assert (image.mode, array.dtype, array.shape) == ("RGB", np.uint8, (96, 320, 3))
    assert not np.array_equal(array, np.asarray(caption))
    assert np.array_equal(np.asarray(image), array)


def test_the_bytes_are_those_of_a_run(ray_here: None, file: Path, tmp_path: Path) -> None:
    fills = Fills(PRESETS["quality"], seed=7, accept="best")
    run(erase_text(fills), str(file.parent), str(tmp_path / "ray"), laptop().with_workers(1), Options(seed=7))
    by_ray = (tmp_path / "ray" / "images" / "caption.png").read_bytes()
    assert by_ray != file.read_bytes()
    assert cleanplate.erase(file, "quality", seed=7, accept="best").data == by_ray


def test_an_edit_says_which_pixels_it_may_have_changed(eraser: cleanplate.Eraser, file: Path, tmp_path: Path) -> None:
    edit = eraser.erase(file)
    changed = (pixels(edit.data) != pixels(file.read_bytes())).any(axis=2)
    assert changed.any() and not (changed & (edit.mask == 0)).any()
    (region,) = edit.regions
    assert (region.kind, region.state, region.reason, region.rung) == ("text", "erased", None, "ground")
    assert region.box is not None and region.mask is not None and region.mask.shape == region.box[:1:-1]
    assert edit.milliseconds["detect"] > 0
    edit.save(tmp_path / "new" / "clean.png")
    assert (tmp_path / "new" / "clean.png").read_bytes() == edit.data


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_a_pillow_image_keeps_its_mode(eraser: cleanplate.Eraser, caption: Image.Image, mode: str) -> None:
    given = caption.convert(mode)
    result = eraser.erase(given).image
    assert (result.mode, result.size) == (given.mode, given.size)


def test_what_is_not_edited_is_given_back_as_it_was(eraser: cleanplate.Eraser, pictures: Pictures) -> None:
    plain = np.asarray(pictures.plain(1, (64, 64)))
    edit = eraser.erase(plain)
    assert (edit.verdict, edit.reasons, edit.regions, edit.mask.max()) == ("untouched", (), (), 0)
    assert np.array_equal(edit.image, plain) and edit.image is not plain


def test_find_reads_and_edits_nothing(file: Path) -> None:
    found = cleanplate.find(file, read=True)
    assert (found.verdict, found.edited, found.data) == ("found", False, file.read_bytes())
    assert [region.text for region in found.regions] == ["CAPTION"]
    assert set(np.unique(found.mask)) == {0, 255}


def test_inpaint_fills_what_the_mask_covers(caption: Image.Image) -> None:
    mask = np.zeros((96, 320), bool)
    mask[20:70, 40:200] = True
    edit = cleanplate.inpaint(np.asarray(caption), mask, "fast")
    changed = (edit.image != np.asarray(caption)).any(axis=2)
    assert edit.verdict == "edited" and changed.any() and not (changed & (edit.mask == 0)).any()
    with pytest.raises(cleanplate.Failure, match="mask_unreadable: picture: 320 x 95 pixels, the image has 320 x 96"):
        cleanplate.inpaint(np.asarray(caption), mask[1:])


@pytest.fixture(scope="module")
def label(pictures: Pictures) -> Image.Image:
    return pictures.written(pictures.plain(1, (480, 96)), "ACME  $ 19.99", 40)


def decisions(edit: cleanplate.Edit) -> list[tuple[str, str | None, str | None]]:
    return [(region.state, region.reason, region.rule) for region in edit.regions]


def test_a_selection_is_that_of_the_command_line(label: Image.Image, tmp_path: Path) -> None:
    kept = cleanplate.erase(label, "fast", accept="best", keep="ACME")
    assert decisions(kept) == [("kept", "kept_by_rule", "--keep ACME"), ("erased", None, "otherwise")]
    assert kept.regions[0].origin == "detect"
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: prices, erase: {kind: price}}]")
    only = cleanplate.Eraser("fast", accept="best", rules=rules).erase(label)
    assert decisions(only) == [("kept", "not_selected", "otherwise"), ("erased", None, "prices")]
    found = cleanplate.find(label, only=["price", "date"])
    assert decisions(found) == [("kept", "not_selected", "otherwise"), ("open", None, "--only price")]


def test_regions_of_a_picture_go_beside_what_is_found_or_alone(label: Image.Image) -> None:
    eraser = cleanplate.Eraser(fill="color", detect=False)
    edit = eraser.erase(np.asarray(label), regions=np.array([[10, 10, 30, 20]]))
    changed = (edit.image != np.asarray(label)).any(axis=2)
    assert [region.origin for region in edit.regions] == ["column:given_regions"]
    assert changed[10:30, 10:40].mean() > 0.9 and not changed[:, 60:].any()
    assert eraser.erase(label).verdict == "untouched"
    for wrong, problem in (([[900, 0, 5, 5]], "outside"), ([[1, 2]], "not a list"), ("nonsense", "not a list")):
        with pytest.raises(cleanplate.Failure, match=f"regions_unfit: .*{problem}"):
            eraser.erase(label, regions=wrong)


def test_a_wrong_selection_is_an_error_before_any_picture(tmp_path: Path) -> None:
    for options, problem in (
        ({"score": "1.5.."}, "only 0..1 is possible"),
        ({"rules": "none.yaml"}, "there is no such file"),
        ({"fill": "smear"}, "choose from color, blur, pixelate"),
        ({"fill": "blur", "model": "telea"}, "needs no model"),
    ):
        with pytest.raises(cleanplate.RunError, match=problem):
            cleanplate.Eraser(**options)  # type: ignore[arg-type]
    (tmp_path / "rules.yaml").write_text("sources: [{path: a/*}]")
    with pytest.raises(cleanplate.RunError, match="one picture has none"):
        cleanplate.Eraser(rules=tmp_path / "rules.yaml")
    with pytest.raises(TypeError, match="there is no option 'words'"):
        cleanplate.Eraser(words="price")  # type: ignore[call-arg]


def test_enlarge_gives_a_larger_picture(caption: Image.Image) -> None:
    assert cleanplate.enlarge(caption, 2, "lanczos").image.size == (640, 192)
    with pytest.raises(cleanplate.RunError, match="option_invalid: scale 3: choose from 2, 4"):
        cleanplate.enlarge(caption, 3)


def test_what_cannot_be_worked_is_an_error_with_a_code(eraser: cleanplate.Eraser, pictures: Pictures) -> None:
    with pytest.raises(cleanplate.Failure, match="not_an_image"):
        eraser.erase(b"these are words")
    with pytest.raises(cleanplate.Failure, match="key_missing"):
        eraser.erase("/nowhere/a.png")
    for wrong in (3, np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(TypeError):
            eraser.erase(wrong)  # type: ignore[arg-type]
    with pytest.raises(cleanplate.RunError, match="option_invalid: preset slow"):
        cleanplate.Eraser("slow")
    frames, moving = [pictures.strip(number) for number in (1, 2)], io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    edit = eraser.erase(moving.getvalue())
    assert edit.data == moving.getvalue()


def test_a_thread_count_of_the_callers_process_is_kept(eraser: cleanplate.Eraser, file: Path) -> None:
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    eraser.erase(file)
    after = cv2.getNumThreads()
    cv2.setNumThreads(before)
    assert after == 2


@pytest.mark.parametrize("name", ["flows", "operators", "cluster"])
@pytest.mark.parametrize("code", ["import cleanplate; cleanplate.erase", "import cleanplate; cleanplate.main()"])
def test_a_package_that_hides_ours_is_named_in_one_line(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    program = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; {code}"
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    line = ended.stderr.splitlines()[-1]
    assert line.endswith(f"package_shadowed: {tmp_path / name} hides the package {name!r} of cleanplate; rename or move it"), (
        ended.stderr
    )
    assert ended.returncode == (2 if "main" in code else 1)
