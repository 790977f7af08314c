"""Fixtures: folders of tiny models, their generators, and requests cut from a photograph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.generators.catalogue import generator_of
from operators.generators.generator import Generator, Request
from operators.models.card import ModelCard
from operators.models.registry import fetch_weights, pin_checksums, resolve
from tests.operators.generators.tiny import saved

Cards = Callable[..., ModelCard]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model by its kind, see `tiny.MAKERS`.

    It is made on first use. Tests must not change it.
    """
    root = tmp_path_factory.mktemp("models")

    def of(kind: str) -> Path:
        return saved(kind, root / kind)

    return of


@pytest.fixture(scope="session")
def card(folder: Callable[[str], Path]) -> Cards:
    """The card of a tiny model: 64 pixels a side, three steps, three regions per call.

    Keyword arguments change fields of the card.
    """

    def of(kind: str, **more: Any) -> ModelCard:
        settings = {"native_size": 64, "steps": 3, "microbatch": 3} | more
        return pin_checksums(resolve(str(folder(kind)))).model_copy(update=settings)

    return of


@pytest.fixture(scope="session")
def generator(card: Cards) -> Callable[..., Generator]:
    """The generator of a tiny model."""

    def of(kind: str, **more: Any) -> Generator:
        chosen = card(kind, **more)
        return generator_of(chosen, fetch_weights(chosen))

    return of


@pytest.fixture(scope="session")
def request_of(photo: np.ndarray) -> Callable[..., Request]:
    """A request for a crop of the photograph that has a horizontal stroke two pixels high."""

    def of(height: int = 60, width: int = 60, seed: int = 1, x: int = 150, y: int = 60, **mask: int) -> Request:
        pixels = np.ascontiguousarray(photo[y : y + height, x : x + width])
        channels = np.zeros((height, width, 4), np.uint8)
        weights = {"core": 255, "blend": 255, "confidence": 255} | mask
        channels[height // 3 : height // 3 + 2, width // 4 : 3 * width // 4] = (*weights.values(), 0)
        return Request(pixels, channels, seed, "the same surface continued")

    return of
