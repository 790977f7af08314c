"""Which upscaler a name stands for, and whether its weights are the expected ones."""

from dataclasses import replace

import pytest

from operators.rows.failure import RunError
from operators.upscalers.catalogue import UPSCALERS, find_upscaler, weight_files

LARGEST = UPSCALERS["x4plus"][-1]


@pytest.mark.parametrize(("factor", "scale"), [(1.2, 2), (2, 2), (2.1, 3), (4, 4), (9, 4)])
def test_the_smallest_scale_that_reaches_the_factor_is_chosen(factor, scale):
    assert find_upscaler("animevideov3", factor).scale == scale


def test_an_unknown_name_is_refused_with_the_known_names():
    with pytest.raises(RunError, match="option_invalid: no upscaler 'sharp'; there are lanczos, animevideov3, x4plus"):
        find_upscaler("sharp", 2)


def test_weights_of_another_checksum_are_refused():
    changed = replace(LARGEST, sha256={**LARGEST.sha256, ".param": "0" * 64})
    with pytest.raises(RunError, match=r"model_changed: .*REALESRGAN_X4PLUS_UP4X.param"):
        weight_files(changed)


def test_the_weights_of_shipped_upscalers_are_the_expected_files():
    for scales in UPSCALERS.values():
        for shipped in scales:
            paths = weight_files(shipped)
            assert set(paths) == set(shipped.sha256)
            assert all(path.is_file() for path in paths.values())
