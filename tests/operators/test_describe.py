"""`describe` describes an image and the surface behind each text, and skips images without text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from flows.flow import Flow, FlowError
from operators.describe import FRAME_SIDE, Describe
from operators.detect import Detect
from operators.fetch import Fetch
from operators.metrics.surface import FIGURES
from operators.rows.schema import check_schema, ledger_rows
from operators.rows.table import row_views
from operators.soften import Soften
from operators.vision.image_encoder import image_encoder

OF_REGIONS = {figure.name for figure in FIGURES}
OF_PICTURES = {figure.name for figure in FIGURES if not figure.region_only}


@pytest.fixture(scope="module")
def softened(captioned: tuple[np.ndarray, np.ndarray], saved: Callable[..., bytes], rows: Callable[..., pa.Table]) -> pa.Table:
    """A photograph with two lines of text, detected and softened; a picture without text; a file
    that failed.
    """
    photo = {"bytes": saved(captioned[0], "PNG")}
    plain = {"bytes": saved(np.full((64, 96, 3), 140, np.uint8), "PNG")}
    broken: dict[str, Any] = {"failure": {"operator": "fetch", "code": "file_empty", "message": "0 bytes"}}
    return Soften().apply(Detect().apply(rows(photo, plain, broken)))


@pytest.fixture(scope="module")
def described(softened: pa.Table) -> pa.Table:
    return Describe().apply(softened)


def test_a_picture_and_each_of_its_regions_get_an_embedding_and_every_figure(described: pa.Table) -> None:
    check_schema(described, "describe")
    row, encoder = row_views(described)[0], image_encoder().descriptor
    assert row["failure"] is None
    assert len(row["embedding"]) == encoder.length
    assert set(dict(row["metadata"])) == OF_PICTURES
    assert len(row.regions) >= 2
    for region in row.regions:
        assert len(region["embedding"]) == encoder.length
        assert set(dict(region["metadata"])) == OF_REGIONS
    assert dict(row["metadata"])["size"] == 512.0
    assert dict(row["metadata"])["seen"] <= FRAME_SIDE**2


def test_where_nothing_was_found_or_the_row_failed_nothing_is_described(described: pa.Table) -> None:
    for row in row_views(described)[1:]:
        assert row["embedding"] is None
        assert row["metadata"] is None
    assert row_views(described)[1]["failure"] is None
    assert row_views(described)[2]["failure"]["code"] == "file_empty"


def test_an_image_is_described_the_same_in_any_batch(softened: pa.Table, described: pa.Table) -> None:
    alone = Describe().apply(softened.slice(0, 1))
    twice = Describe().apply(pa.concat_tables([softened.slice(1, 1), softened.slice(0, 1), softened.slice(0, 1)]))
    for table, position in ((alone, 0), (twice, 1), (twice, 2)):
        for column in ("embedding", "metadata"):
            assert table[column][position] == described[column][0]
        regions, expected = row_views(table)[position].regions, row_views(described)[0].regions
        assert [region["embedding"] for region in regions] == [region["embedding"] for region in expected]
        assert [region["metadata"] for region in regions] == [region["metadata"] for region in expected]


def test_other_columns_are_left_alone(softened: pa.Table, described: pa.Table) -> None:
    for column in ("bytes", "width", "failure", "image_id"):
        assert described[column].equals(softened[column])
    for before, after in zip(row_views(softened)[0].regions, row_views(described)[0].regions, strict=True):
        assert after.array("pixels", 3).tobytes() == before.array("pixels", 3).tobytes()
        assert after.array("mask", 4).tobytes() == before.array("mask", 4).tobytes()
        assert after["polygons"] == before["polygons"]


def test_the_surface_is_described_and_not_the_letters(described: pa.Table, softened: pa.Table, photo: np.ndarray) -> None:
    """The same masks over the photograph without its text give nearly the same figures.

    Detection and masks are those of the product.
    """
    clean = _with_pixels(softened, photo)
    truth = row_views(Describe().apply(clean))[0]
    for region, true_region in zip(row_views(described)[0].regions, truth.regions, strict=True):
        figures, true_figures = dict(region["metadata"]), dict(true_region["metadata"])
        assert figures["brightness"] == pytest.approx(true_figures["brightness"], abs=2)
        assert figures["contrast"] == pytest.approx(true_figures["contrast"], abs=3)
        assert figures["textured"] == pytest.approx(true_figures["textured"], abs=0.05)
        assert _cosine(region["embedding"], true_region["embedding"]) > 0.98
        crop, hole = region.array("pixels", 3), region.array("mask", 4)[:, :, 0] > 0
        with_letters = image_encoder().embedding(np.ascontiguousarray(crop), image_encoder().descriptor.region_side)
        assert hole.any()
        assert _cosine(with_letters, true_region["embedding"]) < _cosine(region["embedding"], true_region["embedding"])


def _with_pixels(table: pa.Table, picture: np.ndarray) -> pa.Table:
    """The first row's regions, masks untouched, over another picture."""
    from operators.rows.table import swap_children

    crops = [region["crop"] for region in row_views(table)[0].regions]
    parts = [picture[c["y"] : c["y"] + c["height"], c["x"] : c["x"] + c["width"]].tobytes() for c in crops]
    return swap_children(table.slice(0, 1), {"pixels": pa.array(parts, pa.large_binary())})


def _cosine(first: list[float], second: list[float]) -> float:
    a, b = np.array(first, np.float64), np.array(second, np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_ledger_keeps_the_figures_and_the_picture_s_embedding_but_no_region_s(described: pa.Table) -> None:
    kept = ledger_rows(described)
    assert len(kept["embedding"][0]) == image_encoder().descriptor.length
    region = kept["regions"][0].as_py()[0]
    assert "embedding" not in region
    assert set(dict(region["metadata"])) == OF_REGIONS


def test_the_settings_of_a_run_hold_the_whole_descriptor() -> None:
    setting = Describe().settings()
    assert setting["encoder"]["sha256"] == image_encoder().descriptor.sha256
    assert setting["encoder"]["stored"] == "float16"
    assert setting["encoder"]["receptive_field"] == 851


def test_it_must_follow_soften() -> None:
    Flow((Fetch(), Detect(), Soften(), Describe()))
    with pytest.raises(FlowError, match=r"describe reads 'regions.crop'"):
        Flow((Fetch(), Detect(), Describe()))


def test_a_broken_colour_profile_is_noted_in_the_metadata(
    rows: Callable[..., pa.Table], saved: Callable[..., bytes], captioned: tuple[np.ndarray, np.ndarray]
) -> None:
    for options, expected in (({}, None), ({"icc_profile": b"no profile"}, 1.0)):
        detected = Detect().apply(rows({"bytes": saved(captioned[0], "PNG", **options)}))
        metadata = Describe().apply(Soften().apply(detected))["metadata"].to_pylist()[0]
        assert dict(metadata).get("profile_ignored") == expected


def test_a_text_over_a_face_is_known_from_one_beside_it(
    photo: np.ndarray, saved: Callable[..., bytes], rows: Callable[..., pa.Table]
) -> None:
    picture = photo.copy()
    for text, height in (("PROOF", 160), ("BESIDE", 470)):
        cv2.putText(picture, text, (90, height), cv2.FONT_HERSHEY_SIMPLEX, 2.6, (255, 255, 255), 14)
    found = Soften().apply(Detect().apply(rows({"bytes": saved(picture, "PNG")})))
    described = [region for region in row_views(Describe().apply(found))[0].regions if region["metadata"]]
    over, beside = (dict(region["metadata"]) for region in sorted(described, key=lambda region: region.crop.y))
    assert over["on_face"] > 0.1
    assert over["face_strokes"] > 0.1
    assert (beside["on_face"], beside["face_strokes"]) == (0.0, 0.0)


def test_the_face_detector_is_a_model_of_the_run() -> None:
    assert [model["alias"] for model in Describe().models()] == ["efficientnet-lite0", "centerface"]
