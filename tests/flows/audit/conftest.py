"""Samples that the tests of the boundaries start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows.audit.boundaries.sample import Sample, take_sample
from operators.storage.listing import list_source


@pytest.fixture(scope="session")
def make_sample(
    tmp_path_factory: pytest.TempPathFactory,
    captioned: tuple[np.ndarray, np.ndarray],
) -> Callable[..., Sample]:
    """The captioned photograph, saved under a name, resized if asked, as the boundaries take it."""

    def make(name: str, size: tuple[int, int] | None = None, mode: str = "RGB", **options: Any) -> Sample:
        path = tmp_path_factory.mktemp("sample") / name
        image = Image.fromarray(captioned[0])
        (image.resize(size) if size else image).convert(mode).save(path, **options)
        (item,) = list_source(str(path), "")
        return take_sample(item)

    return make


@pytest.fixture(scope="session")
def sample(make_sample: Callable[..., Sample]) -> Sample:
    """The captioned photograph from a PNG file."""
    return make_sample("photo.png")


@pytest.fixture
def with_models(sample: Sample) -> Callable[..., Sample]:
    """The sample with an autoencoder or an encoder."""
    return lambda **models: dataclasses.replace(sample, **models)
