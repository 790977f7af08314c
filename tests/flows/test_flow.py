"""A flow is checked when it is built, runs in this process, and its profile cuts it into stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pytest

from cluster.nodes import Node
from cluster.profile import Profile, Stage, laptop, load
from flows.erase_text import erase_text, inpaint_masks
from flows.flow import Flow, FlowError
from flows.ladder import PRESETS, Fills
from operators.compose import Compose
from operators.detect import Detect
from operators.fetch import Fetch
from operators.inpaint import Inpaint
from operators.operator import Operator
from operators.rows.schema import SCHEMA, SchemaError, check_schema
from operators.soften import Soften
from operators.verify import Verify
from operators.write import Write

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures


@dataclass(frozen=True)
class Sepia(Operator):
    """Reads and adds columns that a subclass names."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = ("encoded",)

    def apply(self, batch: pa.Table) -> pa.Table:
        return batch


SECOND_LOOK = ("look_again", "soften", "describe", "inpaint_hybrid", "verify")


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
    names = [operator.name for operator in erase_text(Fills(PRESETS["quality"])).operators]
    assert names == [
        *("fetch", "detect", "soften", "describe"),
        *("inpaint_hybrid", "verify", "refine_hybrid", "inpaint_hybrid", "verify"),
        *("inpaint_builtin", "upscale", "verify", "refine_builtin", "inpaint_builtin", "upscale", "verify"),
        *("inpaint_patchmatch", "verify"),
        *SECOND_LOOK,
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
    first_look = ["detect", "soften", "describe", "inpaint_ground", "verify", "refine_ground", "inpaint_ground", "verify"]
    assert operators == ["fetch", *first_look, *SECOND_LOOK, "compose"]


def test_run_of_no_rows_is_no_rows(index_rows: Callable[..., pa.Table]) -> None:
    result = erase_text(Fills(PRESETS["fast"])).run(index_rows())
    check_schema(result, "run")
    assert len(result) == 0


def test_an_operator_that_changes_a_columns_type_is_named(tmp_path: Path, index_rows: Callable[..., pa.Table]) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    rows = index_rows(tmp_path / "a.png")
    with pytest.raises(SchemaError, match="careless: column 'width' is double, should be int32"):
        Flow((Fetch(), Careless())).run(rows)


def test_a_fused_profile_has_one_worker_that_reads_computes_and_writes() -> None:
    flow = erase_text(Fills(PRESETS["quality"])).then(Write("out"))
    ((name, worker),) = flow.stages(laptop())
    assert name == "worker"
    assert [phase.storage for phase in worker.phases] == [True, False, True]
    assert list(worker.steps) == list(flow.operators)
    model = ["inpaint_builtin", "upscale", "verify"]
    hybrid, patchmatch = ["inpaint_hybrid", "verify"], ["inpaint_patchmatch", "verify"]
    rungs = [*hybrid, "refine_hybrid", *hybrid, *model, "refine_builtin", *model, *patchmatch]
    names = ["detect", "soften", "describe", *rungs, *SECOND_LOOK, "compose"]
    assert worker.phases[1].name == "+".join(names)


def test_neighbours_with_the_same_settings_share_a_stage_that_is_named_after_the_first() -> None:
    flow = erase_text(Fills(PRESETS["balanced"])).then(Write("out"))
    assert flow.members(load("staged")) == {
        "fetch": ["fetch", "detect", "soften (1)", "describe (1)"],
        "inpaint_hybrid (1)": ["inpaint_hybrid (1)"],
        "verify (1)": ["verify (1)", "refine_hybrid"],
        "inpaint_hybrid (2)": ["inpaint_hybrid (2)"],
        "verify (2)": ["verify (2)", "look_again", "soften (2)", "describe (2)"],
        "inpaint_hybrid (3)": ["inpaint_hybrid (3)"],
        "verify (3)": ["verify (3)", "compose", "write"],
    }


def test_a_stage_reads_computes_and_writes_as_a_fused_worker_does() -> None:
    flow = erase_text(Fills(PRESETS["balanced"])).then(Write("out"))
    stages = dict(flow.stages(load("staged")))
    assert [step for stage in stages.values() for step in stage.steps] == list(flow.operators)
    assert [phase.storage for phase in stages["fetch"].phases] == [True, False]
    assert [phase.storage for phase in stages["verify (3)"].phases] == [False, True]
    assert stages["inpaint_hybrid (1)"] is flow.operators[4]


def test_operators_with_settings_of_their_own_are_stages_of_their_own() -> None:
    flow = erase_text(Fills(PRESETS["balanced"])).then(Write("out"))
    names = [name for members in flow.members(load("staged")).values() for name in members]
    stages = {name: Stage(cpus=1 + number / 10) for number, name in enumerate(names)}
    profile = Profile(name="own", placement="staged", stages=stages)
    assert [operator for _, operator in flow.stages(profile)] == list(flow.operators)


def test_the_refusal_counts_a_stage_as_often_as_the_flow_holds_it() -> None:
    stages = {"inpaint": Stage(cpus=1, pool=(1, 1)), "verify": Stage(cpus=0.5, pool=(1, 1)), "default": Stage(cpus=0.25)}
    profile = Profile(name="own", placement="staged", stages=stages)
    flow = erase_text(Fills(PRESETS["quality"])).then(Write("out"))
    # Others stand together: at both ends, where masks and fills grow, and at the second look.
    fills, judgements, others = 2 + 2 + 1 + 1, 2 + 2 + 1 + 1, 2 + 2 + 2 + 1
    needed = fills + judgements * 0.5 + others * 0.25 + 1
    assert flow.refusal(profile, [Node({"CPU": needed})]) is None
    refusal = flow.refusal(profile, [Node({"CPU": needed - 0.5})])
    assert refusal is not None
    assert f"needs {needed:g} CPU" in refusal
