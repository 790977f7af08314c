"""Bounds on an image come from a profile, or else from defaults."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from cluster.bounds import SECONDS_PER_IMAGE, Bounds


def test_seconds_are_found_by_name_then_family_then_default() -> None:
    bounds = Bounds(seconds={"inpaint_telea": 1, "inpaint": 2, "default": 3})
    assert [bounds.seconds_in(name) for name in ("inpaint_telea", "inpaint_patchmatch", "detect")] == [1, 2, 3]


def test_a_profile_without_bounds_has_defaults() -> None:
    bounds = Bounds(seconds={"inpaint": 5000})
    assert bounds.seconds_in("inpaint_telea") == 5000
    assert bounds.seconds_in("detect") == SECONDS_PER_IMAGE
    assert bounds.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def test_memory_has_a_unit() -> None:
    assert Bounds.model_validate({"memory": "3GiB"}).memory_bytes == 3 * 2**30


@pytest.mark.parametrize("wrong", [{"memory": "0"}, {"memory": "much"}, {"second": {"detect": 1}}])
def test_invalid_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Bounds.model_validate(wrong)
