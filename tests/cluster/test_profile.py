"""A profile says where a flow runs, and refuses a flow that does not fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from cluster.nodes import Node
from cluster.profile import PROFILES, Machines, Profile, ProfileError, Stage, cores, fit_cluster, laptop, load
from flows.erase_text import erase_text
from flows.flow import Flow
from flows.ladder import PRESETS, Fills
from operators.generators.classical import CLASSICAL
from operators.write import Write

SHIPPED = sorted(file.stem for file in PROFILES.glob("*.yaml"))
WHOLE_FLOW = erase_text(Fills(PRESETS["quality"])).then(Write("out"))


def staged_profile(**stages: Stage) -> Profile:
    return Profile(name="own", placement="staged", stages=stages)


@pytest.mark.parametrize("gpus", [0, 1, 2, 8, 1 / 2, 1 / 3, 1 / 7, 0.2, 0.25])
def test_gpus_are_whole_or_one_over_a_whole_number(gpus: float) -> None:
    assert Stage(gpus=gpus, pool=(1, 1)).gpus == gpus


@pytest.mark.parametrize("gpus", [0.18, 0.4, 0.75, 2 / 3, 1.5, -1, -0.5])
def test_other_shares_of_a_gpu_cannot_be_packed(gpus: float) -> None:
    with pytest.raises(ValidationError, match="neither a whole number of GPUs nor one over a whole number"):
        Stage(gpus=gpus, pool=(1, 1))


@pytest.mark.parametrize("pool", [(1, 1), (1, 4), (3, 3)])
def test_a_pool_is_its_least_and_most_processes(pool: tuple[int, int]) -> None:
    assert Stage(pool=pool).pool == pool


@pytest.mark.parametrize("pool", [(0, 1), (2, 1), (-1, -1)])
def test_a_pool_keeps_at_least_one_process_and_never_more_than_its_most(pool: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match="pool"):
        Stage(pool=pool)


@pytest.mark.parametrize("fields", [{"cpus": 0}, {"cpus": -1}, {"batch": 0}, {"gpu": 1}, {"processes": 3}], ids=str)
def test_a_stage_refuses_impossible_values_and_unknown_fields(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Stage(**fields)


@pytest.mark.parametrize(
    "fields", [{"placement": "anywhere"}, {"images_per_block": 0}, {"images_per_block": 17}, {"colour": "red"}]
)
def test_a_profile_refuses_impossible_values_and_unknown_fields(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Profile(**{"name": "own", "placement": "fused", "stages": {}, **fields})


def test_an_operator_finds_its_stage_by_name_then_family_then_default() -> None:
    named, family, default = Stage(cpus=3), Stage(cpus=2), Stage(cpus=1)
    profile = staged_profile(inpaint_telea=named, inpaint=family, default=default)
    assert profile.stage("inpaint_telea") is named
    assert profile.stage("inpaint_patchmatch") is family
    assert profile.stage("fetch") is default


def test_an_operator_without_a_stage_is_named() -> None:
    with pytest.raises(ProfileError, match=r"'own' has no stage 'fetch' and no 'default'"):
        staged_profile(detect=Stage()).stage("fetch")


def test_a_refusal_names_the_sum() -> None:
    profile = staged_profile(detect=Stage(cpus=0.5, pool=(2, 4)), inpaint=Stage(cpus=1, pool=(1, 1)), default=Stage(cpus=0.25))
    refusal = profile.refusal(["fetch", "detect", "inpaint", "write"], [Node({"CPU": 2.0})])
    assert refusal == (
        "profile 'own' needs 3.5 CPU (fetch 1 x 0.25 + detect 2 x 0.5 + inpaint 1 x 1 + write 1 x 0.25 + index 1), "
        "the cluster has 2"
    )


def test_an_exact_fit_is_not_refused() -> None:
    profile = staged_profile(detect=Stage(cpus=0.5, pool=(2, 4)), inpaint=Stage(cpus=1, pool=(1, 1)), default=Stage(cpus=0.25))
    assert profile.refusal(["fetch", "detect", "inpaint", "write"], [Node({"CPU": 3.5})]) is None
    assert profile.refusal(["fetch", "detect", "inpaint", "write"], [Node({"CPU": 3.4})]) is not None


def test_gpus_are_summed_like_cpus() -> None:
    profile = staged_profile(inpaint=Stage(cpus=1, gpus=0.5, pool=(3, 3)), default=Stage(cpus=0.25))
    assert (
        profile.refusal(["inpaint"], [Node({"CPU": 8.0})]) == "profile 'own' needs 1.5 GPU (inpaint 3 x 0.5), the cluster has 0"
    )
    assert profile.refusal(["inpaint"], [Node({"CPU": 8.0, "GPU": 2.0})]) is None


def test_memory_is_read_with_its_unit_and_summed_in_gibibytes() -> None:
    profile = staged_profile(detect=Stage(memory="1.5GiB", pool=(2, 8)), default=Stage(cpus=0.25))
    assert profile.stage("detect").memory == 1610612736
    assert profile.demand(["fetch", "detect"]) == {"CPU": 3.25, "GPU": 0.0, "memory": 3 * 2**30}
    assert profile.refusal(["fetch", "detect"], [Node({"CPU": 8.0, "memory": 2.5 * 2**30})]) == (
        "profile 'own' needs 3 GiB memory (detect 2 x 1.5 GiB), the cluster has 2.5 GiB"
    )
    assert profile.refusal(["fetch", "detect"], [Node({"CPU": 8.0, "memory": 3.0 * 2**30})]) is None


def test_a_process_that_no_single_node_holds_is_refused_although_the_sum_fits() -> None:
    profile = staged_profile(inpaint=Stage(cpus=6, gpus=1, pool=(1, 1)))
    nodes = [Node({"CPU": 4.0, "GPU": 1.0}, count=2)]
    assert profile.refusal(["inpaint"], nodes) == (
        "profile 'own' needs 1 x (6 CPU + 1 GPU) for inpaint on single nodes, which hold 0"
    )
    assert profile.refusal(["inpaint"], [*nodes, Node({"CPU": 8.0, "GPU": 1.0})]) is None


def test_a_stage_is_refused_where_no_node_carries_one_of_its_labels() -> None:
    spot, paid = {"ray.io/market-type": "spot"}, {"ray.io/market-type": "on-demand"}
    profile = staged_profile(detect=Stage(pool=(2, 4), nodes=(spot, paid)))
    assert profile.refusal(["detect"], [Node({"CPU": 8.0})]) == (
        "profile 'own' needs 2 x (1 CPU) for detect on nodes with ray.io/market-type=spot or ray.io/market-type=on-demand, "
        "which hold 0"
    )
    assert profile.refusal(["detect"], [Node({"CPU": 2.0}, spot), Node({"CPU": 2.0}, paid)]) is None
    assert profile.refusal(["detect"], [Node({"CPU": 8.0}), Node({"CPU": 1.0}, paid)]) is not None
    anywhere = staged_profile(detect=Stage(pool=(2, 4), nodes=(spot, paid, {})))
    assert anywhere.refusal(["detect"], [Node({"CPU": 8.0})]) is None


def test_machines_that_can_grow_count_with_what_they_can_grow_to() -> None:
    grown = Machines(count=(0, 3), cpus=4, gpus=1, memory="8GiB")
    profile = staged_profile(inpaint=Stage(gpus=0.5, pool=(6, 6)))
    growing = profile.model_copy(update={"machines": {"gpu": grown}})
    fixed = profile.model_copy(update={"machines": {"gpu": grown.model_copy(update={"count": (3, 3)})}})
    head = Node({"CPU": 0.0})
    assert growing.refusal(["inpaint"], [head]) is None
    assert growing.refusal(["inpaint"], [head, Node({"CPU": 4.0, "GPU": 1.0}, count=3)]) is None
    assert fixed.refusal(["inpaint"], [head]) == "profile 'own' needs 7 CPU (inpaint 6 x 1 + index 1), the cluster has 0"
    few = growing.model_copy(update={"machines": {"gpu": grown.model_copy(update={"count": (0, 2)})}})
    assert few.refusal(["inpaint"], [head, Node({"CPU": 4.0, "GPU": 1.0})]) == (
        "profile 'own' needs 3 GPU (inpaint 6 x 0.5), the cluster has 2"
    )


@pytest.mark.parametrize("count", [(0, 0), (2, 1), (-1, 1)])
def test_a_group_of_machines_has_at_least_one(count: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match="count"):
        Machines(count=count, cpus=1, memory="1GiB")


@pytest.mark.parametrize("labels", [{"ray.io/market-type": "in(spot, on-demand)"}, {"-": "spot"}, {"a b": "spot"}, {"a": "-"}])
def test_labels_are_spelt_as_on_a_node(labels: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="nodes"):
        Stage(nodes=(labels,))


def test_ray_gets_the_preferred_labels_and_the_others_as_its_fallback() -> None:
    spot, paid = {"ray.io/market-type": "spot"}, {"ray.io/market-type": "on-demand"}
    stage = Stage(gpus=0.25, memory="2GiB", pool=(1, 4), nodes=(spot, paid))
    assert stage.ray_options() == {
        "num_gpus": 0.25,
        "memory": 2 * 2**30,
        "label_selector": spot,
        "fallback_strategy": [{"label_selector": paid}],
    }
    assert set(Stage().ray_options().values()) == {None}


def test_the_laptop_profile_is_one_worker_per_core_and_fits_the_ray_that_it_starts() -> None:
    profile = laptop()
    assert profile.placement == "fused"
    assert profile.stage("worker").pool == (cores(), cores()) == (len(os.sched_getaffinity(0)),) * 2
    assert profile.local_cpus is not None
    assert WHOLE_FLOW.refusal(profile, [Node({"CPU": profile.local_cpus})]) is None


@pytest.mark.parametrize("name", ["laptop", *SHIPPED])
@pytest.mark.parametrize("workers", [1, 2, 5, 64])
def test_with_workers_sets_every_pool_and_nothing_else(name: str, workers: int) -> None:
    before = load(name)
    profile = before.with_workers(workers)
    for stage, settings in profile.stages.items():
        assert settings.pool == (None if before.stages[stage].pool is None else (workers, workers))
        assert settings.cpus == before.stages[stage].cpus


@pytest.mark.parametrize("workers", [1, 2, 5, 64])
def test_the_laptop_profile_with_workers_fits_the_ray_that_it_starts(workers: int) -> None:
    profile = laptop().with_workers(workers)
    assert profile.local_cpus is None
    assert WHOLE_FLOW.refusal(profile, [Node(WHOLE_FLOW.demand(profile))]) is None


def test_a_stage_has_a_pool_or_tasks_and_not_both() -> None:
    assert Stage(tasks=2).tasks == 2
    with pytest.raises(ValidationError, match="a stage has a pool or tasks, not both"):
        Stage(pool=(1, 1), tasks=2)


def test_no_workers_at_all_are_refused() -> None:
    with pytest.raises(ProfileError, match="0 workers are too few"):
        laptop().with_workers(0)


def test_there_are_shipped_profiles() -> None:
    assert SHIPPED == ["autoscaling", "gpu-node", "one-gpu", "staged"]


@pytest.mark.parametrize("name", ["autoscaling", "gpu-node", "one-gpu"])
@pytest.mark.parametrize("model", CLASSICAL)
def test_a_classical_fill_takes_no_gpu_of_a_shipped_profile(name: str, model: str) -> None:
    profile = load(name)
    assert profile.stage("inpaint_some_model").gpus == 0.5
    assert profile.stage(f"inpaint_{model}").gpus == 0


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_stage_that_keeps_a_large_model_open_has_a_pool_in_a_shipped_profile(name: str, preset: str) -> None:
    laid_out, names = erase_text(Fills(PRESETS[preset])).lay_out(load(name))
    operators = ("detect", "describe", "inpaint", "verify", "look_again")
    assert [stage for stage in names if stage.startswith(operators) and laid_out.stages[stage].pool is None] == []


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_shipped_profile_fits_the_machines_that_it_is_made_for(name: str, preset: str) -> None:
    profile = load(name)
    nodes = [machines.nodes(machines.count[1]) for machines in profile.machines.values()]
    if nodes:
        flow = erase_text(Fills(PRESETS[preset])).then(Write("out"))
        assert flow.refusal(profile, nodes) is None
        assert profile.refusal(["inpaint_some_model"], nodes) is None
        assert profile.refusal(["enlarge"], nodes) is None


def test_the_autoscaling_profile_asks_for_spot_machines_first_and_for_gpus_only_where_models_fill() -> None:
    profile = load("autoscaling")
    for stage in profile.stages.values():
        assert [labels.get("ray.io/market-type") for labels in stage.nodes] == ["spot", "on-demand", None]
    assert [name for name, stage in profile.stages.items() if stage.gpus] == ["inpaint"]
    assert {name for name, machines in profile.machines.items() if machines.gpus} == {"gpu", "gpu-spot"}
    assert WHOLE_FLOW.refusal(profile, [Node({"CPU": 0.0})]) is None


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_loads_under_its_name_and_fits_the_ray_that_it_starts(name: str) -> None:
    profile = load(name)
    assert profile.name == name
    for preset in PRESETS.values():
        flow: Flow = erase_text(Fills(preset)).then(Write("out"))
        if profile.local_cpus is not None:
            assert flow.refusal(profile, [Node({"CPU": profile.local_cpus})]) is None


def test_a_profile_of_ones_own_is_a_yaml_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nplacement: fused\nimages_per_block: 4\nstages: {default: {cpus: 0.5}}\n")
    assert load(str(file)) == Profile(name="mine", placement="fused", images_per_block=4, stages={"default": Stage(cpus=0.5)})


def test_the_error_about_an_unknown_profile_lists_the_shipped_ones() -> None:
    with pytest.raises(ProfileError, match=r"no profile 'mainframe'; use laptop, .*staged"):
        load("mainframe")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("name: mine\nplacement: fused\nstages: {worker: {gpus: 0.4}}\n", "gpus"),
        ("name: mine\nplacement: fused\nstages: {worker: {cpu: 1}}\n", "cpu"),
        ("name: mine\nplacement: sideways\nstages: {}\n", "placement"),
        ("placement: fused\nstages: {}\n", "name"),
        ("name: [mine\n", "mine.yaml"),
        ("", "mine.yaml"),
        ("- a\n- list\n", "mine.yaml"),
    ],
)
def test_a_wrong_profile_file_is_refused_in_one_line_that_names_the_fault(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(ProfileError) as refused:
        load(str(file))
    assert str(file) in str(refused.value)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("cpus", "workers"), [(2, 1), (4, 3), (8, 7), (64, 63)])
def test_the_laptops_profile_takes_the_cluster_that_it_finds(cpus: int, workers: int) -> None:
    nodes = [Node({"CPU": cpus})]
    fitted = fit_cluster(laptop(), nodes)
    assert fitted.refusal(["worker"], nodes) is None
    assert fitted.stage("worker").pool == (1, workers)
    assert workers * fitted.stage("worker").cpus + 1 <= cpus
    assert fit_cluster(laptop().with_workers(3), nodes).stage("worker").pool == (3, 3)
    assert fit_cluster(load("staged"), nodes) == load("staged")
