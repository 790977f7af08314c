"""A flow is checked when it is built, runs in this process, and is laid over Ray as its profile
says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pytest

from cluster.bounds import Bounds
from cluster.nodes import Node
from cluster.profile import PROFILES, Profile, ProfileError, Stage, laptop, load
from flows.engine.run import plan
from flows.engine.stages import work
from flows.erase_text import erase_text, inpaint_masks
from flows.flow import Flow, FlowError
from flows.ladder import PRESETS, Fills
from operators.compose import Compose
from operators.detect import Detect
from operators.fetch import Fetch
from operators.inpaint import Inpaint
from operators.ledger import index
from operators.operator import Operator
from operators.rows.schema import SCHEMA, SchemaError, check_schema
from operators.soften import Soften
from operators.verify import Verify
from operators.write import Write
from tests.flows.busy import Noting

if TYPE_CHECKING:
    from tests.conftest import Pictures

SHIPPED = sorted(file.stem for file in PROFILES.glob("*.yaml"))


@dataclass(frozen=True)
class Sepia(Operator):
    """Reads and adds what a test asks for."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = ("encoded",)

    def apply(self, batch: pa.Table) -> pa.Table:
        return batch


class Colourful(Sepia):
    reads: ClassVar[tuple[str, ...]] = ("bytes", "colours")


class Shaded(Sepia):
    adds: ClassVar[tuple[str, ...]] = ("regions.shade",)


class Careless(Sepia):
    def apply(self, batch: pa.Table) -> pa.Table:
        return batch.set_column(batch.schema.names.index("width"), "width", pa.array([1.5] * len(batch)))


@pytest.mark.parametrize("rungs", PRESETS.values(), ids=PRESETS)
def test_every_preset_is_a_sound_flow_up_to_its_write(rungs: tuple[str, ...]) -> None:
    for flow in (erase_text(Fills(rungs)), inpaint_masks("masks", Fills(rungs))):
        assert flow.then(Write("out")).operators[-1] == Write("out")


def test_the_ladder_of_a_preset_is_unrolled_each_rung_verified_before_the_next() -> None:
    names = [operator.name for operator in erase_text(Fills(PRESETS["balanced"])).operators]
    assert names == [
        *("fetch", "detect", "soften", "describe"),
        *("inpaint_navier_stokes", "verify", "inpaint_patchmatch", "verify", "inpaint_navier_stokes", "verify"),
        "compose",
    ]


@pytest.mark.parametrize(
    ("operators", "operator", "column"),
    [
        ((Detect(), Fetch()), "detect", "bytes"),
        ((Fetch(), Soften(), Detect()), "soften", "regions.polygons"),
        ((Fetch(), Detect(), Inpaint(), Soften()), "inpaint_telea", "regions.crop"),
        ((Fetch(), Detect(), Soften(), Verify()), "verify", "regions.fill"),
        ((Fetch(), Detect(), Soften(), Inpaint(), Write("out")), "write", "encoded"),
        ((Compose(),), "compose", "bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_order_fails_when_built_naming_operator_and_column(
    operators: tuple[Operator, ...], operator: str, column: str
) -> None:
    with pytest.raises(FlowError) as error:
        Flow(operators)
    assert str(error.value) == f"{operator} reads {column!r}, which no operator before it adds"


@pytest.mark.parametrize(("operator", "column"), [(Colourful(), "colours"), (Shaded(), "regions.shade")], ids=["reads", "adds"])
def test_a_column_that_the_row_has_not_fails_when_built(operator: Operator, column: str) -> None:
    with pytest.raises(FlowError) as error:
        Flow((Fetch(), operator))
    assert str(error.value) == f"{operator.name}: there is no column {column!r} in the row"


def test_then_appends_and_checks_and_leaves_the_flow_as_it_is() -> None:
    flow = Flow((Fetch(),))
    assert flow.then(Detect(), Soften()).operators == (Fetch(), Detect(), Soften())
    assert flow.operators == (Fetch(),)
    with pytest.raises(FlowError, match="soften reads"):
        flow.then(Soften())


def test_a_flow_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Flow((Fetch(),)).operators = ()  # type: ignore[misc]


def test_run_returns_the_rows_in_order_complete_with_the_users_columns_last(
    tmp_path: Path, pictures: Pictures, index_rows: Callable[..., pa.Table]
) -> None:
    pictures.strip(1).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    pictures.strip(2, "EXIT").save(tmp_path / "c.jpg")
    rows = index_rows(*(tmp_path / name for name in ("a.png", "b.png", "c.jpg")))
    rows = rows.append_column("licence", pa.array(["x", "y", "z"]))
    result = erase_text(Fills(PRESETS["fast"])).run(rows)
    check_schema(result, "run")
    assert result.column_names == [*SCHEMA.names, "licence"]
    assert result["uri"].to_pylist() == rows["uri"].to_pylist()
    assert result["licence"].to_pylist() == ["x", "y", "z"]
    verdicts = result["verdict"].to_pylist()
    assert verdicts[:2] == ["untouched", "failed"]
    assert verdicts[2] in {"edited", "rolled_back"}
    assert [failure and (failure["operator"], failure["code"]) for failure in result["failure"].to_pylist()] == [
        None,
        ("detect", "file_empty"),
        None,
    ]
    operators = [timing["operator"] for timing in result["timings"][2].as_py()]
    assert operators == ["fetch", "detect", "soften", "describe", "inpaint_navier_stokes", "verify", "compose"]


def test_run_of_no_rows_is_no_rows(index_rows: Callable[..., pa.Table]) -> None:
    result = erase_text(Fills(PRESETS["fast"])).run(index_rows())
    check_schema(result, "run")
    assert len(result) == 0


def test_an_operator_that_changes_a_columns_type_is_named(tmp_path: Path, index_rows: Callable[..., pa.Table]) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    rows = index_rows(tmp_path / "a.png")
    expected = "careless: column 'width' is double, should be int32"
    with pytest.raises(SchemaError, match=expected):
        Flow((Fetch(), Careless())).run(rows)
    with pytest.raises(SchemaError, match=expected):
        work(Careless(), Bounds(), None, rows)


def test_fused_stages_are_the_storage_operators_and_one_worker_between() -> None:
    flow = erase_text(Fills(PRESETS["quality"])).then(Write("out"))
    stages = flow.stages(laptop())
    assert [name for name, _ in stages] == ["fetch", "worker", "write"]
    model = ["inpaint_builtin", "upscale", "verify"]
    classical = ["inpaint_patchmatch", "verify", "inpaint_navier_stokes", "verify"]
    names = ["detect", "soften", "describe", *model, "refine_builtin", *model, *classical, "compose"]
    assert stages[1][1].name == "+".join(names)


def test_staged_stages_are_the_operators() -> None:
    flow = erase_text(Fills(PRESETS["quality"])).then(Write("out"))
    assert [operator for _, operator in flow.stages(load("staged"))] == list(flow.operators)


def test_the_refusal_counts_an_operator_as_often_as_the_flow_holds_it() -> None:
    stages = {"inpaint": Stage(cpus=1, pool=(1, 1)), "verify": Stage(cpus=1, pool=(1, 1)), "default": Stage(cpus=0.25)}
    profile = Profile(name="own", placement="staged", stages=stages)
    flow = erase_text(Fills(PRESETS["quality"])).then(Write("out"))
    needed = 8 * 1 + 9 * 0.25 + 1
    assert flow.refusal(profile, [Node({"CPU": needed})]) is None
    refusal = flow.refusal(profile, [Node({"CPU": needed - 0.5})])
    assert refusal is not None
    assert f"needs {needed:g} CPU" in refusal


def physical_plan(flow: Flow, profile: Profile) -> list[object]:
    """The operators that Ray would execute for a run of ten images, without its input."""
    from ray.data._internal.logical.optimizers import get_execution_plan

    dataset = plan(flow, "out", profile, {0: 10})
    physical, _ = get_execution_plan(dataset._logical_plan)
    nodes = list(physical.dag.post_order_iter())
    assert type(nodes[0]).__name__ == "InputDataBuffer"
    return nodes[1:]


def kinds(nodes: list[object]) -> list[str]:
    return ["pool" if type(node).__name__ == "ActorPoolMapOperator" else "tasks" for node in nodes]


@pytest.mark.usefixtures("ray_here")
def test_ray_executes_the_fused_profile_as_read_fetch_worker_write() -> None:
    nodes = physical_plan(erase_text(Fills(PRESETS["balanced"])).then(Write("out")), laptop())
    names = [node.name for node in nodes]
    assert len(names) == 4
    assert names[0].startswith("MapBatches(read_pending)->StreamingRepartition")
    assert names[1:] == ["MapBatches(work)", "MapBatches(Worker)", "MapBatches(work)"]
    assert kinds(nodes) == ["tasks", "tasks", "pool", "tasks"]


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", SHIPPED)
def test_ray_executes_every_staged_operator_by_itself(name: str, preset: str) -> None:
    profile = load(name)
    flow = erase_text(Fills(PRESETS[preset])).then(Write("out"))
    nodes = physical_plan(flow, profile)[1:]
    assert all("->" not in node.name for node in nodes)
    assert kinds(nodes) == ["pool" if profile.stage(operator.name).pool else "tasks" for operator in flow.operators]


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("pool", [None, (1, 1)], ids=["tasks", "pools"])
def test_ray_joins_no_stages_even_if_all_ask_for_the_same(pool: tuple[int, int] | None) -> None:
    profile = Profile(name="same", placement="staged", stages={"default": Stage(cpus=1, pool=pool)})
    flow = erase_text(Fills(PRESETS["quality"])).then(Write("out"))
    nodes = physical_plan(flow, profile)
    assert len(nodes) == 1 + len(flow.operators)
    assert kinds(nodes[1:]) == ["pool" if pool else "tasks"] * len(flow.operators)


@pytest.mark.usefixtures("ray_here")
def test_tasks_with_gpus_are_refused_when_laid_out() -> None:
    profile = Profile(name="own", placement="staged", stages={"default": Stage(gpus=1)})
    with pytest.raises(ProfileError, match="stage 'fetch' asks for GPUs and has no pool"):
        plan(Flow((Fetch(),)), "out", profile, {0: 1})


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("tasks", [1, None])
def test_no_more_tasks_of_a_stage_run_at_once_than_its_profile_says(
    tmp_path: Path, pictures: Pictures, tasks: int | None
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "notes").mkdir()
    for number in range(6):
        pictures.strip(number, None).save(tmp_path / "in" / f"{number}.png")
    stages = {"default": Stage(cpus=0.1, tasks=tasks)}
    profile = Profile(name="own", placement="staged", images_per_block=1, stages=stages)
    sizes = index.build(str(tmp_path / "in"), str(tmp_path / "out"))
    plan(Flow((Noting(str(tmp_path / "notes")),)), str(tmp_path / "out"), profile, sizes).materialize()
    spans = sorted(tuple(map(float, note.read_text().split())) for note in (tmp_path / "notes").iterdir())
    assert len(spans) == 6
    together = [after[0] < before[1] for before, after in pairwise(spans)]
    assert any(together) == (tasks is None)
