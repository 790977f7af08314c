"""Fixtures of the evaluation's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.evaluation.calibrate import write_calibration
from operators.decisions import gate


@pytest.fixture
def calibrated_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calibration of places of medium values only, filled by telea."""
    path = tmp_path / "gate.json"
    inputs = {name: [10.0, 50.0, 90.0] for name in ("mask_area", "stroke_thickness", "texture", "brightness")}
    write_calibration({"suite": "mine", "inputs": inputs, "rungs": {"telea": {}}}, path)
    monkeypatch.setattr("flows.reports.drift.calibration", lambda: gate.calibration(path))
