"""The Dockerfile copies existing files, installs pinned versions, and runs as an ordinary user."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from cluster.rayjob import BASE
from flows.engine.session import ALLOCATORS

ROOT = Path(__file__).parent.parent.parent
RECIPE = [
    line for line in re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines() if line and not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def stages() -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    for line in RECIPE:
        if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            lines[match[2]] = []
            stage = match[2]
        elif not line.startswith("ARG"):
            lines[stage].append(line)
    return lines


def parents() -> dict[str, str]:
    return {match[2]: match[1] for line in RECIPE if (match := re.fullmatch(r"FROM (\S+) AS (\S+)", line))}


def copied() -> list[str]:
    lines = [line.split() for line in RECIPE if line.startswith("COPY ") and "--from" not in line]
    return [source for _, *sources, _ in lines for source in sources]


def test_every_file_that_is_copied_exists() -> None:
    assert copied()
    assert [source for source in copied() if not (ROOT / source).exists()] == []


def test_the_pods_processes_keep_as_little_freed_memory_as_those_on_one_machine() -> None:
    set_here = " ".join(line for line in stages()["runtime"] if line.startswith("ENV "))
    for name, value in ALLOCATORS.items():
        assert f"{name}={value}" in set_here


def test_only_copied_files_reach_the_builder() -> None:
    everything, *admitted, junk = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert (everything, junk) == ("*", "**/__pycache__")
    assert sorted(line.removeprefix("!") for line in admitted) == sorted(copied())


def test_all_packages_of_the_project_are_copied() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packages = [pattern.rstrip("*") for pattern in tools["setuptools"]["packages"]["find"]["include"]]
    assert set(packages) <= set(copied())


SHARED = {"cluster", "google", "serve"}


@pytest.mark.parametrize(("target", "extras"), [("cpu", SHARED), ("cuda", SHARED | {"diffusion"})])
def test_a_variant_installs_the_projects_own_extras_at_pinned_versions(target: str, extras: set[str]) -> None:
    (install,) = [line for line in stages()[f"build-{target}"] if "pip install" in line]
    assert re.fullmatch(
        r"RUN /opt/cleanplate/bin/pip install --no-cache-dir --constraint constraints\.txt '\.\[[a-z,]+\]'", install
    )
    assert set(re.search(r"\[(.*)\]", install)[1].split(",")) == extras  # type: ignore[index]
    assert extras <= set(PROJECT["optional-dependencies"])
    assert stages()[target][-1] == f"COPY --from=build-{target} /opt/cleanplate /opt/cleanplate"


def test_every_package_that_is_asked_for_is_pinned() -> None:
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    extras = PROJECT["optional-dependencies"]
    wanted = {*PROJECT["dependencies"], *extras["cluster"], *extras["google"], *extras["diffusion"], *extras["serve"]}
    names = {re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") for requirement in wanted}  # type: ignore[index]
    names -= {"cleanplate"}  # An extra may name another extra of the project.
    assert names - pinned == set()


def test_the_python_is_pinned_to_the_patch_and_new_enough() -> None:
    version = re.search(r"^ARG PYTHON=(\d+)\.(\d+)\.(\d+)-slim-\w+$", "\n".join(RECIPE), re.M)
    assert version is not None
    least = re.search(r">=(\d+)\.(\d+)", PROJECT["requires-python"])
    assert least is not None
    assert tuple(map(int, version.groups()[:2])) >= tuple(map(int, least.groups()))
    assert {parents()[name] for name in ("build-cpu", "runtime")} == {"python:${PYTHON}"}


def test_it_runs_as_the_user_that_the_pods_ask_for() -> None:
    assert {parents()["cpu"], parents()["cuda"]} == {"runtime"}
    runtime = stages()["runtime"]
    assert "USER 1000:1000" in runtime
    assert "RUN useradd --uid 1000 --user-group --no-create-home cleanplate" in runtime
    pod = yaml.safe_load(BASE.read_text())["items"][0]["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (1000, 1000)


def test_it_holds_no_secret_and_fetches_nothing_but_packages() -> None:
    text = "\n".join(RECIPE)
    assert [line for line in RECIPE if line.startswith("ADD")] == []
    assert not re.search(r"curl|wget|https?://|KEY|TOKEN|SECRET|PASSWORD", text)
