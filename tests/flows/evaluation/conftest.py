"""Fixtures of the evaluation's tests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from font_roboto import RobotoBold
from PIL import Image
from skimage import data

from flows.evaluation.calibrate import write_calibration
from flows.evaluation.draw_text import Caption, draw, polygon_around
from flows.evaluation.suite import Entry, Suite, load
from operators.decisions import gate


@pytest.fixture
def calibrated_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calibration of places of medium values only, filled by telea."""
    path = tmp_path / "gate.json"
    inputs = {name: [10.0, 50.0, 90.0] for name in ("mask_area", "stroke_thickness", "texture", "brightness")}
    write_calibration({"suite": "mine", "inputs": inputs, "rungs": {"telea": {}}}, path)
    monkeypatch.setattr("flows.reports.drift.calibration", lambda: gate.calibration(path))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Two pictures to tune on, one easy and one hard, one to report on, and one for the promise."""
    folder = tmp_path_factory.mktemp("suite")
    entries = []
    for part in ("images", "truth"):
        (folder / part).mkdir()
    pictures = {
        "easy": ("tune", np.full((110, 200, 3), 200, np.uint8)),
        "hard": ("tune", np.ascontiguousarray(data.coffee()[150:260, 200:400])),
        "seen": ("report", np.ascontiguousarray(data.astronaut()[60:170, 20:220])),
        "last": ("promise", np.full((110, 200, 3), 180, np.uint8)),
    }
    for name, (chosen, clean) in pictures.items():
        picture, coverage = draw(clean, Caption("SALE 20", RobotoBold, 32, colour=(255, 30, 30)))
        Image.fromarray(picture).save(folder / "images" / f"{name}.png")
        Image.fromarray(clean).save(folder / "truth" / f"{name}.png")
        entries.append(asdict(Entry(f"{name}.png", chosen, name, "", [polygon_around(coverage)])))
    (folder / "suite.json").write_text(json.dumps({"name": "mine", "entries": entries}))
    return load(folder)
