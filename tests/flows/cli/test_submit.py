"""`cleanplate submit`: what it refuses before sending anything, and the RayJob that it prints."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli.app import app

RUN = CliRunner()


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["erase", "photos", "s3://b/out"], "source photos: a cluster needs a URL, or an absolute path"),
        (["erase", "s3://b/in", "cleaned"], "dest cleaned: a cluster needs a URL, or an absolute path"),
        (["inpaint", "s3://b/in", "s3://b/out", "--masks", "masks"], "masks masks: a cluster needs a URL"),
        (["erase", "s3://b/in", "s3://b/out", "--regions", "boxes.json"], "regions boxes.json: a cluster needs a URL"),
        (["erase", "s3://b/in", "s3://b/out", "--mark", "marks"], "mark marks: a cluster needs a URL"),
        (["models", "list"], "'models' cannot be submitted"),
        (["plan", "s3://b/in", "--images", "5"], "'plan' cannot be submitted"),
        (["--image", "x", "erase", "s3://b/in", "s3://b/out"], "--image and --base require --kubernetes"),
        (["erase", "s3://b/in", "s3://b/out"], "RAY_ADDRESS must name the cluster's job server"),
    ],
)
def test_what_cannot_work_on_a_cluster_is_refused_here(command: list[str], said: str) -> None:
    answer = RUN.invoke(app, ["submit", *command])
    assert answer.exit_code == 2
    assert said in answer.output


def test_wrong_usage_of_the_command_is_known_before_it_is_sent() -> None:
    answer = RUN.invoke(app, ["submit", "erase", "s3://b/in", "s3://b/out", "--colour", "red"])
    assert answer.exit_code == 2
    assert "No such option: --colour" in answer.output


def test_a_ray_job_runs_the_command_line_as_it_was_given() -> None:
    command = ["erase", "s3://b/some in", "s3://b/out", "--profile", "autoscaling", "--limit", "7"]
    answer = RUN.invoke(app, ["submit", "--kubernetes", "--image", "registry/cleanplate:1", *command])
    assert answer.exit_code == 0, answer.output
    job = yaml.safe_load(answer.output)
    assert job["kind"] == "RayJob"
    assert shlex.split(job["spec"]["entrypoint"]) == ["cleanplate", *command]
    assert yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"] == {
        "CLEANPLATE_PROGRESS_SECONDS": "10",
        "PYTHONUNBUFFERED": "1",
    }
    assert "registry/cleanplate:1-cpu" in answer.output
    again = yaml.safe_load(RUN.invoke(app, ["submit", "--kubernetes", *command]).output)
    assert again["metadata"]["name"] == job["metadata"]["name"]


def test_each_part_of_a_run_is_a_ray_job_of_its_own() -> None:
    command = ["erase", "s3://b/in", "s3://b/out", "--part"]
    jobs = [
        yaml.safe_load(RUN.invoke(app, ["submit", "--kubernetes", *command, f"{number}/16"]).output) for number in range(1, 17)
    ]
    assert [job["spec"]["entrypoint"] for job in jobs] == [
        f"cleanplate erase s3://b/in s3://b/out --part {number}/16" for number in range(1, 17)
    ]
    assert [job["metadata"]["name"].split("-", 2)[2] for job in jobs] == [f"{number}-of-16" for number in range(1, 17)]


def test_a_part_that_is_none_is_known_before_it_is_sent() -> None:
    answer = RUN.invoke(app, ["submit", "--kubernetes", "erase", "s3://b/in", "s3://b/out", "--part", "17/16"])
    assert answer.exit_code == 2
    assert "--part 17/16: give a number and how many parts there are" in answer.output


@pytest.mark.parametrize(
    ("option", "file", "content"),
    [("--rules", "rules.yaml", "otherwise: keep\n"), ("--profile", "mine.yaml", "name: mine\nplacement: fused\nstages: {}\n")],
)
def test_a_ray_job_cannot_include_files_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, file: str, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(file).write_text(content)
    answer = RUN.invoke(app, ["submit", "--kubernetes", "erase", "s3://b/in", "s3://b/out", option, file])
    assert answer.exit_code == 2
    assert f"{file}: a RayJob cannot include files of this machine" in answer.output
