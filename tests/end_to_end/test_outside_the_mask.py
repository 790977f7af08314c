"""Outside the blend mask nothing changes: bit for bit in lossless formats, alpha and format included."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from PIL import Image

from flows.erase_text import erase_text
from flows.flow import Flow
from flows.ladder import Fills, Rung
from operators.detect import Detect
from operators.fetch import Fetch
from operators.mask import BLEND
from operators.soften import Soften
from operators.table import views

if TYPE_CHECKING:
    from tests.conftest import Pictures

LOSSLESS = {
    "RGB PNG": ("RGB", "PNG", {}),
    "RGBA PNG": ("RGBA", "PNG", {}),
    "grey PNG": ("L", "PNG", {}),
    "grey and alpha PNG": ("LA", "PNG", {}),
    "turned PNG": ("RGB", "PNG", {"exif": "turned"}),
    "BMP": ("RGB", "BMP", {}),
    "TIFF": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "lossless WebP": ("RGBA", "WEBP", {"lossless": True, "exact": True}),
}


@dataclass(frozen=True)
class Worked:
    """A source's pixels, its output's pixels, and the weight of every pixel, all as stored in the file."""

    before: npt.NDArray[np.uint8]
    after: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.uint8]
    verdict: str


def with_alpha(picture: Image.Image) -> Image.Image:
    """The picture with an alpha that falls from left to right and holds every value."""
    alpha = np.tile(np.linspace(255, 0, picture.width).round().astype(np.uint8), (picture.height, 1))
    picture.putalpha(Image.fromarray(alpha))
    return picture


def weights(rows: pa.Table, accepted: list[bool], width: int, height: int) -> npt.NDArray[np.uint8]:
    """The largest blend weight of the accepted regions at every upright pixel."""
    weight = np.zeros((height, width), np.uint8)
    (row,) = views(rows)
    for region, counts in zip(row.regions, accepted, strict=True):
        if counts:
            crop = region["crop"]
            area = weight[crop["y"] : crop["y"] + crop["height"], crop["x"] : crop["x"] + crop["width"]]
            np.maximum(area, region.array("mask", 4)[:, :, BLEND], out=area)
    return weight


def work(file: Path, index_rows: Callable[..., pa.Table], turn: int = 0) -> Worked:
    """Works a file whole, and its masks once more by a flow that ends at `soften`."""
    softened = Flow((Fetch(), Detect(), Soften())).run(index_rows(file))
    (row,) = erase_text(Fills((Rung("telea"), Rung("patchmatch")))).run(index_rows(file)).to_pylist()
    weight = weights(softened, [region["state"] == "accepted" for region in row["regions"]], row["width"], row["height"])
    after = Image.open(io.BytesIO(row["encoded"] or row["bytes"]))
    before = Image.open(file)
    assert (after.format, after.mode, after.size) == (before.format, before.mode, before.size)
    return Worked(np.asarray(before), np.asarray(after), np.rot90(weight, turn), row["verdict"])


@pytest.fixture(scope="module", params=LOSSLESS.values(), ids=LOSSLESS)
def worked(
    request: pytest.FixtureRequest,
    pictures: Pictures,
    index_rows: Callable[..., pa.Table],
    tmp_path_factory: pytest.TempPathFactory,
) -> Worked:
    mode, format, options = request.param
    options = dict(options)
    picture = pictures.written(pictures.photo("moon"), "MOON").convert(mode.replace("A", "") if mode != "RGBA" else "RGB")
    if mode in {"RGBA", "LA"}:
        picture = with_alpha(picture)
    turn = 0
    if options.pop("exif", None):
        picture, turn = picture.transpose(Image.Transpose.ROTATE_90), 1
        exif = Image.Exif()
        exif[0x0112] = 6
        options["exif"] = exif
    file = tmp_path_factory.mktemp("outside") / f"picture.{format.lower()}"
    picture.save(file, format, **options)
    return work(file, index_rows, turn)


def test_the_picture_is_edited(worked: Worked) -> None:
    assert worked.verdict == "edited"
    assert (worked.before != worked.after).any()


def test_no_pixel_outside_the_blend_mask_differs(worked: Worked) -> None:
    outside = worked.weight == 0
    assert 0.3 < outside.mean() < 1
    assert (worked.before[outside] == worked.after[outside]).all()


def test_alpha_differs_nowhere(worked: Worked) -> None:
    channels = worked.before.shape[2] if worked.before.ndim == 3 else 1
    if channels in {2, 4}:
        assert len(np.unique(worked.before[..., -1])) > 200
        assert (worked.before[..., -1] == worked.after[..., -1]).all()


def test_a_palette_keeps_its_colours_and_its_pixels_outside_the_mask(
    pictures: Pictures, index_rows: Callable[..., pa.Table], tmp_path: Path
) -> None:
    file = tmp_path / "palette.png"
    pictures.written(pictures.photo("moon"), "MOON").quantize(64).save(file)
    worked = work(file, index_rows)
    assert worked.verdict in {"edited", "rolled_back"}
    outside = worked.weight == 0
    assert (worked.before[outside] == worked.after[outside]).all()


def test_what_is_not_accepted_keeps_every_byte(pictures: Pictures, index_rows: Callable[..., pa.Table], tmp_path: Path) -> None:
    file = tmp_path / "plain.png"
    pictures.plain(3).save(file)
    (row,) = erase_text(Fills((Rung("telea"),))).run(index_rows(file)).to_pylist()
    assert (row["verdict"], row["encoded"], row["bytes"]) == ("untouched", None, file.read_bytes())
