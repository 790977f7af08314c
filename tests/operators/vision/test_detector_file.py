"""A text detector of the user's own is loaded from a path or URL, or refused with one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from font_roboto import RobotoBold
from onnx import TensorProto, helper

from flows.evaluation.draw_text import Caption, draw
from operators.detect import Detect
from operators.rows.failure import RunError
from operators.vision.detector_file import Preprocessing, fetch_detector, preprocessing_of
from operators.vision.find_texts import find_texts
from operators.vision.text_detector import check_detector, detector_path, text_detector

PICTURE, _ = draw(np.full((320, 480, 3), 200, np.uint8), Caption("OWN DETECTOR", RobotoBold, 40, colour=(20, 20, 20)))


def network(path: Path, nodes: list[onnx.NodeProto], outputs: int) -> str:
    """An ONNX file from one input `x` to one output `y`."""
    shapes = [[1, channels, "height", "width"] for channels in (3, outputs)]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in zip("xy", shapes, strict=True))
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(path))
    return str(path)


def mean_of_channels(path: Path) -> str:
    """A network that returns the mean of the channels that it sees."""
    return network(path, [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)], 1)


@pytest.fixture
def copy(tmp_path: Path) -> str:
    return str(shutil.copy(detector_path(), tmp_path / "own.onnx"))


def test_the_packaged_detector_given_as_a_file_finds_the_same(copy: str) -> None:
    check_detector(copy)
    packaged, own = (find_texts(PICTURE, 480, 320, 1.5, 0.5, detector) for detector in ("", copy))
    assert [text.polygon for text in own] == [text.polygon for text in packaged] != []


def test_a_detector_is_fetched_from_a_url_once_with_the_file_beside_it(
    copy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    monkeypatch.setenv("CLEANPLATE_CACHE", str(tmp_path / "cache"))
    with fsspec.open("memory://models/own.onnx", "wb") as file:
        file.write(Path(copy).read_bytes())
    with fsspec.open("memory://models/own.yaml", "wb") as file:
        file.write(b"order: bgr")
    path = fetch_detector("memory://models/own.onnx")
    assert path.read_bytes() == Path(copy).read_bytes()
    assert preprocessing_of(path) == Preprocessing()
    fsspec.filesystem("memory").rm("/models", recursive=True)
    assert fetch_detector("memory://models/own.onnx") == path


def test_the_file_beside_it_says_what_a_detector_sees(tmp_path: Path) -> None:
    path = mean_of_channels(tmp_path / "mean.onnx")
    (tmp_path / "mean.yaml").write_text("{order: rgb, mean: [0, 0, 0], std: [1, 2, 4]}")
    colour = np.full((32, 32, 3), (51, 102, 204), np.uint8)
    assert text_detector(path).probability(colour, 1.0)[0, 0] == pytest.approx((0.2 + 0.4 / 2 + 0.8 / 4) / 3)


@pytest.mark.parametrize("text", ["order: gbr", "mean: [1, 2]", "colour: rgb", "order: [", "std: 3"])
def test_a_wrong_file_beside_it_is_refused(tmp_path: Path, text: str) -> None:
    path = mean_of_channels(tmp_path / "mean.onnx")
    (tmp_path / "mean.yaml").write_text(text)
    with pytest.raises(RunError, match=r"model_invalid: .*mean\.yaml"):
        check_detector(path)


def test_what_is_no_detector_is_refused_before_a_run_starts(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    three = network(tmp_path / "three.onnx", [helper.make_node("Identity", ["x"], ["y"])], 3)
    beyond = mean_of_channels(tmp_path / "beyond.onnx")
    for source, reason in (
        (str(tmp_path / "nowhere.onnx"), "model_unavailable: there is no detector"),
        ("memory://nowhere/own.onnx", "model_unavailable: detector memory://nowhere/own.onnx"),
        (str(tmp_path / "text.onnx"), "model_invalid: .*is no text detector in ONNX"),
        (three, "model_invalid: .*probabilities"),
        (beyond, "model_invalid: .*probabilities"),
    ):
        with pytest.raises(RunError, match=reason):
            Detect(detector=source).check()


def test_run_json_names_the_detector_and_its_checksum(copy: str) -> None:
    (record,) = [model for model in Detect(detector=copy).models() if model["alias"] == copy]
    assert len(record["sha256"]) == 64
