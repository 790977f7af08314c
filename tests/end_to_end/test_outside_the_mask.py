"""Outside the blend mask, lossless files stay bit-identical, including alpha and format."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import tifffile
from PIL import Image

from flows.erase_text import erase_text
from flows.ladder import Fills, Rung
from operators.masks.mask import BLEND
from operators.rows.table import Row, row_views

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

LOSSLESS = {
    "RGB PNG": ("RGB", "PNG", {}),
    "RGBA PNG": ("RGBA", "PNG", {}),
    "grey PNG": ("L", "PNG", {}),
    "grey and alpha PNG": ("LA", "PNG", {}),
    "turned PNG": ("RGB", "PNG", {"exif": "turned"}),
    "BMP": ("RGB", "BMP", {}),
    "TIFF": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "1-bit PNG": ("1", "PNG", {}),
    "fax TIFF": ("1", "TIFF", {"compression": "group4"}),
    "CMYK TIFF": ("CMYK", "TIFF", {"compression": "tiff_lzw"}),
    "16-bit grey PNG": ("I;16", "PNG", {}),
    "16-bit RGB PNG": ("RGB;16", "PNG", {}),
    "16-bit RGBA PNG": ("RGBA;16", "PNG", {}),
    "16-bit RGB TIFF": ("RGB;16", "TIFF", {"compression": "zlib", "predictor": True}),
    "16-bit RGBA TIFF": ("RGBA;16", "TIFF", {}),
    "lossless WebP": ("RGBA", "WEBP", {"lossless": True, "exact": True}),
}


@dataclass(frozen=True)
class Worked:
    """Samples of a source and its output, and blend weights, all in the file's orientation."""

    before: npt.NDArray[Any]
    after: npt.NDArray[Any]
    weight: npt.NDArray[np.uint8]
    verdict: str
    alpha: bool


def with_alpha(picture: Image.Image) -> Image.Image:
    """Give the picture an alpha channel that falls from 255 on the left to 0 on the right."""
    alpha = np.tile(np.linspace(255, 0, picture.width).round().astype(np.uint8), (picture.height, 1))
    picture.putalpha(Image.fromarray(alpha))
    return picture


def weights(row: Row) -> npt.NDArray[np.uint8]:
    """The largest blend weight of the erased regions at every pixel of the upright picture."""
    weight = np.zeros((row["height"], row["width"]), np.uint8)
    for region in row.regions:
        if region["state"] == "erased":
            crop = region["crop"]
            area = weight[crop["y"] : crop["y"] + crop["height"], crop["x"] : crop["x"] + crop["width"]]
            np.maximum(area, region.array("mask", 4)[:, :, BLEND], out=area)
    return weight


def save(picture: Image.Image, mode: str, format: str, file: Path, **options: Any) -> None:
    """Write the picture in a mode.

    Samples of 16 bits get random low bits, so that the tests notice when those are lost.
    """
    if not mode.endswith(";16"):
        picture.convert(mode).save(file, format, **options)
        return
    samples = np.asarray(picture.convert("L" if mode == "I;16" else mode[:-3])).astype(np.uint16) * 257
    samples ^= np.random.default_rng(0).integers(0, 64, samples.shape, dtype=np.uint16)
    if format == "TIFF":
        extra = {"extrasamples": ["unassalpha"]} if samples.shape[-1] == 4 else {}
        tifffile.imwrite(file, samples, photometric="rgb", **extra, **options)
    else:
        order = [2, 1, 0, 3][: samples.shape[-1]]
        cv2.imwrite(str(file), samples[:, :, order] if samples.ndim == 3 else samples)


def samples_of(data: bytes, mode: str, format: str) -> npt.NDArray[Any]:
    """Read the samples of a file in its own depth.

    Where possible, the reader is one that cleanplate does not use for the format.
    """
    if not mode.endswith(";16"):
        return np.asarray(Image.open(io.BytesIO(data)))
    if format == "TIFF":
        return tifffile.imread(io.BytesIO(data))
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    return pixels


def work(file: Path, index_rows: Callable[..., pa.Table], mode: str = "", turn: int = 0) -> Worked:
    """Work a file by the whole flow."""
    rows = erase_text(Fills(accept="best")).run(index_rows(file))
    (row,), (view,) = rows.to_pylist(), row_views(rows)
    weight = weights(view)
    result = row["encoded"] or row["bytes"]
    before, after = Image.open(file), Image.open(io.BytesIO(result))
    assert (after.format, after.mode, after.size) == (before.format, before.mode, before.size)
    pixels = [samples_of(data, mode, before.format or "") for data in (file.read_bytes(), result)]
    return Worked(pixels[0], pixels[1], np.rot90(weight, turn), row["verdict"], "A" in after.getbands())


@pytest.fixture(scope="module", params=LOSSLESS.values(), ids=LOSSLESS)
def worked(
    request: pytest.FixtureRequest,
    pictures: Pictures,
    index_rows: Callable[..., pa.Table],
    tmp_path_factory: pytest.TempPathFactory,
) -> Worked:
    mode, format, options = request.param
    options = dict(options)
    page = Image.new("RGB", pictures.size, "white")
    picture = pictures.written(page if mode == "1" else pictures.photo("moon"), "MOON")
    if "A" in mode:
        picture = with_alpha(picture)
    turn = 0
    if options.pop("exif", None):
        picture, turn = picture.transpose(Image.Transpose.ROTATE_90), 1
        exif = Image.Exif()
        exif[0x0112] = 6
        options["exif"] = exif
    file = tmp_path_factory.mktemp("outside") / f"picture.{format.lower()}"
    save(picture, mode, format, file, **options)
    return work(file, index_rows, mode, turn)


def test_the_picture_is_edited(worked: Worked) -> None:
    assert worked.verdict == "edited"
    assert (worked.before != worked.after).any()


def test_no_pixel_outside_the_blend_mask_differs(worked: Worked) -> None:
    outside = worked.weight == 0
    assert 0.3 < outside.mean() < 1
    assert (worked.before[outside] == worked.after[outside]).all()


def test_alpha_differs_nowhere(worked: Worked) -> None:
    if worked.alpha:
        assert len(np.unique(worked.before[..., -1])) > 200
        assert (worked.before[..., -1] == worked.after[..., -1]).all()


def test_a_palette_keeps_its_colours_and_its_pixels_outside_the_mask(
    pictures: Pictures, index_rows: Callable[..., pa.Table], tmp_path: Path
) -> None:
    file = tmp_path / "palette.png"
    pictures.written(pictures.photo("moon"), "MOON").quantize(64).save(file)
    worked = work(file, index_rows)
    assert worked.verdict == "edited"
    outside = worked.weight == 0
    assert (worked.before[outside] == worked.after[outside]).all()


def test_a_picture_without_text_keeps_every_byte(
    pictures: Pictures, index_rows: Callable[..., pa.Table], tmp_path: Path
) -> None:
    file = tmp_path / "plain.png"
    pictures.plain(3).save(file)
    (row,) = erase_text(Fills((Rung("telea"),), accept="best")).run(index_rows(file)).to_pylist()
    assert (row["verdict"], row["encoded"], row["bytes"]) == ("untouched", None, file.read_bytes())
