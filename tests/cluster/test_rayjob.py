"""A RayJob is the shipped description with the command line inserted and nothing else changed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.rayjob import BASE, RayJobError, rayjob

COMMAND = "cleanplate erase 's3://bucket/a b' s3://out --prompt \"it's $HOME\""


def shipped() -> dict[str, Any]:
    return next(item for item in yaml.safe_load(BASE.read_text())["items"] if item["kind"] == "RayJob")


def rayjob_of(name: str = "letters", base: Path | None = None, image: str = "", **environment: str) -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load(rayjob(name, COMMAND, base, image, environment))
    return job


def images(job: dict[str, Any]) -> list[str]:
    groups = [job["spec"]["rayClusterSpec"]["headGroupSpec"], *job["spec"]["rayClusterSpec"]["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    return [container["image"] for pod in pods for container in pod.get("initContainers", []) + pod["containers"]]


def test_only_name_and_command_differ_from_the_shipped_job() -> None:
    expected = shipped()
    expected["metadata"]["name"] = "letters"
    expected["spec"]["entrypoint"] = COMMAND
    assert rayjob_of() == expected


def test_the_command_line_arrives_unchanged() -> None:
    assert shlex.split(rayjob_of()["spec"]["entrypoint"]) == shlex.split(COMMAND)


def test_the_environment_is_the_runs_own_and_its_values_stay_texts() -> None:
    job = rayjob_of(AWS_REGION="eu-central-1", LIMIT="1", YES="true")
    assert yaml.safe_load(job["spec"]["runtimeEnvYAML"]) == {
        "env_vars": {"AWS_REGION": "eu-central-1", "LIMIT": "1", "YES": "true"}
    }


def test_one_image_name_stands_for_both_variants() -> None:
    assert images(rayjob_of()) == ["cleanplate:0.1.0-cpu"] * 3 + ["cleanplate:0.1.0-cuda"] * 2
    name = "registry:5000/team/cleanplate:9"
    assert images(rayjob_of(image=name)) == [f"{name}-cpu"] * 3 + [f"{name}-cuda"] * 2


@pytest.mark.parametrize(
    ("command", "pulled"),
    [
        ("cleanplate erase in out --model sdxl-inpainting", ["sdxl-inpainting"]),
        ("cleanplate inpaint in out --masks m --model='s3://bucket/a model' --seed 3", ["s3://bucket/a model"]),
        ("cleanplate erase in out --preset quality", ["telea", "patchmatch"]),
        ("cleanplate enlarge in out --scale 2 --model animevideov3", ["telea", "patchmatch"]),
    ],
)
def test_pods_pull_the_model_that_the_command_fills_with(command: str, pulled: list[str]) -> None:
    job = yaml.safe_load(rayjob("letters", command, None, "", {}))
    pods = [group["template"]["spec"] for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]]
    assert [container["args"] for pod in pods for container in pod["initContainers"]] == [["models", "pull", *pulled]] * 2


def test_a_command_line_that_no_shell_reads_is_refused() -> None:
    with pytest.raises(RayJobError, match="No closing quotation"):
        rayjob("letters", "cleanplate erase 'in out", None, "", {})


def test_a_base_of_ones_own_is_taken_whole_but_for_foreign_images(tmp_path: Path) -> None:
    own = shipped()
    own["spec"]["backoffLimit"] = 9
    own["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"].append(
        {"name": "logs", "image": "mirror/shipper:1-cpu"}
    )
    file = tmp_path / "rendered.yaml"
    file.write_text(yaml.safe_dump_all([{"kind": "ServiceAccount", "metadata": {"name": "x"}}, own]))
    job = rayjob_of(base=file, image="team/cleanplate:9")
    assert job["spec"]["backoffLimit"] == 9
    assert images(job) == [f"team/cleanplate:9-{kind}" for kind in ("cpu", "cpu", "cpu")] + [
        "mirror/shipper:1-cpu",
        "team/cleanplate:9-cuda",
        "team/cleanplate:9-cuda",
    ]


@pytest.mark.parametrize("spec", ["{}", "{rayClusterSpec: {}}", "{rayClusterSpec: {headGroupSpec: 3}}", "3"])
def test_a_base_whose_rayjob_has_no_pods_is_refused(tmp_path: Path, spec: str) -> None:
    base = tmp_path / "base.yaml"
    base.write_text(f"kind: RayJob\nmetadata: {{name: x}}\nspec: {spec}\n")
    with pytest.raises(RayJobError, match="its RayJob has no cluster of pods"):
        rayjob("letters", COMMAND, base, "registry/cleanplate:9", {})


def test_the_yaml_has_no_anchors() -> None:
    text = rayjob("letters", COMMAND, None, "", {})
    assert "&" not in text and "*" not in text


@pytest.mark.parametrize("name", ["", "A", "1st", "-a", "a-", "a_b", "a.b", "a" * 48, "a\n"])
def test_a_name_that_kubernetes_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(RayJobError, match="a job's name"):
        rayjob_of(name)


@pytest.mark.parametrize("name", ["a", "a1", "erase-2026-11", "a" * 47])
def test_other_names_are_taken(name: str) -> None:
    assert rayjob_of(name)["metadata"]["name"] == name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: RayCluster\n", "holds 0 RayJobs"),
        ("kind: [\n", "rendered.yaml"),
        ("", "holds 0 RayJobs"),
        (None, "No such file"),
    ],
)
def test_a_base_without_a_rayjob_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "rendered.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(RayJobError, match=message):
        rayjob_of(base=file)
