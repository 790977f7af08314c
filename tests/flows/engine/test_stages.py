"""Stages: a flow as operations of Ray Data, laid out by its profile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pytest

from cluster.bounds import Bounds
from cluster.profile import PROFILES, Profile, ProfileError, Stage, laptop, load
from flows.engine import run as run_module
from flows.engine.blocks import unpack_blocks
from flows.engine.run import plan
from flows.engine.stages import Worker, work
from flows.erase_text import erase_text
from flows.flow import Flow
from flows.ladder import PRESETS, Fills
from operators.fetch import Fetch
from operators.ledger import index
from operators.models.gpu import reserved_gpus
from operators.operator import Operator, Pipeline
from operators.rows.schema import SCHEMA, SchemaError
from operators.write import Write
from tests.flows.busy import Noting

if TYPE_CHECKING:
    from ray.data import Dataset

    from tests.fixtures.pictures import Pictures

SHIPPED = sorted(file.stem for file in PROFILES.glob("*.yaml"))


@dataclass(frozen=True)
class Careless(Operator):
    """Changes the type of a column."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = ("width",)

    def apply(self, batch: pa.Table) -> pa.Table:
        return batch.set_column(batch.schema.names.index("width"), "width", pa.array([1.5] * len(batch)))


@pytest.fixture
def rows(tmp_path: Path, index_rows: Callable[..., pa.Table]) -> pa.Table:
    """An index row of a small file."""
    (tmp_path / "a.png").write_bytes(b"a")
    return index_rows(tmp_path / "a.png")


def test_work_returns_the_whole_row_or_only_the_columns_asked_for(rows: pa.Table) -> None:
    assert work(Fetch(), Bounds(), None, rows).column_names == SCHEMA.names
    columns = work(Fetch(), Bounds(), ("image_id", "bytes"), rows)
    assert columns.column_names == ["image_id", "bytes"]
    assert columns["bytes"].to_pylist() == [b"a"]


def test_an_operator_that_changes_a_columns_type_is_named(rows: pa.Table) -> None:
    with pytest.raises(SchemaError, match="careless: column 'width' is double, should be int32"):
        work(Careless(), Bounds(), None, rows)


def test_a_worker_does_the_same_work_as_a_task(rows: pa.Table) -> None:
    """In a child process, since a worker limits the memory of its process for good."""
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        columns = pool.apply(_work_in_worker, (rows,))
    assert columns == {"bytes": [b"a"]}


def test_a_worker_knows_which_share_of_a_gpu_its_stage_reserves() -> None:
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_reserved_in_worker, (0.5,)) == 0.5


def _reserved_in_worker(gpus: float) -> float:
    Worker(Fetch(), Bounds(), None, gpus=gpus)
    return reserved_gpus()


def _work_in_worker(rows: pa.Table) -> dict[str, list[bytes]]:
    columns: dict[str, list[bytes]] = Worker(Fetch(), Bounds(), ("bytes",))(rows).to_pydict()
    return columns


def physical_plan(flow: Flow, profile: Profile) -> list[object]:
    """The operators that Ray would execute for a run of a million images, without its input."""
    return executed(plan(flow, "out", profile, {0: 10**6}))


def executed(dataset: Dataset) -> list[object]:
    """The operators that Ray would execute for a dataset, without its input."""
    from ray.data._internal.logical.optimizers import get_execution_plan

    physical, _ = get_execution_plan(dataset._logical_plan)
    nodes = list(physical.dag.post_order_iter())
    assert type(nodes[0]).__name__ == "InputDataBuffer"
    return nodes[1:]


def kinds(nodes: list[object]) -> list[str]:
    return ["pool" if type(node).__name__ == "ActorPoolMapOperator" else "tasks" for node in nodes]


@pytest.mark.usefixtures("ray_here")
def test_a_block_of_the_fused_profile_is_one_task_after_the_index_is_read() -> None:
    nodes = physical_plan(erase_text(Fills(PRESETS["balanced"])).then(Write("out")), laptop())
    names = [node.name for node in nodes]
    assert len(names) == 2
    assert names[0].startswith("MapBatches(read_pending)->StreamingRepartition")
    assert names[1] == "MapBatches(Worker)"
    assert kinds(nodes) == ["tasks", "pool"]


@pytest.fixture
def indexed(tmp_path: Path) -> str:
    """A destination with 33 images in its index."""
    (tmp_path / "in").mkdir()
    for number in range(33):
        (tmp_path / "in" / f"{number:02d}.png").write_bytes(b"x")
    assert index.build(str(tmp_path / "in"), str(tmp_path / "out")) == {0: 33}
    return str(tmp_path / "out")


@pytest.mark.usefixtures("ray_here")
def test_a_short_run_is_read_by_the_driver_so_that_no_process_starts_for_it(indexed: str) -> None:
    profile = laptop().with_workers(2).model_copy(update={"images_per_block": 16})
    assert [node.name for node in executed(plan(Flow((Fetch(),)), indexed, profile, {0: 33}))] == ["MapBatches(Worker)"]
    blocks = plan(Flow(()), indexed, profile, {0: 33}).iter_batches(batch_size=None, batch_format="pyarrow")
    assert [len(unpack_blocks(block)) for block in blocks] == [16, 16, 1]


@pytest.mark.usefixtures("ray_here")
def test_an_index_of_many_bytes_is_read_by_a_process(indexed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "LARGEST_READ_HERE", 100)
    dataset = plan(Flow((Fetch(),)), indexed, laptop(), {0: 33})
    assert executed(dataset)[0].name.startswith("MapBatches(read_pending)")


@dataclass(frozen=True)
class Storing(Operator):
    """Waits for storage until another block is worked."""

    storage: ClassVar[bool] = True
    worked: threading.Event = field(default_factory=threading.Event)

    def apply(self, batch: pa.Table) -> pa.Table:
        assert self.worked.wait(20)
        return batch


@dataclass(frozen=True)
class Computing(Operator):
    """Notes how many calls there are at the same time."""

    worked: threading.Event = field(default_factory=threading.Event)
    inside: list[int] = field(default_factory=list)
    most: list[int] = field(default_factory=list)

    def apply(self, batch: pa.Table) -> pa.Table:
        self.inside.append(1)
        self.most.append(len(self.inside))
        time.sleep(0.05)
        self.inside.pop()
        if len(self.most) == 3:
            self.worked.set()
        return batch


def test_a_worker_writes_one_block_while_it_computes_another_and_computes_one_at_a_time(rows: pa.Table) -> None:
    computing = Computing()
    operator = Pipeline((computing, Storing(computing.worked)))
    turn = threading.Lock()
    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(lambda _: work(operator, Bounds(), ("image_id",), rows, turn), range(3)))
    assert [len(result) for result in results] == [1, 1, 1]
    assert computing.most == [1, 1, 1]


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", SHIPPED)
def test_ray_executes_every_stage_by_itself(name: str, preset: str) -> None:
    profile = load(name)
    flow = erase_text(Fills(PRESETS[preset])).then(Write("out"))
    nodes = physical_plan(flow, profile)[1:]
    assert all("->" not in node.name for node in nodes)
    assert kinds(nodes) == ["pool" if profile.stage(stage).pool else "tasks" for stage in flow.members(profile)]


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize(("one", "other"), [({}, {"tasks": 1}), ({"pool": (1, 1)}, {"pool": (1, 2)})], ids=["tasks", "pools"])
def test_ray_fuses_no_stages_even_if_all_request_the_same(one: dict[str, object], other: dict[str, object]) -> None:
    stages = {"verify": Stage.model_validate({"cpus": 1, **one}), "default": Stage.model_validate({"cpus": 1, **other})}
    profile = Profile(name="same", placement="staged", stages=stages)
    flow = erase_text(Fills(PRESETS["quality"])).then(Write("out"))
    nodes = physical_plan(flow, profile)
    assert len(nodes) == 1 + len(flow.members(profile)) == 1 + 2 * 6 + 1
    assert kinds(nodes[1:]) == ["pool" if one else "tasks"] * (2 * 6 + 1)


@pytest.mark.usefixtures("ray_here")
def test_a_pool_that_may_grow_does_so_also_where_a_process_works_at_several_blocks_at_once(
    tmp_path: Path, pictures: Pictures
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "notes").mkdir()
    for number in range(24):
        pictures.strip(number, None).save(tmp_path / "in" / f"{number}.png")
    stages = {"default": Stage(cpus=0.1, pool=(1, 2))}
    profile = Profile(name="own", placement="staged", images_per_block=1, stages=stages)
    sizes = index.build(str(tmp_path / "in"), str(tmp_path / "out"))
    flow = Flow((Fetch(), Noting(str(tmp_path / "notes"))))
    ((_, operator),) = flow.stages(profile)
    assert len(operator.phases) > 1
    plan(flow, str(tmp_path / "out"), profile, sizes).materialize()
    processes = {note.read_text().split()[2] for note in (tmp_path / "notes").iterdir()}
    assert len(processes) == 2


@pytest.mark.usefixtures("ray_here")
def test_tasks_with_gpus_are_refused_when_laid_out() -> None:
    profile = Profile(name="own", placement="staged", stages={"default": Stage(gpus=1)})
    with pytest.raises(ProfileError, match="stage 'fetch' asks for GPUs and has no pool"):
        plan(Flow((Fetch(),)), "out", profile, {0: 10**6})


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
    spans = sorted(tuple(map(float, note.read_text().split()[:2])) for note in (tmp_path / "notes").iterdir())
    assert len(spans) == 6
    together = [after[0] < before[1] for before, after in pairwise(spans)]
    assert any(together) == (tasks is None)
