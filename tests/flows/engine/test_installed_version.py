"""The versions that a run records."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from flows.engine.settings import installed_version


def test_the_version_of_a_package_is_that_of_what_is_installed() -> None:
    assert installed_version("numpy") == np.__version__


def test_a_build_for_gpus_takes_the_place_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "cleanplate_sample_gpu-1.2.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: cleanplate-sample-gpu\nVersion: 1.2.3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_version("cleanplate-sample") == "1.2.3"
    with pytest.raises(PackageNotFoundError):
        installed_version("cleanplate-other")
