"""A job uploads the packages and the files of its command line, and refers to their new names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cluster.working_dir import pack_working_dir, rename_values


def test_the_packages_run_where_they_are_unpacked(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("name: mine\n")
    with pack_working_dir({"mine.yaml": own}) as folder:
        assert {entry.name for entry in folder.iterdir()} == {"cleanplate", "cluster", "flows", "operators", "mine.yaml"}
        assert not list(folder.rglob("*.pyc"))
        code = "import flows, operators; print(flows.__file__, operators.__file__)"
        result = subprocess.run([sys.executable, "-c", code], cwd=folder, env={}, capture_output=True, text=True, check=True)
        assert all(Path(file).is_relative_to(folder) for file in result.stdout.split())
    assert not folder.exists()


def test_a_package_stays_small(tmp_path: Path) -> None:
    with pack_working_dir({}) as folder:
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 50e6


def test_values_are_renamed_wherever_a_command_line_has_them() -> None:
    names = {"a/mine.yaml": "mine.yaml", "a/f.py:flow": "f.py:flow"}
    command = ["run", "a/f.py:flow", "s3://a/mine.yaml", "--profile=a/mine.yaml", "--profile", "a/mine.yaml", "--seed=1"]
    assert rename_values(command, names) == [
        "run",
        "f.py:flow",
        "s3://a/mine.yaml",
        "--profile=mine.yaml",
        "--profile",
        "mine.yaml",
        "--seed=1",
    ]
