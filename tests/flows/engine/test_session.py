"""What the current folder holds does not reach the workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.engine.few_images import MOST_IMAGES

if TYPE_CHECKING:
    from tests.fixtures.cli import Command
    from tests.fixtures.pictures import Pictures


@pytest.fixture
def current(tmp_path: Path, pictures: Pictures) -> Path:
    """A folder with a package of the user's own named `flows`, and with pictures in `photos`: more
    than a run without Ray takes.
    """
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").touch()
    (tmp_path / "photos").mkdir()
    for number in range(MOST_IMAGES + 1):
        pictures.strip(number, f"NUMBER {number}").save(tmp_path / "photos" / f"{number}.png")
    return tmp_path


def test_a_few_images_are_worked_beside_a_package_of_the_same_name(current: Path, cleanplate: Command) -> None:
    ended = cleanplate("erase", "photos", "out", "--preset", "fast", "--limit", "1", cwd=current, most_seconds=400)
    assert (ended.code, ended.err) == (0, "")
    assert "1 image, 1 edited" in ended.out


def test_a_run_on_ray_is_refused_in_one_line_where_its_workers_would_import_another_package(
    current: Path, cleanplate: Command
) -> None:
    ended = cleanplate("erase", "photos", "out", "--preset", "fast", cwd=current, most_seconds=400)
    place = current / "flows" / "__init__.py"
    assert ended.code == 2
    assert ended.err == (
        f"error: package_shadowed: {place} hides the package 'flows' of cleanplate from the workers; "
        "run from another folder, or rename it\n"
    )
    assert not (current / "out").exists()
    assert not ended.used_ray
