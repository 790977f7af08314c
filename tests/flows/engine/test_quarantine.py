"""Rows that are processed one by one in a child process, which they may end."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pytest
from PIL import Image

from cluster.bounds import Bounds
from flows.engine.quarantine import KILLS_BELIEVED, work_isolated
from flows.flow import Flow
from operators.compose import Compose
from operators.fetch import Fetch
from operators.operator import Chain, Operator
from operators.pictures.codec import Limits, decode
from operators.rows.failure import Failure, RunError
from operators.rows.schema import check_schema
from operators.rows.table import Additions, Row, map_rows
from tests.faults.poison_flow import Decoder

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

BOUNDS = Bounds.model_validate({"seconds": {"decoder": 8, "killed": 60}, "memory": "300MiB"})


@dataclass(frozen=True)
class Killed(Operator):
    """Is killed from outside at an image, as many times as a file has characters."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = ("width",)
    times: str = ""

    def apply(self, batch: pa.Table) -> pa.Table:
        return map_rows(batch, self.name, self.adds, self._work)

    def _work(self, row: Row) -> Additions:
        kills_left = Path(self.times).read_text()
        if kills_left:
            Path(self.times).write_text(kills_left[1:])
            os.kill(os.getpid(), signal.SIGKILL)
        return {"width": 1}


@dataclass(frozen=True)
class Decoding(Operator):
    """Decodes every picture within a time limit."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = ("width",)
    seconds: float = 0.5

    def apply(self, batch: pa.Table) -> pa.Table:
        return map_rows(batch, self.name, self.adds, self._work)

    def _work(self, row: Row) -> Additions:
        picture = decode(row.data("bytes") or b"", Limits(max_scans=10**6, max_decode_seconds=self.seconds))
        return {"width": picture.size[0]}


@dataclass(frozen=True)
class Refusing(Operator):
    """Cannot process a batch at all, as `write` without access to the ledger."""

    def apply(self, batch: pa.Table) -> pa.Table:
        raise Failure("disk_full", "no space left")


@dataclass(frozen=True)
class Unopened(Refusing):
    def open(self) -> None:
        raise FileNotFoundError("no weights")


@dataclass(frozen=True)
class KilledAtOnce(Refusing):
    def open(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def rows(tmp_path: Path, pictures: Pictures, index_rows: Callable[..., pa.Table]) -> Callable[..., pa.Table]:
    """Makes fetched rows: a healthy picture for None, or one whose file ends in a word."""

    def make(*words: bytes | None) -> pa.Table:
        files = []
        for number, word in enumerate(words):
            pictures.plain(number, (16, 16)).save(tmp_path / f"{number}.png")
            with (tmp_path / f"{number}.png").open("ab") as file:
                file.write(word or b"")
            files.append(tmp_path / f"{number}.png")
        return Flow((Fetch(),)).run(index_rows(*files))

    return make


def codes(table: pa.Table) -> list[str | None]:
    return [failure and failure["code"] for failure in table["failure"].to_pylist()]


def test_healthy_rows_come_out_as_they_do_in_this_process(rows: Callable[..., pa.Table]) -> None:
    operator, batch = Chain((Decoder(), Compose())), rows(None, None)
    isolated = work_isolated(operator, batch, BOUNDS)
    check_schema(isolated, "isolated")
    assert isolated.drop_columns("timings").equals(operator.apply(batch).drop_columns("timings"))


def test_a_poison_ends_its_row_and_passes_through_what_follows(rows: Callable[..., pa.Table]) -> None:
    result = work_isolated(Chain((Decoder(), Compose())), rows(None, b"crash", None, b"hang", b"fill"), BOUNDS)
    assert codes(result) == [None, "worker_crashed", None, "time_limit", "memory_limit"]
    assert result["verdict"].to_pylist() == ["untouched", "rolled_back", "untouched", "rolled_back", "rolled_back"]
    assert {failure["operator"] for failure in result["failure"].to_pylist() if failure} == {"decoder"}


def test_a_decoding_that_takes_too_long_is_skipped_with_its_code(tmp_path: Path, index_rows: Callable[..., pa.Table]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1600, 1600)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    (tmp_path / "slow.jpg").write_bytes(data[:last] + data[last:end] * 2000 + data[end:])
    (tmp_path / "quick.jpg").write_bytes(data)
    fetched = Flow((Fetch(),)).run(index_rows(tmp_path / "quick.jpg", tmp_path / "slow.jpg"))
    start = time.monotonic()
    result = work_isolated(Chain((Decoding(), Compose())), fetched, BOUNDS)
    assert codes(result) == [None, "decode_time_limit"], result["failure"].to_pylist()
    assert result["verdict"].to_pylist() == ["untouched", "skipped"]
    assert time.monotonic() - start < 30


def test_a_row_that_failed_before_is_not_touched(rows: Callable[..., pa.Table]) -> None:
    failed = work_isolated(Decoder(), rows(b"crash"), BOUNDS)
    assert work_isolated(Decoder(), failed, BOUNDS).equals(failed)


@pytest.mark.parametrize("kills", range(KILLS_BELIEVED + 1))
def test_a_kill_from_outside_is_believed_when_it_is_repeated(tmp_path: Path, rows: Callable[..., pa.Table], kills: int) -> None:
    (tmp_path / "times").write_text("x" * kills)
    result = work_isolated(Killed(str(tmp_path / "times")), rows(None), BOUNDS)
    assert codes(result) == ["memory_limit" if kills == KILLS_BELIEVED else None]


@pytest.mark.parametrize(("operator", "error"), [(Refusing(), Failure), (Unopened(), FileNotFoundError)], ids=["apply", "open"])
def test_an_error_that_no_image_caused_is_raised(
    rows: Callable[..., pa.Table], operator: Operator, error: type[Exception]
) -> None:
    with pytest.raises(error):
        work_isolated(operator, rows(None), BOUNDS)


def test_a_process_that_is_killed_while_it_loads_its_models_ends_the_run_in_one_line(rows: Callable[..., pa.Table]) -> None:
    with pytest.raises(RunError, match="run_interrupted: a worker ended while it loaded its models \\(SIGKILL\\)") as raised:
        work_isolated(KilledAtOnce(), rows(None), BOUNDS)
    assert raised.value.exit_code == 3
