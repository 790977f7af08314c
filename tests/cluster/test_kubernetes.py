"""The manifests render by kubectl, obey the schemas of Kubernetes and KubeRay, and fit together."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.dashboard import dashboard
from cluster.profile import load
from cluster.rayjob import BASE, rayjob
from tests.cluster.kubernetes_schemas import faults, kuberay_faults

ROOT = BASE.parent.parent
OVERLAYS = sorted(folder.name for folder in ROOT.iterdir() if folder.is_dir() and folder.name != "base")
CLOUDS = ("aws", "google")
MARKET = "ray.io/market-type"

Manifest = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed (Debian's package kubernetes-client)")
    done = subprocess.run(["kubectl", "kustomize", str(ROOT / overlay)], capture_output=True, text=True, check=True)
    return tuple(yaml.safe_load_all(done.stdout))


def one(overlay: str, kind: str) -> Manifest:
    (manifest,) = (manifest for manifest in rendered(overlay) if manifest["kind"] == kind)
    return manifest


def cluster(overlay: str) -> Manifest:
    return one(overlay, "RayCluster")["spec"]


def groups(overlay: str) -> list[Manifest]:
    return [cluster(overlay)["headGroupSpec"], *cluster(overlay)["workerGroupSpecs"]]


def pods(overlay: str) -> list[Manifest]:
    return [group["template"]["spec"] for group in groups(overlay)]


def containers(overlay: str) -> Iterator[Manifest]:
    for pod in pods(overlay):
        yield from (*pod.get("initContainers", []), *pod["containers"])


def gigabytes(quantity: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) / (1024 if unit == "Mi" else 1)


def node_wishes(pod: Manifest) -> str:
    return json.dumps([pod.get("affinity"), pod.get("nodeSelector")])


def test_there_is_an_overlay_for_plain_clusters_and_for_each_cloud() -> None:
    assert OVERLAYS == ["aws", "google", "plain"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_renders_everything_and_says_what_each_part_is_for(overlay: str) -> None:
    parts = {manifest["kind"]: manifest["metadata"]["labels"]["app.kubernetes.io/component"] for manifest in rendered(overlay)}
    assert parts == {
        "ConfigMap": "setup",
        "ServiceAccount": "setup",
        "PodDisruptionBudget": "setup",
        "PodMonitor": "setup",
        "RayCluster": "cluster",
        "RayJob": "job",
        "RayService": "service",
    }


@pytest.mark.parametrize("kind", ["ConfigMap", "ServiceAccount", "PodDisruptionBudget"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_own_kinds_keep_to_its_schema(overlay: str, kind: str) -> None:
    assert faults(one(overlay, kind)) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_keeps_to_kubernetes_schema(overlay: str) -> None:
    for group in groups(overlay):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray", **group["template"]["metadata"]}}
        assert faults({**pod, "spec": group["template"]["spec"]}) == []


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kuberays_kinds_keep_to_its_definitions(overlay: str, kind: str) -> None:
    assert kuberay_faults(one(overlay, kind)) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_job_written_from_an_overlay_keeps_to_kuberays_definition(overlay: str, tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text(yaml.safe_dump_all(rendered(overlay)))
    text = rayjob("letters", "cleanplate erase s3://in s3://out", base, "registry/cleanplate:1", {"AWS_REGION": "x"})
    assert kuberay_faults(yaml.safe_load(text)) == []


def test_a_job_written_from_the_shipped_description_keeps_to_kuberays_definition() -> None:
    assert kuberay_faults(yaml.safe_load(rayjob("letters", "cleanplate --help", None, "", {"A": "1"}))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "backoffLimit"), "three"),
        (("spec", "deletionStrategy", "deletionRules", 0, "policy"), "DeleteEverything"),
        (("spec", "rayClusterSpec", "autoscalerOptions", "version"), "v3"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplica"), 1),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "serviceAccount_name"), "x"),
    ],
)
def test_kuberays_definitions_would_notice(path: tuple[str | int, ...], value: object) -> None:
    job = yaml.safe_load(rayjob("letters", "cleanplate --help", None, "", {}))
    parent = job
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    assert len(kuberay_faults(job)) == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_job_and_cluster_are_described_alike(overlay: str) -> None:
    assert one(overlay, "RayJob")["spec"]["rayClusterSpec"] == cluster(overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_has_the_cluster_that_keeps_to_kuberays_definition_but_for_readiness(overlay: str) -> None:
    service = one(overlay, "RayService")
    assert (service["apiVersion"], set(service["spec"])) == ("ray.io/v1", {"serveConfigV2", "rayClusterConfig"})
    # KubeRay's definition of its cluster is that of a RayCluster.
    assert kuberay_faults({**one(overlay, "RayCluster"), "spec": service["spec"]["rayClusterConfig"]}) == []
    alike = copy.deepcopy(service["spec"]["rayClusterConfig"])
    for theirs, ours in zip(alike["workerGroupSpecs"], cluster(overlay)["workerGroupSpecs"], strict=True):
        (container,), (plain,) = theirs["template"]["spec"]["containers"], ours["template"]["spec"]["containers"]
        container["readinessProbe"] = plain["readinessProbe"]
    assert alike == cluster(overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_workers_whose_proxy_answers_get_requests(overlay: str) -> None:
    # KubeRay itself asks the proxy only of workers without a probe; its controller asks the head's.
    head, *workers = (
        group["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]
        for spec in [one(overlay, "RayService")["spec"]["rayClusterConfig"]]
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])
    )
    port = yaml.safe_load(one(overlay, "RayService")["spec"]["serveConfigV2"])["http_options"]["port"]
    assert head["port"] != port
    assert workers == [{"path": "/-/healthz", "port": port}] * len(workers) != []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ray_serve_takes_the_service_as_it_is_written(overlay: str) -> None:
    from ray.serve.schema import ServeDeploySchema

    from flows.serve import on_ray

    config = ServeDeploySchema.model_validate(yaml.safe_load(one(overlay, "RayService")["spec"]["serveConfigV2"]))
    assert (config.http_options.host, config.http_options.port) == ("0.0.0.0", 8000)
    workers, front = config.applications
    assert (workers.name, workers.import_path, workers.route_prefix) == (on_ray.WORKERS, f"{on_ray.__name__}:workers", None)
    assert (front.name, front.import_path, front.route_prefix) == (on_ray.FRONT, f"{on_ray.__name__}:front", "/")
    assert workers.args == front.args
    options = on_ray.Options.model_validate(workers.args)
    assert {machine.labels[MARKET] for machine in load(options.profile).machines.values()} == {"spot", "on-demand"}


def test_every_pod_may_hold_the_application_and_so_reads_the_services_token() -> None:
    key = {"name": "cleanplate-service", "key": "token", "optional": True}
    for pod in pods("plain"):
        assert {"name": "CLEANPLATE_TOKEN", "valueFrom": {"secretKeyRef": key}} in pod["containers"][0]["env"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_head_does_no_work_and_stays_where_it_is(overlay: str) -> None:
    head = cluster(overlay)["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert head["template"]["metadata"]["annotations"] == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    terms = head["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = terms["nodeSelectorTerms"]
    assert {(rule["key"], rule["operator"], *rule["values"]) for rule in term["matchExpressions"]} == {
        ("eks.amazonaws.com/capacityType", "NotIn", "SPOT"),
        ("karpenter.sh/capacity-type", "NotIn", "spot"),
        ("cloud.google.com/gke-spot", "NotIn", "true"),
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_budget_holds_the_head_and_no_worker(overlay: str) -> None:
    budget = one(overlay, "PodDisruptionBudget")["spec"]
    labels = groups(overlay)[0]["template"]["metadata"]["labels"]
    assert budget["maxUnavailable"] == 0
    assert budget["selector"]["matchLabels"] == {**labels, "ray.io/node-type": "head"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_autoscaler_starts_from_nothing_and_ends_there(overlay: str) -> None:
    spec = cluster(overlay)
    assert (spec["enableInTreeAutoscaling"], spec["autoscalerOptions"]["version"]) == (True, "v2")
    for group in spec["workerGroupSpecs"]:
        assert (group["replicas"], group["minReplicas"]) == (0, 0)
        assert group["maxReplicas"] > 0 and group["idleTimeoutSeconds"] > 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_end_with_their_ray_as_the_second_autoscaler_asks(overlay: str) -> None:
    assert {pod["restartPolicy"] for pod in pods(overlay)} == {"Never"}
    names = {variable["name"] for container in containers(overlay) for variable in container.get("env", [])}
    assert "RAY_enable_autoscaler_v2" not in names


def test_a_plain_cluster_has_a_group_of_cores_and_one_of_gpus() -> None:
    assert [group["groupName"] for group in cluster("plain")["workerGroupSpecs"]] == ["cpu", "gpu"]


@pytest.mark.parametrize(
    ("overlay", "node"),
    [("aws", {"eks.amazonaws.com/capacityType": "SPOT"}), ("google", {"cloud.google.com/gke-spot": "true"})],
)
def test_on_a_cloud_spot_comes_first_and_lasting_nodes_stand_in(overlay: str, node: dict[str, str]) -> None:
    by_name = {group["groupName"]: group for group in cluster(overlay)["workerGroupSpecs"]}
    assert list(by_name) == ["cpu", "gpu", "cpu-spot", "gpu-spot"]
    for name in ("cpu", "gpu"):
        lasting, spot = by_name[name], by_name[f"{name}-spot"]
        assert spot["priority"] > lasting.get("priority", 0)
        assert (spot["labels"], lasting["labels"]) == ({MARKET: "spot"}, {MARKET: "on-demand"})
        assert spot["template"]["spec"]["nodeSelector"] == node
        assert next(iter(node)) in node_wishes(lasting["template"]["spec"])
        assert spot["rayStartParams"] == lasting["rayStartParams"]
        same = ("containers", "initContainers", "securityContext", "serviceAccountName", "volumes")
        assert {key: spot["template"]["spec"][key] for key in same} == {key: lasting["template"]["spec"][key] for key in same}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_pods_on_gpu_nodes_ask_for_gpus_and_for_whole_ones(overlay: str) -> None:
    for group in cluster(overlay)["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        wanted = container["resources"]["limits"].get("nvidia.com/gpu")
        assert wanted == ("1" if group["groupName"].startswith("gpu") else None)
        assert (container["image"].endswith("-cuda"), "nvidia.com/gpu" in json.dumps(pod.get("tolerations"))) == (
            wanted is not None,
            wanted is not None,
        )


@pytest.mark.parametrize(
    ("overlay", "annotation"),
    [("aws", "eks.amazonaws.com/role-arn"), ("google", "iam.gke.io/gcp-service-account"), ("plain", None)],
)
def test_buckets_are_reached_as_a_service_account_on_every_pod(overlay: str, annotation: str | None) -> None:
    account = one(overlay, "ServiceAccount")["metadata"]
    assert list(account.get("annotations", {})) == ([annotation] if annotation else [])
    assert {pod["serviceAccountName"] for pod in pods(overlay)} == {account["name"]}
    assert [pod.get("automountServiceAccountToken") for pod in pods(overlay)][1:] == [False] * (len(pods(overlay)) - 1)


def test_without_a_cloud_the_keys_are_a_secrets_which_every_pod_reads() -> None:
    for pod in pods("plain"):
        assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "cleanplate-storage", "optional": True}}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_container_is_root_or_writes_anywhere_but_into_its_volumes(overlay: str) -> None:
    closed = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for pod in pods(overlay):
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 1000)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in pod["containers"][0]["volumeMounts"]}
        assert set(mounted) == {"/tmp", "/dev/shm", "/models"}
        assert all("emptyDir" in volume for volume in mounted.values())
        assert mounted["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    assert all(container["securityContext"] == closed for container in containers(overlay))
    assert cluster(overlay)["autoscalerOptions"]["securityContext"] == closed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_hands_in_work_without_the_clusters_token(overlay: str) -> None:
    assert cluster(overlay)["authOptions"] == {"mode": "token"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_says_what_it_takes_and_takes_no_more(overlay: str) -> None:
    for container in (*containers(overlay), cluster(overlay)["autoscalerOptions"]):
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rays_objects_fit_the_shared_memory_that_they_lie_in(overlay: str) -> None:
    for group in groups(overlay):
        volumes = {volume["name"]: volume["emptyDir"] for volume in group["template"]["spec"]["volumes"]}
        objects = int(group["rayStartParams"]["object-store-memory"]) / 1024**3
        assert (
            0.9 * gigabytes(volumes["shared-memory"]["sizeLimit"]) <= objects < gigabytes(volumes["shared-memory"]["sizeLimit"])
        )


@pytest.mark.parametrize("overlay", CLOUDS)
def test_the_groups_of_a_cloud_are_the_machines_of_the_autoscaling_profile(overlay: str) -> None:
    machines = load("autoscaling").machines
    by_name = {group["groupName"]: group for group in cluster(overlay)["workerGroupSpecs"]}
    assert set(by_name) == set(machines)
    for name, group in by_name.items():
        machine, pod = machines[name], group["template"]["spec"]
        limits = pod["containers"][0]["resources"]["limits"]
        (shared,) = (volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if volume["name"] == "shared-memory")
        assert (group["minReplicas"], group["maxReplicas"]) == tuple(machine.count)
        assert (float(limits["cpu"]), float(limits.get("nvidia.com/gpu", 0))) == (machine.cpus, machine.gpus)
        assert machine.memory / 1024**3 + gigabytes(shared) <= gigabytes(limits["memory"])
        assert group["labels"] == machine.labels


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_weights_are_pulled_before_ray_starts(overlay: str) -> None:
    for pod in pods(overlay)[1:]:
        (weights,) = pod["initContainers"]
        (worker,) = pod["containers"]
        assert [*weights["command"], *weights["args"]][:3] == ["cleanplate", "models", "pull"]
        assert weights["image"] == worker["image"]
        cache = {"name": "CLEANPLATE_CACHE", "value": "/models"}
        assert cache in weights["env"] and cache in worker["env"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_metrics_are_read_from_ports_that_pods_have(overlay: str) -> None:
    monitor = one(overlay, "PodMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert set(monitor["spec"]) == {"selector", "podMetricsEndpoints", "podTargetLabels"}
    assert monitor["spec"]["selector"]["matchLabels"] == groups(overlay)[0]["template"]["metadata"]["labels"]
    ports = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
    head, *workers = ({port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]} for pod in pods(overlay))
    assert {name: head.get(name) for name in ports} == {"metrics": 8080, "as-metrics": 44217, "dash-metrics": 44227}
    assert all(worker == {"metrics": 8080} for worker in workers)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_grafana_finds_the_dashboard(overlay: str) -> None:
    config = one(overlay, "ConfigMap")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: json.loads(text) for name, text in config["data"].items()} == {"cleanplate.json": dashboard()}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_failed_run_is_tried_again_on_a_new_cluster_which_goes_when_it_has_ended(overlay: str) -> None:
    job = one(overlay, "RayJob")["spec"]
    assert job["backoffLimit"] > 0
    # The operator refuses these together with deletion rules.
    assert not {"shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "suspend"} & set(job)
    seconds: dict[str, dict[str, int]] = {}
    for rule in job["deletionStrategy"]["deletionRules"]:
        (state,) = set(rule["condition"].values()) - {rule["condition"]["ttlSeconds"]}
        assert rule["policy"] not in seconds.setdefault(state, {})
        seconds[state][rule["policy"]] = rule["condition"]["ttlSeconds"]
    assert set(seconds) == {"SUCCEEDED", "FAILED", "Failed"}
    for policies in seconds.values():
        # Workers are deleted with their cluster: under an autoscaler, the operator refuses to
        # delete them alone.
        assert "DeleteWorkers" not in policies
        assert policies["DeleteCluster"] <= policies.get("DeleteSelf", policies["DeleteCluster"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ray_and_images_are_of_the_versions_installed(overlay: str) -> None:
    assert cluster(overlay)["rayVersion"] == version("ray")
    assert {container["image"].rpartition("-")[0] for container in containers(overlay)} == {
        f"cleanplate:{version('cleanplate')}"
    }
