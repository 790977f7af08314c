"""A missing module is one line only if an extra of this project brings it."""

from __future__ import annotations

import pytest
import typer

from flows.cli.errors import one_line_errors


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(typer.Exit) as ended, one_line_errors():
        raise ModuleNotFoundError("No module named 'skimage'", name="skimage")
    assert ended.value.exit_code == 2


def test_a_module_of_ours_that_is_missing_is_no_matter_of_extras() -> None:
    with pytest.raises(ModuleNotFoundError), one_line_errors():
        raise ModuleNotFoundError("No module named 'flows.engine.run'", name="flows.engine.run")
